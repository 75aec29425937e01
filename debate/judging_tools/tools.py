"""Cases out and labels in, for labelling tools: our JSON lines, Label Studio and Argilla."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.judging_tools.panels import read_labels_of
from debate.run.files import write_atomic
from judges.charter.labels import LabelledCase
from judges.judges.prompt import option_labels
from judges.labels.exchange import (
    from_argilla,
    from_label_studio,
    to_argilla,
    to_label_studio,
    write_labels,
)
from judges.labels.ledger import Label, Ledger

FORMATS = ("jsonl", "label_studio", "argilla")


def export_labels(path: Path, form: str, items: Sequence[LabelledCase], ledger: Ledger) -> str:
    """Writes the ledger's labels (jsonl), or the cases as tasks for a labelling tool; says what was written.

    A tool's tasks hold the case as text, options under letters in their own order, and neither label nor verdict.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        if form == "jsonl":
            labels = ledger.labels()
            write_labels(path, labels)
            return f"{path}: {len(labels)} labels"
        texts = {item.id: _texts(item) for item in items}
        rows = to_label_studio(texts) if form == "label_studio" else to_argilla(texts)
        write_atomic(path, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return f"{path}: {len(rows)} tasks; ask for one of {', '.join(_letters(items))}"


def import_labels(
    path: Path, form: str, items: Sequence[LabelledCase], ledger: Ledger, question: str, cost: float
) -> str:
    """Enters the labels of a file; says how many were new.

    Args:
        path: the file.
        form: its form.
        items: the cases that may be labelled.
        ledger: where the labels go.
        question: name of the tool's question; "" where it has only one ("answer" for Argilla).
        cost: dollars paid for each label, where the form does not say.

    Raises:
        UserError: an unreadable file, a label of another case, or one that contradicts the ledger.
    """
    domains = {item.id: item.domain for item in items}
    try:
        labels = read_labels_of(path) if form == "jsonl" else _from_tool(path, form, items, question, cost)
        for label in labels:
            if label.item not in domains:
                raise UserError(f"{path}: label of {label.item!r}, which is none of the {len(domains)} cases")
            classes = len(next(i for i in items if i.id == label.item).case.options)
            if label.value is not None and label.value >= classes:
                raise UserError(f"{path}: label {label.value} of {label.item!r}, which has {classes} options")
        new = ledger.extend(labels)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{path}: no labels of the form {form} ({type(error).__name__}: {error})") from None
    return f"{path}: {len(labels)} labels, {new} of them new"


def _from_tool(path: Path, form: str, items: Sequence[LabelledCase], question: str, cost: float) -> list[Label]:
    rows: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise ValueError(f"expected a list, got {type(rows).__name__}")
    if form == "label_studio":
        return from_label_studio(rows, _letters(items), question or None, cost)
    return from_argilla(rows, question or "answer", _letters(items), cost)


def _letters(items: Sequence[LabelledCase]) -> tuple[str, ...]:
    return option_labels(max(len(item.case.options) for item in items))


def _texts(item: LabelledCase) -> dict[str, str]:
    case = item.case
    texts = {"question": case.question}
    if case.material:
        texts["material"] = case.material
    speeches = [f"{s.seat} ({s.role}): {s.text}" for s in case.statements]
    if speeches:
        texts["speeches"] = "\n\n".join(speeches)
    return texts | {
        f"option_{letter}": text for letter, text in zip(option_labels(len(case.options)), case.options, strict=True)
    }
