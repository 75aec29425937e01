"""The seam between the turn loop and whatever moves: an `Ask` for each seat to move, a `Reply` for each ask."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from debate.protocol.kernel import State
from debate.transcript import Failure, Policy, StopReason
from debate.views import Style
from judges.types import Cost, Message


@dataclass(frozen=True, slots=True)
class Ask:
    """One seat's turn to move.

    Attributes:
        state: the position (a speaker may read only what `seat` may know; language models get `messages` alone).
        seat: who is to move.
        policy: id of the policy asked for.
        messages: the seat's conversation, its own words carried as sampled ids.
        seed: all randomness of the move.
        left: tokens that the match's budget leaves for a speech; None where nothing limits it.
    """

    state: State
    seat: str
    policy: str
    messages: tuple[Message, ...]
    seed: int
    left: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A move with what learning needs to know of it; `failure` instead of a move where none could be made.

    Attributes mirror `Turn`; `prompt_tokens` is the whole prompt that was read.
    """

    text: str = ""
    option: int | None = None
    probabilities: tuple[float, ...] = ()
    prompt_tokens: tuple[int, ...] | None = None
    tokens: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    choices: tuple[tuple[int, ...], ...] | None = None
    stop_reason: StopReason = "stop"
    cost: Cost = Cost()
    failure: Failure | None = None


class Speaker(Protocol):
    """Answers asks in batches. One speaker may speak for many policies; `style` is how its messages are rendered."""

    @property
    def style(self) -> Style:
        """How messages to it are rendered."""
        ...

    def __call__(self, asks: Sequence[Ask]) -> Awaitable[Sequence[Reply]]:
        """One reply an ask, in order; a reply depends on its ask alone, never on the batch."""
        ...


@dataclass(frozen=True, slots=True)
class Agent:
    """What sits in a seat: a policy, spoken by a speaker."""

    policy: Policy
    speaker: Speaker
