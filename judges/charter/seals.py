"""Who has seen which items: a judge is gauged once on each, whatever split they come in.

The seal is of the items, not of a file: another limit, another order, one item more or a renewed rating makes no fresh
split of items that were seen. It breaks for good when a gauge has reported; one that was interrupted before it reported
anything has told nobody anything, and the same judge may go on with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judges.charter.labels import LabelledCase


def item_seal(item: LabelledCase) -> str:
    """What names an item without showing it: a hash of what a judge sees, in any order of the options."""
    case = item.case
    seen = (case.question, sorted(case.options), case.statements, case.material)
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SealBook:
    """An append-only file that records which judge has been gauged on which sealed items: once on each.

    A line is {"judge", "split", "event": "opened" or "reported", "items"}: identity hash, hash of the split, and the
    seals of its items.

    Attributes:
        path: a JSON-lines file.
    """

    path: Path

    def seen(self, judge: str, items: Iterable[LabelledCase]) -> int:
        """How many of these items this judge has been gauged on, to the report's end.

        Raises:
            ValueError: a line that is not a record; the book then proves nothing.
        """
        known = {
            seal
            for row in self._rows()
            if row["event"] == "reported" and row["judge"] == judge
            for seal in row["items"]
        }
        return sum(item_seal(item) in known for item in items)

    def interrupted(self, judge: str, split: str) -> bool:
        """Whether this judge was once asked about this very split and the gauge never reported.

        Raises:
            ValueError: as `seen`.
        """
        events = [row["event"] for row in self._rows() if row["judge"] == judge and row["split"] == split]
        return "opened" in events and "reported" not in events

    def others(self, judge: str, items: Iterable[LabelledCase]) -> int:
        """How many other judges have reported on some of these items.

        Raises:
            ValueError: as `seen`.
        """
        wanted = {item_seal(item) for item in items}
        rows = [row for row in self._rows() if row["event"] == "reported" and row["judge"] != judge]
        return len({row["judge"] for row in rows if wanted.intersection(row["items"])})

    def open(self, judge: str, split: str, items: Iterable[LabelledCase]) -> None:
        """Records that a judge is about to see items; on disk when it returns."""
        self._append(judge, split, "opened", items)

    def report(self, judge: str, split: str, items: Iterable[LabelledCase]) -> None:
        """Records that a gauge of these items has reported: their seal is broken for this judge."""
        self._append(judge, split, "reported", items)

    def _append(self, judge: str, split: str, event: str, items: Iterable[LabelledCase]) -> None:
        row = {"judge": judge, "split": split, "event": event, "items": [item_seal(item) for item in items]}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _rows(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                whole = {"judge": str(row["judge"]), "split": str(row["split"]), "event": row["event"]}
                if row["event"] not in ("opened", "reported") or not isinstance(row["items"], list):
                    raise ValueError("expected an event and its items")
                yield {**whole, "items": row["items"]}
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{self.path}, line {number}: not a seal record ({error})") from None
