"""What a protocol is, after loading: frozen, unrolled, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Visibility = Literal["public", "private", "ephemeral"]
Kind = Literal["speech", "question", "choice", "decision"]
Assignment = Literal["by_seat", "random", "none"]
Utility = Literal["zero_sum", "constant_sum", "general_sum"]

VISIBILITIES = ("public", "private", "ephemeral")
KINDS = ("speech", "question", "choice", "decision")
ASSIGNMENTS = ("by_seat", "random", "none")
UTILITIES = ("zero_sum", "constant_sum", "general_sum")
SIGHTS = ("question", "options", "material", "items", "answer", "label")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text in two styles: for chat models, and compact, for the embedded model."""

    chat: str = ""
    compact: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of participant.

    Attributes:
        name: of the role.
        seats: its places in a match.
        sees: parts of the question it is given (see `SIGHTS`).
        answers: how the answer it must defend is set: `by_seat` (seat k defends option k), `random`, `none`.
        trained: whether learners update agents in this role.
        prompt: what it is told at the start; `{question}`, `{options}`, `{material}`, `{items}`, `{answer}`, `{seat}`
            are filled in.
    """

    name: str
    seats: tuple[str, ...]
    sees: frozenset[str]
    answers: Assignment
    trained: bool
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Channel:
    """Where words travel: the roles that read and write it."""

    name: str
    readers: frozenset[str]
    writers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Slot:
    """One step of the schedule. Several seats in one slot move at once, blind to each other.

    Attributes:
        seats: who moves.
        phase: its name.
        kind: `speech`, `question`, `choice` (pick one of `choices`) or `decision` (pick an option of the question).
        channel: where the words go.
        visibility: `public` (all readers of the channel), `private` (author only, for good), `ephemeral` (author, this
            slot only).
        instruction: what the mover is told now.
        choices: "items", "options", or a tuple of texts.
        reveal: a pick shows an item of hidden evidence; picking one that is no longer hidden is illegal.
        tokens, words: most that may be said; 0 = no limit of its own.
        final: the words are the seat's final answer.
    """

    seats: tuple[str, ...]
    phase: str
    kind: Kind
    channel: str = "public"
    visibility: Visibility = "public"
    instruction: Prompt = Prompt()
    choices: str | tuple[str, ...] = ()
    reveal: bool = False
    tokens: int = 0
    words: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides: `judge` (the recipe's), `seat` (the decision slot), `verifier` (of final answers) or `nobody`."""

    by: Literal["judge", "seat", "verifier", "nobody"]
    sees_material: bool = False


@dataclass(frozen=True, slots=True)
class Criterion:
    """One coordinate of the reward: its rule, the rule's parameters, and its declared utility."""

    name: str
    rule: str
    params: Mapping[str, Any] = field(default_factory=dict)
    utility: Utility = "general_sum"


@dataclass(frozen=True, slots=True)
class DebateProtocol:
    """A protocol, ready to be played."""

    name: str
    title: str
    summary: str
    source: str
    roles: tuple[Role, ...]
    channels: tuple[Channel, ...]
    schedule: tuple[Slot, ...]
    decision: Decision
    rewards: tuple[Criterion, ...]
    finite: bool
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seats(self) -> tuple[str, ...]:
        """Every seat, in the order of the roles."""
        return tuple(seat for role in self.roles for seat in role.seats)

    def role_of(self, seat: str) -> Role:
        """The role a seat belongs to.

        Raises:
            KeyError: no such seat.
        """
        for role in self.roles:
            if seat in role.seats:
                return role
        raise KeyError(f"protocol {self.name} has no seat {seat!r}; it has {', '.join(self.seats)}")

    def channel(self, name: str) -> Channel:
        """The channel of that name."""
        return next(channel for channel in self.channels if channel.name == name)

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the reward's coordinates."""
        return tuple(criterion.name for criterion in self.rewards)
