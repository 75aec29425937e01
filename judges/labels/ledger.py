"""The ledger of bought labels: append-only, acknowledged labels survive a crash, none is entered twice.

SQLite in WAL mode with `synchronous=FULL`: when `append` returns, the label is on disk. A label's key is (item, expert,
repeat): entering it again is a no-op, entering something else under the same key is an error.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    item TEXT NOT NULL, expert TEXT NOT NULL, repeat INTEGER NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (item, expert, repeat)
);
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON labels BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON labels BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


@dataclass(frozen=True, slots=True)
class Label:
    """One bought label.

    Attributes:
        item: what was labelled.
        expert: who labelled it.
        value: the class index given; None where the expert was asked and could not say.
        cost: dollars paid.
        inclusion: probability with which the item was drawn; below 1 for audit samples, 1 where it was chosen for its
            information. Only labels with `audit` are a random sample.
        repeat: 0, 1, … for the same question asked of the same expert again.
        domain: the item's domain.
        audit: whether it was drawn at random.
    """

    item: str
    expert: str
    value: int | None
    cost: float = 0.0
    inclusion: float = 1.0
    repeat: int = 0
    domain: str = ""
    audit: bool = False

    def __post_init__(self) -> None:
        """Refuses what no ledger should hold.

        Raises:
            ValueError: no item or expert, a negative cost, class or repeat, an inclusion probability outside (0, 1].
        """
        if not self.item or not self.expert:
            raise ValueError(f"Label: expected an item and an expert, got {self.item!r} and {self.expert!r}")
        if self.value is not None and (type(self.value) is not int or self.value < 0):
            raise ValueError(f"Label of {self.item!r}: expected a class index or None, got {self.value!r}")
        if not (math.isfinite(self.cost) and self.cost >= 0 and 0 < self.inclusion <= 1 and self.repeat >= 0):
            raise ValueError(
                f"Label of {self.item!r}: cost {self.cost}, inclusion {self.inclusion}, repeat {self.repeat}"
            )


class Ledger:
    """The ledger in one file. One writer; any number of readers."""

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        """Opens the ledger; a writer makes the file where there is none.

        Raises:
            sqlite3.Error: the file is no ledger, or a reader found none.
        """
        mode = "ro" if read_only else "rwc"
        place = Path(path).absolute().as_uri()
        self._connection = sqlite3.connect(f"{place}?mode={mode}", uri=True, isolation_level=None, timeout=30.0)
        if not read_only:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)

    def append(self, label: Label) -> bool:
        """Enters a label; False where the very same label stands there already.

        Raises:
            ValueError: another label stands there under the same item, expert and repeat.
        """
        return self.extend([label]) == 1

    def extend(self, labels: Iterable[Label]) -> int:
        """Enters several labels, all or none; how many were new.

        Raises:
            ValueError: as `append`.
        """
        added = 0
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for label in labels:
                added += self._enter(label)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        return added

    def labels(self) -> list[Label]:
        """All labels in the order in which they were entered."""
        rows = self._connection.execute("SELECT content FROM labels ORDER BY number")
        return [Label(**json.loads(content)) for (content,) in rows]

    def spent(self) -> float:
        """Dollars paid so far."""
        return math.fsum(label.cost for label in self.labels())

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM labels").fetchone()
        return int(count)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _enter(self, label: Label) -> int:
        key = (label.item, label.expert, label.repeat)
        content = json.dumps(asdict(label), sort_keys=True)
        found = self._connection.execute(
            "SELECT content FROM labels WHERE item = ? AND expert = ? AND repeat = ?", key
        ).fetchone()
        if found is None:
            self._connection.execute(
                "INSERT INTO labels (item, expert, repeat, content) VALUES (?, ?, ?, ?)", (*key, content)
            )
            return 1
        if found[0] != content:
            raise ValueError(f"Ledger: {key} was labelled before: {found[0]}, now {content}")
        return 0


def label_counts(
    labels: Iterable[Label], items: Sequence[str], experts: Sequence[str], classes: int
) -> NDArray[np.float64]:
    """[items, experts, classes] how often each expert gave each class, for `dawid_skene` and the agreement statistics.

    Labels of other items or experts are left out, and so are experts' "cannot say".

    Raises:
        ValueError: a class index that is not below `classes`.
    """
    rows, columns = ({name: i for i, name in enumerate(names)} for names in (items, experts))
    counts = np.zeros((len(items), len(experts), classes))
    for label in labels:
        if label.value is None or label.item not in rows or label.expert not in columns:
            continue
        if label.value >= classes:
            raise ValueError(f"label_counts: class {label.value} of item {label.item!r}, expected below {classes}")
        counts[rows[label.item], columns[label.expert], label.value] += 1
    return counts
