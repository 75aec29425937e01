"""Rewards of critics and of those who revise.

Sources: Saunders et al. (2022), Self-critiquing models for assisting human evaluators; McAleese et al. (2024), LLM
critics help catch LLM bugs; Kumar et al. (2024), Training language models to self-correct via reinforcement learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from judges.criteria import TIE, Use, read_belief
from judges.payoffs.reading import (
    VERIFIERS,
    Verifier,
    check_among,
    check_numbers,
    check_texts,
    claim_truth,
    failed_or_unknown,
    in_phase,
    last,
    role_seats,
    unknown,
    verified,
)
from judges.rewards import UNKNOWN, Reading
from judges.types import Record


@dataclass(frozen=True, slots=True)
class Approval:
    """The judge's probability of one of its options, the same for every seat: of "accept", as a proposer's reward.

    Attributes:
        option: index of the judge's option.
        verdicts: which verdicts count (see `read_belief`).
    """

    option: int = 0
    verdicts: Use = "mean"

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings."""
        belief = read_belief(record, self.verdicts)
        if isinstance(belief, Reading):
            return unknown(record, belief)
        if not 0 <= self.option < len(belief):
            raise ValueError(f"option {self.option} of a verdict over {len(belief)}")
        return unknown(record, Reading(belief[self.option]))


@dataclass(frozen=True, slots=True)
class Flaw:
    """+1 to a critic whose claim of a flaw is validated, −`penalty` for a false alarm, 0 where it claimed none.

    Attributes:
        phase: where the critic says whether there is a flaw. claims: the pick that says so.
        validated: by the "truth" (the proposal is wrong) or by the "judge" (its probability of `option` is below ½; at
            exactly ½ the claim pays 0).
        proposer: the role whose claim or final answer is criticised. verifier: how a free answer is verified.
        penalty: of a false alarm, ≥ 0.
        option: index of the judge's option that approves.
    """

    phase: str = "claim"
    claims: str = "flaw"
    validated: Literal["truth", "judge"] = "truth"
    proposer: str = "proposer"
    verifier: Verifier = "exact"
    penalty: float = 1.0
    option: int = 0

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "phase", "claims", "proposer")
        check_among("validated", self.validated, ("truth", "judge"))
        check_among("verifier", self.verifier, VERIFIERS)
        check_numbers(self, "penalty")
        if self.penalty < 0:
            raise ValueError(f"penalty: expected a number of at least 0, got {self.penalty}")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for seats that made no claim."""
        picks = {act.seat: act.text for act in in_phase(record, self.phase)}
        value: Reading | None = None
        readings = []
        for seat in record.seats:
            if seat not in picks:
                readings.append(UNKNOWN)
            elif picks[seat] != self.claims:
                readings.append(Reading(0.0))
            else:
                value = value or self._validate(record)
                readings.append(value)
        return readings

    def _validate(self, record: Record) -> Reading:
        if self.validated == "truth":
            truth = claim_truth(record, self.proposer, self.verifier)
            return truth if isinstance(truth, Reading) else Reading(-self.penalty if truth else 1.0)
        belief = read_belief(record)
        if isinstance(belief, Reading):
            return belief
        lead = 2.0 * belief[self.option] - 1.0
        return Reading(0.0 if abs(lead) <= TIE else -self.penalty if lead > 0 else 1.0)


@dataclass(frozen=True, slots=True)
class CorrectAt:
    """1 where the seat's last words in a phase are verified as right, 0 where wrong: r(y₁) of a first answer.

    Attributes:
        phase: which words.
        verifier: how they are verified.
    """

    phase: str
    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "phase")
        check_among("verifier", self.verifier, VERIFIERS)

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for seats without such words."""
        return [answered(record, self.phase, seat, self.verifier) for seat in record.seats]


@dataclass(frozen=True, slots=True)
class Improvement:
    """keep · r₂ + α (r₂ − r₁): what a revision earns, r₁ and r₂ whether the first and the last answer are right.

    It belongs to the revising turn alone: paid for the first turn too, it teaches to answer badly first (Kumar et al.
    2024, §5.2; α = 5 is our choice). With keep = 0 and α = 1 it is how much the critique helped.

    Attributes:
        first, last: the phases of the two answers.
        alpha: weight of the change. keep: weight of the last answer itself.
        of: the role whose first seat answers, where others are paid for its change too; "" is each seat's own.
        verifier: how the answers are verified.
    """

    first: str = "answer"
    last: str = "revision"
    alpha: float = 5.0
    keep: float = 1.0
    of: str = ""
    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "first", "last", "of")
        check_numbers(self, "alpha", "keep")
        check_among("verifier", self.verifier, VERIFIERS)

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for a seat one of whose answers cannot be verified."""
        if self.of:
            seats = role_seats(record, self.of)
            return unknown(record, self._read(record, record.seats[seats[0]]) if seats else UNKNOWN)
        return [self._read(record, seat) for seat in record.seats]

    def _read(self, record: Record, seat: str) -> Reading:
        one, two = (answered(record, phase, seat, self.verifier) for phase in (self.first, self.last))
        if one.status != "ok" or two.status != "ok":
            return failed_or_unknown(*(r for r in (one, two) if r.status != "ok")) or UNKNOWN
        return Reading(self.keep * two.value + self.alpha * (two.value - one.value))


@dataclass(frozen=True, slots=True)
class Flip:
    """1 where a revision turned a right answer wrong ("lost") or a wrong one right ("gained"), else 0: for reports.

    Attributes:
        change: "lost" or "gained".
        first, last: the phases of the two answers.
        verifier: how they are verified.
    """

    change: Literal["lost", "gained"]
    first: str = "answer"
    last: str = "revision"
    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_among("change", self.change, ("lost", "gained"))
        check_texts(self, "first", "last")
        check_among("verifier", self.verifier, VERIFIERS)

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings."""
        sign = -1.0 if self.change == "lost" else 1.0
        changes = Improvement(self.first, self.last, 1.0, 0.0, verifier=self.verifier)(record)
        return [Reading(float(r.value == sign)) if r.status == "ok" else r for r in changes]


@dataclass(frozen=True, slots=True)
class Discerned:
    """1 to a critic whose pick says rightly whether an answer is right, else 0.

    Attributes:
        phase: where the critic picks. right: the pick that calls the answer right.
        of: the phase of the answer (its last act counts).
        verifier: how the answer is verified.
    """

    phase: str = "judgement"
    right: str = "right"
    of: str = "answer"
    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "phase", "right", "of")
        check_among("verifier", self.verifier, VERIFIERS)

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for seats that made no pick."""
        answer = last(record, self.of)
        if answer is None:
            return unknown(record)
        truth = verified(record, answer.text, self.verifier)
        readings = []
        for seat in record.seats:
            pick = last(record, self.phase, seat)
            if pick is None:
                readings.append(UNKNOWN)
            elif isinstance(truth, Reading):
                readings.append(truth)
            else:
                readings.append(Reading(float((pick.text == self.right) == bool(truth))))
        return readings


def answered(record: Record, phase: str, seat: str, verifier: Verifier) -> Reading:
    """Whether a seat's last words in a phase are right, as a reading."""
    act = last(record, phase, seat)
    if act is None:
        return UNKNOWN
    found = verified(record, act.text, verifier)
    return found if isinstance(found, Reading) else Reading(found)
