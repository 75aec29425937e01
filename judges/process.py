"""Rewards for single turns, and the schedule that takes them away.

Potential-based shaping leaves optimal policies as they are (Ng, Harada & Russell 1999), and for the same reason its sum
over an episode is only Φ(end) − Φ(start): under a baseline over whole episodes with one start it cancels. So these
rewards belong in step-level advantages, with a weight λ_t that reaches exactly 0 before anything is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from judges.rewards import UNKNOWN, Reading
from judges.types import Verdict


@dataclass(frozen=True, slots=True)
class ProcessReward:
    """One reading for each turn of a seat, from verdicts on the debate as it stood.

    Kinds: "potential" is γ Φ(after) − Φ(before), Φ the judge's probability of the seat's own answer, with
    Φ(end) = 0 (so that it is a shaping in the sense of Ng et al.); "gain" is Φ(after) − Φ(before) throughout, which
    pays for persuading the judge and has to be annealed; "level" is Φ(after).

    Attributes:
        kind: how a turn is paid.
        gamma: discount of the return that the shaping is added to.
    """

    kind: Literal["potential", "gain", "level"] = "potential"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Refuses unknown kinds and discounts.

        Raises:
            ValueError: what is wrong.
        """
        if self.kind not in ("potential", "gain", "level"):
            raise ValueError(f"ProcessReward.kind: expected potential, gain or level, got {self.kind!r}")
        if not 0.0 < self.gamma <= 1.0:
            raise ValueError(f"ProcessReward.gamma: expected a number in (0, 1], got {self.gamma}")

    def __call__(self, verdicts: Sequence[Verdict], own: int) -> list[Reading]:
        """The readings of a seat's turns.

        Args:
            verdicts: [T + 1] on the debate before its first turn and after each of its T turns.
            own: index of the option that the seat defends.

        Returns:
            [T]; "not known" (or "error") for a turn where a verdict that it needs is missing.

        Raises:
            ValueError: no verdicts, or an option that a verdict does not have.
        """
        if len(verdicts) < 1:
            raise ValueError("ProcessReward: expected the verdict before the first turn and one after each turn")
        for t, verdict in enumerate(verdicts):
            if verdict.probabilities is not None and not 0 <= own < len(verdict.probabilities):
                raise ValueError(f"ProcessReward: verdict {t} has no option {own}")
        return [self._turn(verdicts, own, t) for t in range(len(verdicts) - 1)]

    def _turn(self, verdicts: Sequence[Verdict], own: int, t: int) -> Reading:
        before, after = verdicts[t], verdicts[t + 1]
        last = t + 2 == len(verdicts)
        needed = [after] if self.kind == "level" else [before] if self.kind == "potential" and last else [before, after]
        for verdict in needed:
            if verdict.probabilities is None:
                return Reading(math.nan, "error") if verdict.status == "error" else UNKNOWN
        here = before.probabilities[own] if before.probabilities is not None else math.nan
        there = after.probabilities[own] if after.probabilities is not None else math.nan
        if self.kind == "level":
            return Reading(there)
        if self.kind == "gain":
            return Reading(there - here)
        return Reading(-here if last else self.gamma * there - here)


Schedule = Sequence[tuple[float, float]] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Anneal:
    """The weight λ_t at step t: straight lines between knots, constant before the first, exactly 0 from the last on.

    Attributes:
        knots: (step, weight), steps increasing, weights ≥ 0, the last one 0.
    """

    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Refuses a schedule that does not end at 0.

        Raises:
            ValueError: what is wrong with the knots.
        """
        if not self.knots:
            raise ValueError("anneal: expected at least one (step, weight)")
        steps = [step for step, _ in self.knots]
        if not all(math.isfinite(x) and w >= 0 and math.isfinite(w) for x, w in self.knots):
            raise ValueError(f"anneal: expected finite steps and weights ≥ 0, got {self.knots}")
        if any(b <= a for a, b in pairwise(steps)):
            raise ValueError(f"anneal: expected increasing steps, got {steps}")
        if self.knots[-1][1] != 0.0:
            raise ValueError(f"anneal: the last weight must be exactly 0, got {self.knots[-1][1]}")

    @property
    def end(self) -> float:
        """The step from which on the weight is 0."""
        return self.knots[-1][0]

    def __call__(self, step: float) -> float:
        """λ at a step."""
        if step >= self.end:
            return 0.0
        if step <= self.knots[0][0]:
            return self.knots[0][1]
        for (a, low), (b, high) in pairwise(self.knots):
            if step < b:
                return low + (high - low) * (step - a) / (b - a)
        return 0.0


def anneal(schedule: Schedule) -> Callable[[float], float]:
    """The weight of process rewards as a function of the training step, ending at exactly 0.

    Args:
        schedule: knots [(step, weight), …], or {"start": weight, "steps": N, "shape": "linear" | "cosine" | "constant",
            "hold": steps before it falls}.

    Raises:
        ValueError: a schedule that is not one of these or does not end at 0.

    >>> weight = anneal({"start": 1.0, "steps": 10})
    >>> weight(0), weight(5), weight(10)
    (1.0, 0.5, 0.0)
    """
    if not isinstance(schedule, Mapping):
        return Anneal(tuple((float(step), float(weight)) for step, weight in schedule))
    unknown = sorted(set(schedule) - {"start", "steps", "shape", "hold"})
    if unknown or "steps" not in schedule:
        raise ValueError(f"anneal: expected start, steps, shape, hold (steps required), got {sorted(schedule)}")
    start, hold, steps = float(schedule.get("start", 1.0)), float(schedule.get("hold", 0.0)), float(schedule["steps"])
    shape = schedule.get("shape", "linear")
    if not steps > hold >= 0:
        raise ValueError(f"anneal: expected steps > hold ≥ 0, got steps {steps}, hold {hold}")
    if shape == "linear":
        return Anneal(((hold, start), (steps, 0.0)))
    if shape == "constant":
        return Anneal(((hold, start), (math.nextafter(steps, hold), start), (steps, 0.0)))
    if shape == "cosine":
        places = [k / 32 for k in range(32)]
        curve = [(hold + x * (steps - hold), start * 0.5 * (1.0 + math.cos(math.pi * x))) for x in places]
        return Anneal((*curve, (steps, 0.0)))
    raise ValueError(f"anneal: shape is linear, cosine or constant, got {shape!r}")
