"""Rewards of seats that defend answers: the ladder of bound proposals, the gain of votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from judges.criteria import TIE, Truth, Use, read_belief
from judges.payoffs.reading import (
    check_among,
    check_numbers,
    check_texts,
    in_phase,
    role_seats,
    unknown,
)
from judges.rewards import UNKNOWN, Reading
from judges.types import Record


@dataclass(frozen=True, slots=True)
class Ladder:
    """The ladder of proposals that were bound before anyone saw the other's: alone right pays more than agreeing.

    The judge's single most probable option is the winner. A seat that alone defends it gets `win`, one that shares it
    `shared`; a seat whose answer lost gets `loss`, or `shared_loss` where every defended answer lost; a seat whose
    answer is among several at the top gets `tie`. General-sum: both may lose.

    Attributes:
        win, loss, shared, shared_loss, tie: what each outcome pays.
        verdicts: which verdicts count (see `read_belief`).
    """

    win: float = 1.0
    loss: float = -1.0
    shared: float = 0.0
    shared_loss: float = -1.0
    tie: float = 0.0
    verdicts: Use = "mean"

    def __post_init__(self) -> None:
        """Refuses payments that are not numbers.

        Raises:
            ValueError: which.
        """
        check_numbers(self, "win", "loss", "shared", "shared_loss", "tie")
        check_among("verdicts", self.verdicts, ("mean", "first", "last", "all"))

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for a seat that defends nothing."""
        belief = read_belief(record, self.verdicts)
        if isinstance(belief, Reading):
            return unknown(record, belief)
        best = max(belief)
        top = {k for k, p in enumerate(belief) if p >= best - TIE}
        defended = Counter(answer for answer in record.answers if answer is not None)
        return [UNKNOWN if own is None else Reading(self._pay(own, top, defended)) for own in record.answers]

    def _pay(self, own: int, top: set[int], defended: Counter[int]) -> float:
        if own in top:
            return self.tie if len(top) > 1 else self.win if defended[own] == 1 else self.shared
        return self.loss if any(answer in top for answer in defended) else self.shared_loss


@dataclass(frozen=True, slots=True)
class VoteGain:
    """How much a debate moved the jury: the share of votes for the own answer after it, minus the share before.

    With two defended answers a seat's gain is half the difference of the two, so that the sides' gains are opposite;
    pay "sign" makes it +1, −1, or 0 for a draw (equal gains).

    Attributes:
        before, after: the phases of the two votes; a juror who voted in one only makes the gain "not known".
        pay: "share" or "sign".
    """

    before: str = "pre_vote"
    after: str = "post_vote"
    pay: Literal["share", "sign"] = "share"

    def __post_init__(self) -> None:
        """Refuses an unknown kind of pay.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "before", "after")
        check_among("pay", self.pay, ("share", "sign"))

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for a seat that defends nothing, and where the votes are not complete."""
        before = {act.seat: act.option for act in in_phase(record, self.before)}
        after = {act.seat: act.option for act in in_phase(record, self.after)}
        if not before or set(before) != set(after) or None in before.values() or None in after.values():
            return unknown(record)
        gains: Counter[int] = Counter(option for option in after.values() if option is not None)
        gains.subtract(option for option in before.values() if option is not None)
        sides = {answer for answer in record.answers if answer is not None}
        readings = []
        for own in record.answers:
            if own is None:
                readings.append(UNKNOWN)
                continue
            others = sides - {own}
            lead = (gains[own] - gains[min(others)]) / 2 if len(others) == 1 else float(gains[own])
            sign = float((lead > 0) - (lead < 0))
            readings.append(Reading(sign if self.pay == "sign" else lead / len(before)))
        return readings


@dataclass(frozen=True, slots=True)
class WhenWrong:
    """Truth of the verdict (1, ½ on a tie, 0) where a role defends a wrong answer; "not known" where it is right.

    Its mean is the judge's accuracy when the protagonist is wrong (Kenton et al. 2024, open debate).

    Attributes:
        role: whose answer.
        verdicts: which verdicts count (see `read_belief`).
    """

    role: str
    verdicts: Use = "mean"

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings, the same for every seat."""
        seats = role_seats(record, self.role)
        own = record.answers[seats[0]] if seats else None
        if own is None or record.label is None or own == record.label:
            return unknown(record)
        return Truth(self.verdicts)(record)
