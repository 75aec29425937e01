"""Labels in and out: JSON lines of our own, and the shapes of Label Studio and Argilla."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from judges.labels.ledger import Label

_FIELDS = {field.name for field in fields(Label)}


def write_labels(path: str | Path, labels: Iterable[Label]) -> None:
    """Writes labels as JSON lines, one a line, whole or not at all."""
    place = Path(path)
    beside = place.with_name(place.name + ".part")
    with beside.open("w", encoding="utf-8") as stream:
        for label in labels:
            stream.write(json.dumps(asdict(label), ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(place)


def read_labels(path: str | Path) -> list[Label]:
    """Reads labels that `write_labels` wrote.

    Raises:
        ValueError: a line that is no label; the message names it.
    """
    labels = []
    with Path(path).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    labels.append(Label(**json.loads(line)))
                except (TypeError, ValueError) as error:
                    raise ValueError(
                        f"{path}, line {number}: expected a label with {sorted(_FIELDS)}: {error}"
                    ) from error
    return labels


def to_label_studio(items: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Tasks for Label Studio's JSON import.

    Args:
        items: item → the texts shown (names as in the labelling configuration).
    """
    return [{"data": {**texts, "item": item}} for item, texts in items.items()]


def from_label_studio(
    tasks: Iterable[Mapping[str, Any]], choices: Sequence[str], question: str | None = None, cost: float = 0.0
) -> list[Label]:
    """Labels from Label Studio's JSON export of a single-choice question.

    Args:
        tasks: the exported tasks; an item's name is `data.item`, or the task's id.
        choices: the choices in the order of class indices.
        question: the `from_name` of the Choices control; None where there is only one.
        cost: dollars paid for each label.

    Returns:
        One label an annotation that was not cancelled; a skipped question counts as "cannot say" (None).

    Raises:
        ValueError: a choice that is not listed, several choices, or an annotation without an author.
    """
    labels = []
    for task in tasks:
        item = str(task.get("data", {}).get("item", task.get("id", "")))
        for annotation in task.get("annotations", []):
            if annotation.get("was_cancelled"):
                continue
            author = annotation.get("completed_by")
            author = author.get("email", author.get("id")) if isinstance(author, Mapping) else author
            if author is None:
                raise ValueError(f"Label Studio task {item!r}: an annotation names no author (completed_by)")
            chosen = [
                choice
                for result in annotation.get("result", [])
                if result.get("type") == "choices" and question in (None, result.get("from_name"))
                for choice in result["value"]["choices"]
            ]
            labels.append(Label(item, str(author), _class(chosen, choices, item), cost))
    return _numbered(labels)


def to_argilla(items: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Records for Argilla's `Dataset.records.log`.

    Args:
        items: item → the fields shown.
    """
    return [{"id": item, "fields": dict(texts)} for item, texts in items.items()]


def from_argilla(
    records: Iterable[Mapping[str, Any]], question: str, choices: Sequence[str], cost: float = 0.0
) -> list[Label]:
    """Labels from Argilla records (`Record.to_dict()` or the JSON export) of a label question.

    Args:
        records: with `id` and `responses`: question → [{"value", "user_id", "status"}].
        question: name of the label question.
        choices: the choices in the order of class indices.
        cost: dollars paid for each label.

    Returns:
        One label a submitted response; a discarded response counts as "cannot say" (None); drafts are left out.

    Raises:
        ValueError: a choice that is not listed, or a response without an author.
    """
    labels = []
    for record in records:
        item = str(record.get("id", ""))
        for response in (record.get("responses") or {}).get(question, []):
            status = response.get("status") or "submitted"
            if status not in ("submitted", "discarded"):
                continue
            if response.get("user_id") is None:
                raise ValueError(f"Argilla record {item!r}: a response names no author (user_id)")
            chosen = [response["value"]] if status == "submitted" else []
            labels.append(Label(item, str(response["user_id"]), _class(chosen, choices, item), cost))
    return _numbered(labels)


def _class(chosen: Sequence[str], choices: Sequence[str], item: str) -> int | None:
    if not chosen:
        return None
    if len(chosen) > 1 or chosen[0] not in choices:
        raise ValueError(f"item {item!r}: expected one of {list(choices)}, got {list(chosen)}")
    return choices.index(chosen[0])


def _numbered(labels: Sequence[Label]) -> list[Label]:
    """Answers of one expert to one item, numbered as repeats."""
    seen: dict[tuple[str, str], int] = {}
    numbered = []
    for label in labels:
        key = (label.item, label.expert)
        numbered.append(Label(label.item, label.expert, label.value, label.cost, repeat=seen.get(key, 0)))
        seen[key] = seen.get(key, 0) + 1
    return numbered
