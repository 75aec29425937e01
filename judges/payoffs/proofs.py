"""Rewards of provers and verifiers.

Sources: Anil et al. (2021), Learning to give checkable answers with prover-verifier games; Hammond & Adam-Day (2025),
Neural interactive proofs; Wäldchen et al. (2024), Interpretability guarantees with Merlin-Arthur classifiers; Kirchner
et al. (2024), Prover-verifier games improve legibility of LLM outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from judges.payoffs.reading import (
    VERIFIERS,
    Verifier,
    check_among,
    check_numbers,
    check_texts,
    claim_truth,
    decision,
    failed_or_unknown,
    last,
    role_seats,
    unknown,
)
from judges.rewards import UNKNOWN, Reading
from judges.types import Act, Record


@dataclass(frozen=True, slots=True)
class Accepted:
    """1 where the verifier's last decision is to accept, 0 where it is not or where the verifier ran out of turns.

    Paid to every seat that has not decided itself.

    Attributes:
        accept: the decision's text.
    """

    accept: str = "accept"

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" where nothing is known of what happened."""
        if not record.acts:
            return unknown(record)
        found = decision(record)
        value = Reading(float(found is not None and found.text == self.accept))
        deciders = {act.seat for act in record.acts if act.kind == "decision"}
        return [UNKNOWN if seat in deciders else value for seat in record.seats]


@dataclass(frozen=True, slots=True)
class Decided:
    """+1 to the verifier whose decision is right, −1 where it is wrong, `timeout` where it made none.

    Attributes:
        decider: the role that decides.
        claim: the role whose claim is accepted or rejected (right: accepting a true one, rejecting a false one); ""
            where the decision is among the question's own options (right: the label).
        accept: the decision that accepts.
        verifier: how the claim is verified where it is a free answer: one of `judges.criteria.VERIFIERS`.
        timeout: what no decision pays.
    """

    decider: str = "verifier"
    claim: str = ""
    accept: str = "accept"
    verifier: Verifier = "exact"
    timeout: float = -1.0

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "decider", "claim", "accept")
        check_among("verifier", self.verifier, VERIFIERS)
        check_numbers(self, "timeout")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for other roles, and where the truth is not known."""
        if not record.acts:
            return unknown(record)
        seats = role_seats(record, self.decider)
        return [self._read(record, s) if s in seats else UNKNOWN for s in range(len(record.seats))]

    def _read(self, record: Record, seat: int) -> Reading:
        own = [act for act in record.acts if act.kind == "decision" and act.seat == record.seats[seat]]
        if not own:
            return Reading(self.timeout)
        right = self._right(record, own[-1])
        return right if isinstance(right, Reading) else Reading(1.0 if right else -1.0)

    def _right(self, record: Record, act: Act) -> bool | Reading:
        if not self.claim:
            return UNKNOWN if record.label is None else act.option == record.label
        truth = claim_truth(record, self.claim, self.verifier)
        return truth if isinstance(truth, Reading) else (act.text == self.accept) == bool(truth)


@dataclass(frozen=True, slots=True)
class Persuaded:
    """1 where the decision goes the own way: to the label ("truth"), or to any other option ("wrong"); else 0.

    Paid to the seats that spoke, so that of two provers of whom chance draws one, the other is not paid at all.

    Attributes:
        toward: "truth" or "wrong".
    """

    toward: Literal["truth", "wrong"] = "truth"

    def __post_init__(self) -> None:
        """Refuses an unknown side.

        Raises:
            ValueError: what was expected.
        """
        check_among("toward", self.toward, ("truth", "wrong"))

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for seats that did not speak, for the decider, and without a label or a decision."""
        found = decision(record)
        if found is None or record.label is None:
            return unknown(record)
        hit = (found.option == record.label) == (self.toward == "truth")
        spoke = {act.seat for act in record.acts} - {act.seat for act in record.acts if act.kind == "decision"}
        return [Reading(float(hit)) if seat in spoke else UNKNOWN for seat in record.seats]


@dataclass(frozen=True, slots=True)
class Convincing:
    """The verifier's probability of accepting, signed by whether the solution is what the prover's side is to write.

    A helpful prover is to be right, a sneaky one wrong: +v where it is so, −v where it is not (Kirchner et al. 2024).

    Attributes:
        prover: the role.
        draw: the phase in which chance draws the side.
        helpful: the side's name that is to be right.
        accept: the decision that accepts.
        verifier: how the solution is verified.
    """

    prover: str = "prover"
    draw: str = "side"
    helpful: str = "helpful"
    accept: str = "accept"
    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "prover", "draw", "helpful", "accept")
        check_among("verifier", self.verifier, VERIFIERS)

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for other roles, and where side, truth or decision is not known."""
        side, sure = last(record, self.draw), acceptance(record, self.accept)
        if side is None:
            return unknown(record)
        truth = claim_truth(record, self.prover, self.verifier)
        missing = failed_or_unknown(truth, sure)
        if missing is not None:
            return unknown(record, missing)
        assert not isinstance(truth, Reading) and not isinstance(sure, Reading)
        value = sure if bool(truth) == (side.text == self.helpful) else -sure
        seats = role_seats(record, self.prover)
        return [Reading(value) if s in seats else UNKNOWN for s in range(len(record.seats))]


@dataclass(frozen=True, slots=True)
class AcceptScore:
    """The quadratic proper score of the verifier's probability of accepting, against the truth of the claim.

    −2 (p − y)², y = 1 for a true claim: the Brier score of the two outcomes (0 is best, −2 worst).

    Attributes:
        decider, claim: the roles.
        accept: the decision that accepts.
        verifier: how the claim is verified where it is a free answer.
    """

    decider: str = "verifier"
    claim: str = "prover"
    accept: str = "accept"
    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "decider", "claim", "accept")
        check_among("verifier", self.verifier, VERIFIERS)

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for other roles."""
        sure, truth = acceptance(record, self.accept), claim_truth(record, self.claim, self.verifier)
        missing = failed_or_unknown(truth, sure)
        if missing is not None:
            return unknown(record, missing)
        assert not isinstance(truth, Reading) and not isinstance(sure, Reading)
        seats = role_seats(record, self.decider)
        value = Reading(0.0 - 2.0 * (sure - truth) ** 2)
        return [value if s in seats else UNKNOWN for s in range(len(record.seats))]


def acceptance(record: Record, accept: str) -> float | Reading:
    """The probability that the decision accepts: of the deciding seat, where it is known, else whether it did."""
    found = decision(record)
    if found is None:
        return UNKNOWN
    if found.probabilities and accept in record.case.options:
        return found.probabilities[record.case.options.index(accept)]
    return float(found.text == accept)
