"""A queue for people: cases nobody else could judge wait in a file, and are judged once a person has answered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from judges.types import Case, Quote, Statement, Verdict


def case_key(case: Case) -> str:
    """A name for a case that depends on its content alone."""
    return hashlib.sha256(json.dumps(asdict(case), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class HumanQueue:
    """A judge that writes a case down and abstains until a person has answered it.

    Two append-only JSON-lines files: `pending` (written here: key, case) and `answers` (written by whatever people
    use: key, option, by, and maybe reason). A case is queued once; the last answer to it counts. As the last stage of a
    `CascadeJudge` it makes re-judging old transcripts pick up what people have said since.

    Attributes:
        folder: where both files are.
        name: the judge's name.
    """

    folder: Path
    name: str = "human_queue"

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds."""
        parts = ("version", "prompt", "rubric", "decoding", "parser")
        return {"model": f"people:{self.name}", **dict.fromkeys(parts, "people"), "scale": "one option"}

    async def __call__(self, case: Case) -> Verdict:
        """The person's answer, or an abstention that says that the case is waiting."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order; what is newly queued is on disk when this returns."""
        try:
            answers = {row["key"]: row for row in _read(self.folder / "answers.jsonl", ("key", "option", "by"))}
            waiting = {row["key"] for row in _read(self.folder / "pending.jsonl", ("key", "case"))}
            new = {case_key(c): c for c in cases}
            fresh = {k: c for k, c in new.items() if k not in answers and k not in waiting}
            if fresh:
                _append(self.folder / "pending.jsonl", [{"key": k, "case": asdict(c)} for k, c in fresh.items()])
        except (OSError, ValueError) as error:
            return [Verdict.failed(self.name, f"the queue is not usable: {error}") for _ in cases]
        return [self._verdict(case, answers.get(case_key(case))) for case in cases]

    def pending(self) -> dict[str, Case]:
        """The cases that wait for an answer, by key, oldest first.

        Raises:
            ValueError: a damaged file.
        """
        answered = {row["key"] for row in _read(self.folder / "answers.jsonl", ("key", "option", "by"))}
        rows = _read(self.folder / "pending.jsonl", ("key", "case"))
        return {row["key"]: _case(row["case"]) for row in rows if row["key"] not in answered}

    def answer(self, key: str, option: int, by: str, reason: str = "") -> None:
        """Writes a person's answer; on disk when it returns.

        Raises:
            ValueError: no case of that key was queued, or it has no such option.
        """
        rows = {row["key"]: row["case"] for row in _read(self.folder / "pending.jsonl", ("key", "case"))}
        if key not in rows:
            raise ValueError(f"no case {key!r} was queued")
        if not 0 <= option < len(rows[key]["options"]):
            raise ValueError(f"case {key!r} has {len(rows[key]['options'])} options, got option {option}")
        _append(self.folder / "answers.jsonl", [{"key": key, "option": option, "by": by, "reason": reason}])

    def _verdict(self, case: Case, row: dict[str, Any] | None) -> Verdict:
        if row is None:
            return Verdict.failed(self.name, "waiting for a person", "abstain")
        option = row["option"]
        if isinstance(option, bool) or not isinstance(option, int) or not 0 <= option < len(case.options):
            return Verdict.failed(self.name, f"{row['by']} answered option {option!r} of {len(case.options)}")
        certain = tuple(float(k == option) for k in range(len(case.options)))
        return Verdict(self.name, certain, rationale=str(row.get("reason", "")))


def _read(path: Path, required: Sequence[str]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line:
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if not isinstance(row, dict) or not set(required) <= set(row):
            raise ValueError(f"{path}, line {number}: expected the fields {', '.join(required)}")
        rows.append(row)
    return rows


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def _case(row: dict[str, Any]) -> Case:
    statements = tuple(
        Statement(s["seat"], s["role"], s["phase"], s["text"], tuple(_quote(q) for q in s["quotes"]))
        for s in row["statements"]
    )
    return Case(row["question"], tuple(row["options"]), statements, row["material"])


def _quote(row: dict[str, Any]) -> Quote:
    return Quote(row["text"], None if row["span"] is None else (row["span"][0], row["span"][1]), row["verified"])
