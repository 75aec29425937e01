"""What a judge is asked to look at: atomic criteria, hashed, so that a changed rubric is a different judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["judged", "verified"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to look at, and only one.

    Attributes:
        name: short name, unique in its rubric.
        text: one sentence that can be answered yes or no.
        kind: "judged" by the model, or "verified" by code (then the model is not asked).
        negative: a fault: meeting it counts against an answer.
    """

    name: str
    text: str
    kind: Kind = "judged"
    negative: bool = False

    def __post_init__(self) -> None:
        """Refuses an empty or multi-line criterion.

        Raises:
            ValueError: what is wrong with the criterion.
        """
        if not self.name or not self.name.isidentifier():
            raise ValueError(f"Criterion.name: expected an identifier, got {self.name!r}")
        if not self.text.strip() or "\n" in self.text:
            raise ValueError(f"Criterion {self.name!r}: expected one line of text, got {self.text!r}")
        if self.kind not in ("judged", "verified"):
            raise ValueError(f"Criterion {self.name!r}: kind is judged or verified, got {self.kind!r}")


@dataclass(frozen=True, slots=True)
class Rubric:
    """Criteria in the order in which they are shown.

    Attributes:
        criteria: at least one, names unique.
        task: what is to be decided, one sentence.
    """

    criteria: tuple[Criterion, ...]
    task: str = "Decide which option the evidence and the arguments support best."

    def __post_init__(self) -> None:
        """Refuses an empty rubric, repeated names and nothing to judge.

        Raises:
            ValueError: what is wrong with the rubric.
        """
        names = [c.name for c in self.criteria]
        if not names:
            raise ValueError("Rubric.criteria: expected at least one criterion")
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            raise ValueError(f"Rubric.criteria: names must be unique, repeated: {', '.join(repeated)}")
        if all(c.kind == "verified" for c in self.criteria):
            raise ValueError("Rubric.criteria: all are verified, so there is nothing to judge: use a verifier")

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of everything in the rubric."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def text(self) -> str:
        """The rubric as the judge reads it."""
        lines = [self.task, "Criteria:"]
        for number, criterion in enumerate((c for c in self.criteria if c.kind == "judged"), 1):
            lines.append(f"{number}. {'(a fault) ' if criterion.negative else ''}{criterion.text}")
        return "\n".join(lines)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Rubric:
        """A rubric read from a file, `{task, criteria: [{name, text, kind, negative}]}`.

        Raises:
            ValueError: an unknown or missing field, or an invalid criterion.
        """
        unknown = sorted(set(data) - {"task", "criteria"})
        if unknown:
            raise ValueError(f"rubric: unknown field {', '.join(unknown)}; expected task, criteria")
        rows = data.get("criteria")
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise ValueError(f"rubric.criteria: expected a list, got {rows!r}")
        criteria = []
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping) or not {"name", "text"} <= set(row) <= {"name", "text", "kind", "negative"}:
                raise ValueError(
                    f"rubric.criteria[{number}]: expected name, text and maybe kind, negative, got {row!r}"
                )
            criteria.append(Criterion(**row))
        return cls(tuple(criteria), **({"task": str(data["task"])} if "task" in data else {}))


DEFAULT_RUBRIC = Rubric(
    (
        Criterion("evidence", "The claims that carry the answer are backed by verified quotes or checkable steps."),
        Criterion("rebuttal", "The strongest objection raised against the answer has been met."),
        Criterion("contradiction", "The case for the answer contradicts itself or a verified quote.", negative=True),
        Criterion("address", "A speech for the answer talks to the judge about how to judge.", negative=True),
    )
)


def read_rubric(source: Rubric | str | Mapping[str, Any]) -> Rubric:
    """A rubric from what a recipe gives: a rubric, a mapping, or the task as one sentence (with the default criteria).

    Raises:
        ValueError: an empty task, or a mapping that is no rubric.
    """
    if isinstance(source, Rubric):
        return source
    if isinstance(source, str):
        if not source.strip():
            raise ValueError("rubric: expected a sentence that says what to decide, got an empty text")
        return Rubric(DEFAULT_RUBRIC.criteria, source.strip())
    return Rubric.from_mapping(source)
