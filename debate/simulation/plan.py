"""The fault plan: which call goes wrong how, a pure function of a seed, the call and the try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from debate.seeds import derive, generator, unit

FaultKind = Literal[
    "time-out before the work",
    "time-out after the work",
    "429 too many requests",
    "500 server error",
    "connection reset",
    "truncated reply",
    "duplicated reply",
    "bad JSON",
    "late reply",
]
KINDS: tuple[FaultKind, ...] = (
    "time-out before the work",
    "time-out after the work",
    "429 too many requests",
    "500 server error",
    "connection reset",
    "truncated reply",
    "duplicated reply",
    "bad JSON",
    "late reply",
)
PAID = ("time-out after the work", "truncated reply", "duplicated reply", "bad JSON")  # worked for, and lost


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong in one simulated run.

    Attributes:
        seed: of everything below.
        rate: probability that a try of a call has a fault.
        most: most faults of one call that is to succeed; with more tries than that nothing is lost.
        doomed: probability that a call never succeeds.
        deaths: the worker dies at these calls, counted over all its lives.
    """

    seed: int
    rate: float = 0.3
    most: int = 4
    doomed: float = 0.0
    deaths: tuple[int, ...] = ()

    @classmethod
    def draw(cls, seed: int) -> FaultPlan:
        """The plan of a seed: from no faults to most calls failing, doomed calls in every third, deaths in most."""
        rng = generator(seed, "faults")
        rate = float(rng.choice([0.0, 0.1, 0.3, 0.6, 0.9]))
        doomed = float(rng.choice([0.0, 0.0, 0.02]))
        deaths = tuple(sorted(int(n) for n in rng.integers(1, 90, size=int(rng.integers(0, 4)))))
        return cls(seed, rate, 4, doomed, deaths)

    def fault(self, call: str, attempt: int) -> FaultKind | None:
        """What happens to a try (0 the first) of a call; None where all goes well."""
        if self.is_doomed(call):
            return KINDS[derive(self.seed, call, attempt, "kind") % (len(KINDS) - 1)]  # late is no failure
        if attempt >= self.most or unit(derive(self.seed, call, attempt)) >= self.rate:
            return None
        return KINDS[derive(self.seed, call, attempt, "kind") % len(KINDS)]

    def is_doomed(self, call: str) -> bool:
        """Whether a call never succeeds."""
        return unit(derive(self.seed, call, "doomed")) < self.doomed


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that happened: its place among all calls, the call, the try and what it was."""

    number: int
    call: str
    attempt: int
    kind: str

    def __str__(self) -> str:
        return f"call {self.number} ({self.call[:12]}, try {self.attempt + 1}): {self.kind}"
