"""Rewards of two games with a rule of their own, and the price of a turn.

Sources: Cheng et al. (2024), Self-playing adversarial language game enhances LLM reasoning (Adversarial Taboo);
Brown-Cohen, Irving & Piliouras (2024), Scalable AI safety via doubly-efficient debate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from judges.payoffs.reading import check_numbers, check_texts, last, role_seats, says, two_sides, unknown
from judges.rewards import UNKNOWN, Reading
from judges.types import Record


@dataclass(frozen=True, slots=True)
class Taboo:
    """Adversarial Taboo, zero-sum: who says the secret word first decides.

    The defender says it without knowing: the attacker wins. The defender guesses it: the defender wins; a wrong guess
    loses. The attacker says it itself: the defender wins. Nothing of it: 0, a tie.

    Attributes:
        attacker, defender: the roles.
        guess: the phase of the defender's guess.
    """

    attacker: str = "attacker"
    defender: str = "defender"
    guess: str = "guess"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "attacker", "defender", "guess")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" without a secret (the reference answer) or without acts."""
        if not record.gold or not record.acts:
            return unknown(record)
        return two_sides(record, self.attacker, self.defender, self._outcome(record, record.gold))

    def _outcome(self, record: Record, secret: str) -> float:
        for act in record.acts:
            if not act.public or act.option is not None:
                continue
            said = says(act.text, secret)
            if act.role == self.defender and act.phase == self.guess:
                return -1.0 if said else 1.0
            if said and act.role in (self.attacker, self.defender):
                return 1.0 if act.role == self.defender else -1.0
        return 0.0


@dataclass(frozen=True, slots=True)
class Stepwise:
    """Doubly-efficient debate, zero-sum: Alice gets +1 where the output is 1, Bob where it is 0.

    A challenge is settled by Vera, who checks that step alone: the output is 1 where the step holds, else 0. Without a
    challenge the output is the last step's bit.

    Attributes:
        alice, bob: the roles.
        bit: the phase of the sampled bits ("1" or "0").
        ruling: the phase of Vera's decision. holds: the decision that upholds the step.
    """

    alice: str = "alice"
    bob: str = "bob"
    bit: str = "bit"
    ruling: str = "ruling"
    holds: str = "holds"

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "alice", "bob", "bit", "ruling", "holds")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" for other roles, and where there is no output."""
        ruled, final = last(record, self.ruling), last(record, self.bit)
        if ruled is None and final is None:
            return unknown(record)
        if ruled is not None:
            output = ruled.text == self.holds
        else:
            assert final is not None
            if final.text not in ("0", "1"):
                raise ValueError(f"phase {self.bit!r}: expected the bits 0 or 1, got {final.text!r}")
            output = final.text == "1"
        return two_sides(record, self.alice, self.bob, 1.0 if output else -1.0)


@dataclass(frozen=True, slots=True)
class Turns:
    """How often a seat moved, times `scale`: the price of a judge's questions, or the cost of each agent.

    Attributes:
        phase: which moves count; "" counts all.
        scale: what one move pays; a price is negative.
        role: who pays; "" everyone.
    """

    phase: str = ""
    scale: float = -1.0
    role: str = ""

    def __post_init__(self) -> None:
        """Refuses settings of the wrong kind.

        Raises:
            ValueError: what was expected.
        """
        check_texts(self, "phase", "role")
        check_numbers(self, "scale")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" where nothing is known of what happened."""
        if not record.acts:
            return unknown(record)
        counted = [act.seat for act in record.acts if self.phase in ("", act.phase)]
        paid = role_seats(record, self.role) if self.role else range(len(record.seats))
        return [
            Reading(0.0 + self.scale * counted.count(seat)) if s in paid else UNKNOWN
            for s, seat in enumerate(record.seats)
        ]
