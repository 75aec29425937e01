"""Questions: what is debated, with what may be shown to whom kept apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debate.errors import UserError, did_you_mean

FIELDS = ("id", "question", "options", "label", "material", "items", "gold")


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        id: unique in its data set.
        question: the text.
        options: possible answers; empty for a free answer.
        label: index of the true option; None where unknown.
        material: text that some roles may read (a passage); quotes are verified against it.
        items: pieces of evidence that can be revealed one by one.
        gold: the reference answer as text, for verifiers of free answers.
    """

    id: str
    question: str
    options: tuple[str, ...] = ()
    label: int | None = None
    material: str = ""
    items: tuple[str, ...] = ()
    gold: str | None = None


def question_from(row: Mapping[str, Any], where: str) -> Question:
    """A question from its JSON object.

    Args:
        row: `{id, question, options?, label?, material?, items?, gold?}`; `label` is an index or the option's text.
        where: file and line, for the message.

    Raises:
        UserError: a missing or unknown field, or one of the wrong type.
    """
    for key in row:
        if key not in FIELDS:
            raise UserError(f"{where}: unknown field {key!r}{did_you_mean(key, FIELDS)}; expected {', '.join(FIELDS)}")
    for key in ("id", "question"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise UserError(f"{where}: field {key!r} is needed and must be a non-empty string, got {row.get(key)!r}")
    lists = {}
    for key in ("options", "items"):
        value = row.get(key) or []
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise UserError(f"{where}: field {key!r} must be a list of strings, got {value!r}")
        lists[key] = tuple(value)
    if len(set(lists["options"])) != len(lists["options"]):
        raise UserError(f"{where}: options must be distinct, got {list(lists['options'])}")
    label = row.get("label")
    if isinstance(label, str):
        if label not in lists["options"]:
            raise UserError(f"{where}: label {label!r} is none of the options {list(lists['options'])}")
        label = lists["options"].index(label)
    if label is not None and (
        isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(lists["options"])
    ):
        raise UserError(f"{where}: label must be an option or its index 0…{len(lists['options']) - 1}, got {label!r}")
    for key in ("material", "gold"):
        if row.get(key) is not None and not isinstance(row[key], str):
            raise UserError(f"{where}: field {key!r} must be a string, got {row[key]!r}")
    return Question(
        row["id"], row["question"], lists["options"], label, row.get("material") or "", lists["items"], row.get("gold")
    )


def read_questions(path: Path) -> list[Question]:
    """Questions from native JSONL, one object a line.

    Raises:
        UserError: no such file, a line that is not an object, a bad field, or an id that occurs twice.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected JSONL questions {{id, question, options?, label?, material?}}")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected a JSON object, got {type(row).__name__}")
        rows.append(question_from(row, where))
    return unique(rows, str(path))


def unique(questions: Iterable[Question], where: str) -> list[Question]:
    """The questions as a list, ids checked to be distinct.

    Raises:
        UserError: no questions at all, or an id that occurs twice.
    """
    seen: dict[str, Question] = {}
    for question in questions:
        if question.id in seen:
            raise UserError(f"{where}: question id {question.id!r} occurs twice")
        seen[question.id] = question
    if not seen:
        raise UserError(f"{where}: no questions")
    return list(seen.values())
