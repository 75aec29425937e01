"""Structured answers: one JSON document that fits a JSON Schema (draft 2020-12 unless the schema names another)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from judges.verify.result import MAX_CHARACTERS, Verification

_FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*", re.DOTALL)


def verify_json_schema(answer: str | None, schema: Mapping[str, Any]) -> Verification:
    """Checks that the whole answer is one JSON document (a Markdown fence around it aside) that fits the schema.

    JSON is read strictly: NaN, infinities and repeated keys are refused. Text that is no JSON does not fit.
    References to other documents are not fetched.

    Returns:
        "abstain" for an empty or overlong answer, "error" where the schema itself cannot be applied.
    """
    import jsonschema
    from referencing.exceptions import Unresolvable

    if answer is None or not answer.strip():
        return Verification.abstain("the answer is empty")
    if len(answer) > MAX_CHARACTERS:
        return Verification.abstain(f"the answer has {len(answer)} characters, more than {MAX_CHARACTERS}")
    fenced = _FENCED.fullmatch(answer)
    text = fenced[1] if fenced else answer
    try:
        document = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_distinct)
    except ValueError as error:
        return Verification.of(False, text.strip()[:200], f"no JSON: {error}")
    except RecursionError:
        return Verification.of(False, text.strip()[:200], "nested too deeply")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        problem = jsonschema.exceptions.best_match(kind(schema, registry=_empty_registry()).iter_errors(document))
    except (jsonschema.SchemaError, Unresolvable, RecursionError) as error:
        return Verification.error(f"the schema cannot be applied: {str(error)[:200]}")
    reason = "" if problem is None else f"{problem.json_path}: {problem.message[:200]}"
    return Verification.of(problem is None, text.strip()[:200], reason)


def _empty_registry() -> Any:
    from jsonschema.validators import SPECIFICATIONS

    return SPECIFICATIONS  # the published meta-schemas, and no way to retrieve anything else


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key is repeated")
    return document
