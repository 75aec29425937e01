"""The panel's labels: from a ledger or a file, or simulated, and then named so."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from debate.errors import UserError
from debate.seeds import generator
from judges.charter.labels import SIMULATED, LabelledCase
from judges.labels.exchange import read_labels
from judges.labels.ledger import Label, Ledger


def read_labels_of(path: Path) -> list[Label]:
    """The labels in a ledger, or in a file of JSON lines.

    Raises:
        UserError: no such file, or one that is neither.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a ledger or labels as JSON lines")
    with path.open("rb") as file:
        is_ledger = file.read(16) == b"SQLite format 3\0"
    try:
        if is_ledger:
            with Ledger(path, read_only=True) as ledger:
                return ledger.labels()
        return read_labels(path)
    except (ValueError, sqlite3.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no readable labels ({error})") from None


def open_ledger(path: Path) -> Ledger:
    """A ledger to write to; made where there is none.

    Raises:
        UserError: the file is no ledger, or cannot be written.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder")
    try:
        return Ledger(path)
    except sqlite3.Error as error:
        raise UserError(f"{path}: not a ledger that can be written ({error})") from None


def simulate_panel(
    items: Sequence[LabelledCase], experts: int, accuracy: float, repeats: float, cost: float, seed: int
) -> list[Label]:
    """Labels of simulated experts, who know the objective label and err independently: for trials, never for use.

    Args:
        items: cases with labels.
        experts: how many; they are called simulated-1, simulated-2, …
        accuracy: probability of each answer to be the label; a wrong one is any other option.
        repeats: share of the items that each expert is asked twice.
        cost: dollars a label.
        seed: same seed, same labels.

    Raises:
        UserError: an item without a label, or numbers out of range.
    """
    if experts < 1 or not 0.0 <= accuracy <= 1.0:
        raise UserError(f"--simulate: expected an expert or more and an accuracy, got {experts} and {accuracy}")
    labels = []
    for number in range(1, experts + 1):
        for item in items:
            if item.label is None:
                raise UserError(f"item {item.id!r} has no label that simulated experts could know")
            draw = generator(seed, "simulated panel", number, item.id)
            for repeat in range(2 if draw.random() < repeats else 1):
                value = _answer(item.label, len(item.case.options), accuracy, draw)
                labels.append(Label(item.id, f"{SIMULATED}{number}", value, cost, repeat=repeat, domain=item.domain))
    return labels


def _answer(label: int, options: int, accuracy: float, draw: np.random.Generator) -> int:
    if draw.random() < accuracy:
        return label
    return (label + int(draw.integers(1, options))) % options
