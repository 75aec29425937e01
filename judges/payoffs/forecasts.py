"""Rewards for numbers that are stated in a debate: forecasts of the judge, and estimates that must stay consistent.

Sources: Hubinger (2020), AI safety via market making; Brown-Cohen, Irving & Piliouras (2025), Avoiding obfuscation with
prover-estimator debate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from judges.criteria import Belief, Use, read_belief
from judges.payoffs.reading import (
    check_among,
    check_numbers,
    check_texts,
    in_phase,
    number,
    role_seats,
    two_sides,
    unknown,
)
from judges.rewards import UNKNOWN, Reading
from judges.types import Record


def _believed(belief: Belief, option: int) -> float:
    if not 0 <= option < len(belief):
        raise ValueError(f"option {option} of a verdict over {len(belief)}")
    return belief[option]


@dataclass(frozen=True, slots=True)
class Forecast:
    """−(f − p)²: the proper score of forecasts f of the judge's final probability p, meaned over the forecasts.

    Attributes:
        phase: where the forecasts are picked, as numbers.
        option: index of the judge's option that is forecast.
        use: "mean" of all forecasts, or the "last" alone.
        verdicts: which verdicts count (see `read_belief`).
    """

    phase: str = "forecast"
    option: int = 0
    use: Literal["mean", "last"] = "mean"
    verdicts: Use = "mean"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "phase")
        check_among("use", self.use, ("mean", "last"))

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for seats that made no forecast."""
        belief = read_belief(record, self.verdicts)
        if isinstance(belief, Reading):
            return unknown(record, belief)
        target = _believed(belief, self.option)
        readings = []
        for seat in record.seats:
            made = [number(act) for act in in_phase(record, self.phase, seat)]
            made = made[-1:] if self.use == "last" else made
            score = sum((f - target) ** 2 for f in made) / len(made) if made else 0.0
            readings.append(Reading(0.0 - score) if made else UNKNOWN)
        return readings


@dataclass(frozen=True, slots=True)
class BeliefChange:
    """How far the numbers of a phase moved: the adversary of a market is paid for moving them.

    Attributes:
        phase: where they are picked.
        pay: "steps" is Σ |f_t − f_{t−1}|, "net" is |f_T − f_0|.
        role: who is paid.
    """

    role: str
    phase: str = "forecast"
    pay: Literal["steps", "net"] = "steps"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "role", "phase")
        check_among("pay", self.pay, ("steps", "net"))

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" with fewer than two numbers, and for other roles."""
        made = [number(act) for act in in_phase(record, self.phase)]
        if len(made) < 2:
            return unknown(record)
        moved = sum(abs(b - a) for a, b in pairwise(made)) if self.pay == "steps" else abs(made[-1] - made[0])
        seats = role_seats(record, self.role)
        return [Reading(moved) if s in seats else UNKNOWN for s in range(len(record.seats))]


@dataclass(frozen=True, slots=True)
class EstimateGap:
    """Zero-sum: Σ_d λ^d s_d (q_d − p_d) to the prover, the negative to the estimator, summed over the depths d.

    At depth d the prover picks a subclaim that the estimator gave the probability p_d, and says on which side of the
    truth it is: s_d = +1 "too low", −1 "too high". q_d is what the claim turns out to be worth: the estimator's own
    estimate of it after seeing its subclaims, and at the last depth the oracle's probability. So the estimator loses
    wherever it does not stay consistent; λ > 1 makes later depths count more, so that an estimate that is right now
    cannot be worth giving up for one that must be defended later.

    Attributes:
        prover, estimator: the roles.
        estimates: the phases in which the subclaims' probabilities are picked, in the order of the subclaims.
        pick: where the prover picks a subclaim. sign: where it says "too low" or "too high".
        again: where the estimator estimates the claim again, at the next depth.
        growth: λ > 1.
        option: index of the oracle's option that says that the claim holds.
    """

    prover: str = "prover"
    estimator: str = "estimator"
    estimates: tuple[str, ...] = ("estimate_1", "estimate_2")
    pick: str = "pick"
    sign: str = "sign"
    again: str = "again"
    growth: float = 1.5
    option: int = 0

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        object.__setattr__(self, "estimates", tuple(self.estimates))
        check_texts(self, "prover", "estimator", "pick", "sign", "again")
        check_numbers(self, "growth")
        if self.growth <= 1.0:
            raise ValueError(f"growth: expected a number above 1, got {self.growth}")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for other roles, and where a depth was not played to its end."""
        oracle = read_belief(record)
        if isinstance(oracle, Reading):
            return unknown(record, oracle)
        picks, signs = in_phase(record, self.pick), in_phase(record, self.sign)
        columns = [in_phase(record, phase) for phase in self.estimates]
        later = [number(act) for act in in_phase(record, self.again)]
        depth = len(picks)
        if not depth or len(signs) != depth or any(len(column) != depth for column in columns):
            return unknown(record)
        found = [*later[-(depth - 1) :], _believed(oracle, self.option)] if depth > 1 else [oracle[self.option]]
        if len(found) != depth:
            return unknown(record)
        total = 0.0
        for d, (pick, sign) in enumerate(zip(picks, signs, strict=True)):
            if pick.option is None or not 0 <= pick.option < len(columns):
                return unknown(record)
            side = {"too low": 1.0, "too high": -1.0}.get(sign.text)
            if side is None:
                raise ValueError(f"phase {self.sign!r}: expected 'too low' or 'too high', got {sign.text!r}")
            total += self.growth**d * side * (found[d] - number(columns[pick.option][d]))
        return two_sides(record, self.prover, self.estimator, total)
