"""Labelled cases from files: our own JSON lines, plain questions, LLMBar, or the debates of a run.

One case a line: `{"id", "case": {"question", "options", "statements", "material"}, "domain", "defends", "label",
"own"}`; everything but id, question and options may be left out. A line of `{"id", "question", "options", "label"}`
is a case whose options are the texts to compare.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from debate.data.source import read_rows
from debate.errors import UserError, did_you_mean
from debate.questions import question_from
from judges.charter.labels import LabelledCase
from judges.types import Case, Quote, Statement

FIELDS = ("id", "case", "domain", "defends", "label", "own")
CASE_FIELDS = ("question", "options", "statements", "material")
STATEMENT_FIELDS = ("seat", "role", "phase", "text", "quotes")


def read_cases(place: str, limit: int | None = None) -> list[LabelledCase]:
    """Cases by the name of their place.

    Args:
        place: a file of JSON lines; "llmbar", the data set in the folder `DEBATE_DATA` names, or a folder or file of
            it; the folder of a run.
        limit: most cases; taken from the domains in turn, so that all keep a share. None takes all.

    Raises:
        UserError: no such place, a row that is no case, or no case at all.
    """
    items = _read(place)
    if not items:
        raise UserError(f"{place}: holds no cases")
    return items if limit is None else in_turn(items, limit)


def in_turn(items: Sequence[LabelledCase], limit: int) -> list[LabelledCase]:
    """At most `limit` items, the first ones of every domain in turn, in their own order."""
    seen: dict[str, int] = {}
    rank = {}
    for number, item in enumerate(items):
        seen[item.domain] = seen.get(item.domain, 0) + 1
        rank[item.id] = (seen[item.domain], number)
    chosen = {item.id for item in sorted(items, key=lambda item: rank[item.id])[:limit]}
    return [item for item in items if item.id in chosen]


def write_cases(path: Path, items: Iterable[LabelledCase]) -> int:
    """Writes cases as JSON lines, whole or not at all; how many."""
    from debate.run.files import write_atomic

    lines = [json.dumps(asdict(item), ensure_ascii=False) for item in items]
    write_atomic(path, "".join(line + "\n" for line in lines))
    return len(lines)


def _read(place: str) -> list[LabelledCase]:
    if place == "llmbar":
        folder = os.environ.get("DEBATE_DATA")
        if not folder:
            raise UserError("llmbar: set the environment variable DEBATE_DATA to the folder of its files llmbar_*.json")
        place = folder
    path = Path(place).expanduser()
    if path.is_dir() and (path / "store.sqlite").is_file():
        from debate.judging_tools.played import played_cases

        return [one.item for one in played_cases(path)]
    if path.is_dir():
        files = sorted(path.glob("llmbar_*.json"))
        if not files:
            raise UserError(f"{path}: neither the folder of a run nor one with LLMBar's files llmbar_*.json")
        return [item for file in files for item in _llmbar(file)]
    if not path.is_file():
        raise UserError(f"{place}: no such file; expected cases as JSON lines, llmbar, or the folder of a run")
    if path.name.startswith("llmbar_") and path.suffix == ".json":
        return _llmbar(path)
    items = [_item(row, where) for where, row in read_rows(path)]
    first: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        if item.id in first:
            raise UserError(f"{path}: id {item.id!r} stands at case {first[item.id]} and again at case {number}")
        first[item.id] = number
    return items


def _llmbar(path: Path) -> list[LabelledCase]:
    """LLMBar (Zeng et al. 2024): which of two outputs follows the instruction; the label is objective."""
    domain = path.stem.removeprefix("llmbar_")
    items = []
    for number, (where, row) in enumerate(read_rows(path)):
        texts = [row.get(key) for key in ("input", "output_1", "output_2")]
        if not all(isinstance(text, str) for text in texts) or row.get("label") not in (1, 2):
            raise UserError(f"{where}: expected input, output_1 and output_2 as texts, and label 1 or 2")
        case = Case(str(texts[0]), (str(texts[1]), str(texts[2])))
        items.append(LabelledCase(f"{domain}-{number:03d}", case, domain, label=row["label"] - 1))
    return items


def _item(row: Mapping[str, Any], where: str) -> LabelledCase:
    if "case" not in row:
        question = question_from(row, where)
        if len(question.options) < 2:
            raise UserError(f"{where}: a case needs two or more options, got {list(question.options)}")
        return LabelledCase(question.id, Case(question.question, question.options), label=question.label)
    _known(row, FIELDS, where)
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise UserError(f"{where}: field 'id' is needed and must be a non-empty string, got {row.get('id')!r}")
    case = _case(row["case"], where)
    domain, defends = row.get("domain", "all"), row.get("defends") or {}
    if not isinstance(domain, str) or not domain:
        raise UserError(f"{where}: field 'domain' must be a non-empty string, got {domain!r}")
    if not isinstance(defends, dict):
        raise UserError(f"{where}: field 'defends' must map seats to options, got {defends!r}")
    for name, option in (("label", row.get("label")), ("own", row.get("own")), *defends.items()):
        fits = isinstance(option, int) and not isinstance(option, bool) and 0 <= option < len(case.options)
        if option is not None and not fits:
            raise UserError(f"{where}: {name} must be the index of an option, 0…{len(case.options) - 1}: {option!r}")
    return LabelledCase(row["id"], case, domain, defends, row.get("label"), row.get("own"))


def _case(row: Any, where: str) -> Case:
    if not isinstance(row, dict):
        raise UserError(f"{where}: field 'case' must be an object, got {row!r}")
    _known(row, CASE_FIELDS, where)
    options, statements = row.get("options"), row.get("statements") or []
    if not isinstance(row.get("question"), str):
        raise UserError(f"{where}: field 'case.question' is needed and must be a string, got {row.get('question')!r}")
    if not isinstance(options, list) or len(options) < 2 or not all(isinstance(o, str) for o in options):
        raise UserError(f"{where}: field 'case.options' must be a list of two or more strings, got {options!r}")
    if not isinstance(statements, list) or not isinstance(row.get("material") or "", str):
        raise UserError(f"{where}: 'case.statements' must be a list and 'case.material' a string")
    speeches = tuple(_statement(s, where) for s in statements)
    return Case(row["question"], tuple(options), speeches, row.get("material") or "")


def _statement(row: Any, where: str) -> Statement:
    if not isinstance(row, dict):
        raise UserError(f"{where}: a statement must be an object, got {row!r}")
    _known(row, STATEMENT_FIELDS, where)
    words = [row.get(key, "") for key in STATEMENT_FIELDS[:4]]
    if not all(isinstance(word, str) for word in words) or not words[0]:
        raise UserError(f"{where}: a statement needs the strings seat, role, phase and text, got {row!r}")
    quotes = []
    for quote in row.get("quotes") or []:
        span = quote.get("span") if isinstance(quote, dict) else None
        if not isinstance(quote, dict) or not isinstance(quote.get("text"), str) or not _is_span(span):
            raise UserError(f"{where}: a quote needs a text, and a span of two numbers or null, got {quote!r}")
        if quote.get("verified") not in (True, False, None):
            raise UserError(f"{where}: a quote is verified: true, false or null, got {quote['verified']!r}")
        quotes.append(Quote(quote["text"], None if span is None else (span[0], span[1]), quote.get("verified")))
    return Statement(words[0], words[1], words[2], words[3], tuple(quotes))


def _is_span(span: Any) -> bool:
    return span is None or (isinstance(span, list) and len(span) == 2 and all(type(x) is int for x in span))


def _known(row: Mapping[str, Any], fields: Sequence[str], where: str) -> None:
    for key in row:
        if key not in fields:
            hint = did_you_mean(str(key), fields)
            raise UserError(f"{where}: unknown field {key!r}{hint}; expected {', '.join(fields)}")
