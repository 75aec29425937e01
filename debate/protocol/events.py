"""What a match is made of: its setup, moves, and the events that moves become once their slot is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from debate.protocol.position import Cursor
from debate.protocol.spec import DebateProtocol, Kind, Visibility
from debate.questions import Question
from judges.types import Quote


@dataclass(frozen=True, slots=True)
class Setup:
    """What is fixed before the first move.

    Attributes:
        protocol: what is played.
        question: what about.
        answers: seat → the option it defends from the start (None: none); play may bind others (`kernel.answers`).
        seed: of what the rules themselves draw: the option that an opposing seat defends, and random ties.
    """

    protocol: DebateProtocol
    question: Question
    answers: Mapping[str, int | None]
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """What a seat does in a slot: words, or the index of a choice (with the probabilities of all, for a decision).

    Attributes:
        text: the words.
        option: index of the choice.
        probabilities: of the choices, for a decision.
        tokens: how many tokens the words took; None where the engine hides them.
        passed: whether the seat had nothing left of its budget to speak with.
    """

    text: str = ""
    option: int | None = None
    probabilities: tuple[float, ...] = ()
    tokens: int | None = None
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A move, once its slot is over.

    Attributes:
        slot: running number of the slot in this match: equal numbers are simultaneous.
        seat, role, phase, kind, channel, visibility: who moved, and where the words went.
        text: the words as others may read them: cleaned and cut to the budget.
        quotes: what code verified of them.
        option: index of the choice picked.
        legal: whether the pick was legal; None where the slot has no rule to break.
        probabilities: of the choices, for a decision.
        where: id of the slot in the protocol.
        cursor: the position at which it was played.
        recalled: whether a memory-isolated copy of the seat spoke.
        passed: whether the seat had no budget left to speak with.
        tokens: how many tokens the words took; None where not known.
        cut: how many words the budget cut off. forged: marks and control tokens made inert. excess: quotes over budget.
    """

    slot: int
    seat: str
    role: str
    phase: str
    kind: Kind
    channel: str
    visibility: Visibility
    text: str
    quotes: tuple[Quote, ...] = ()
    option: int | None = None
    legal: bool | None = None
    probabilities: tuple[float, ...] = ()
    where: int = -1
    cursor: Cursor = ()
    recalled: bool = False
    passed: bool = False
    tokens: int | None = None
    cut: int = 0
    forged: int = 0
    excess: int = 0
