"""Strict reading of a judge's structured answer: one JSON object and nothing else, or the answer is invalid."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PARSER_VERSION = "1"
MAX_CHARACTERS = 20_000


class Unreadable(ValueError):
    """The answer is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A parsed answer: the label's index, the stated confidence (None where none was asked), the reason given."""

    index: int
    confidence: float | None
    reason: str


def parse_answer(text: str, labels: Sequence[str], confidence: bool) -> Stated:
    """Reads `{"reason": "…", "answer": "A", "confidence": 0.8}`; `reason` may be missing.

    Args:
        text: the judge's whole answer.
        labels: [K] the labels it may name, exactly as shown.
        confidence: whether a confidence was asked for: a number between 1/K and 1.

    Raises:
        Unreadable: anything else: other text around the object, repeated, missing or unknown fields, an unknown label.
    """
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"the answer has {len(text)} characters, more than {MAX_CHARACTERS}")
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unreadable(f"not one JSON object: {error}") from None
    if not isinstance(data, dict):
        raise Unreadable(f"expected an object, got {type(data).__name__}")
    required = {"answer", "confidence"} if confidence else {"answer"}
    if not required <= set(data) <= required | {"reason"}:
        raise Unreadable(f"expected the fields {sorted(required)} and maybe reason, got {sorted(data)}")
    reason = data.get("reason", "")
    if not isinstance(reason, str):
        raise Unreadable("reason: expected a string")
    if not isinstance(data["answer"], str) or data["answer"] not in labels:
        raise Unreadable(f"answer: expected one of {list(labels)}, got {data['answer']!r}")
    return Stated(list(labels).index(data["answer"]), _confidence(data, len(labels)) if confidence else None, reason)


def _confidence(data: dict[str, Any], count: int) -> float:
    value = data["confidence"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Unreadable(f"confidence: expected a number, got {value!r}")
    if not 1.0 / count - 1e-9 <= value <= 1.0:
        raise Unreadable(f"confidence: the most likely of {count} options has between 1/{count} and 1, got {value}")
    return float(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise Unreadable("a field is repeated")
    return data


def _no_constant(name: str) -> Any:
    raise Unreadable(f"{name} is not a number")
