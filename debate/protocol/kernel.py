"""The turn kernel: a pure, frozen state machine over a schedule of slots.

A slot is left only with the moves of all its seats at once, and what a seat sees is computed from slots already left.
So nothing of a running slot can reach anyone: simultaneous rounds cannot leak, whoever drives the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from debate.protocol.spec import DebateProtocol, Kind, Slot, Visibility
from debate.questions import Question
from judges.types import Quote, Statement


@dataclass(frozen=True, slots=True)
class Setup:
    """What is fixed before the first move: protocol, question, and the option each seat defends (None: none)."""

    protocol: DebateProtocol
    question: Question
    answers: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Move:
    """What a seat does in a slot: words, or the index of a choice (with the probabilities of all, for a decision)."""

    text: str = ""
    option: int | None = None
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A move, once its slot is over. `legal` is None where the slot has no rule to break."""

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


@dataclass(frozen=True, slots=True)
class State:
    """A position in a match: how many slots are over, and what happened in them."""

    setup: Setup
    slot: int = 0
    events: tuple[Event, ...] = ()

    @property
    def current(self) -> Slot | None:
        """The slot to be played; None when the match is over."""
        schedule = self.setup.protocol.schedule
        return schedule[self.slot] if self.slot < len(schedule) else None


def to_move(state: State) -> tuple[str, ...]:
    """The seats whose moves the current slot waits for; empty when the match is over."""
    return state.current.seats if state.current else ()


def hidden(state: State) -> Counter[str]:
    """How many copies of each item of evidence nobody has revealed yet."""
    left = Counter(state.setup.question.items)
    left.subtract(event.text for event in state.events if event.legal and event.quotes)
    return left


def choices(state: State) -> tuple[str, ...]:
    """What can be picked in the current slot; empty for a speech. Equal items are one choice."""
    slot = state.current
    if slot is None or slot.kind not in ("choice", "decision"):
        return ()
    if slot.choices == "items":
        return tuple(dict.fromkeys(state.setup.question.items))
    if slot.kind == "decision" or slot.choices == "options":
        return state.setup.question.options
    return tuple(slot.choices)


def legal(state: State) -> tuple[bool, ...]:
    """For each choice of the current slot, whether picking it is legal."""
    offered = choices(state)
    if state.current is None or not state.current.reveal:
        return (True,) * len(offered)
    left = hidden(state)
    return tuple(left[text] > 0 for text in offered)


def step(state: State, moves: Mapping[str, Move]) -> State:
    """Plays the current slot with the moves of all its seats.

    Raises:
        ValueError: the match is over, a seat's move is missing or superfluous, or a pick is out of range.
    """
    slot = state.current
    if slot is None:
        raise ValueError("the match is over: no move can be made")
    if set(moves) != set(slot.seats):
        raise ValueError(
            f"slot {state.slot} ({slot.phase}): expected moves of {sorted(slot.seats)}, got {sorted(moves)}"
        )
    offered = choices(state)
    left = hidden(state) if slot.reveal else Counter()
    events = []
    for seat in slot.seats:
        move = moves[seat]
        text, fair = move.text, None
        quotes: tuple[Quote, ...] = ()
        if offered:
            if move.option is None or not 0 <= move.option < len(offered):
                raise ValueError(
                    f"slot {state.slot} ({slot.phase}): {seat} must pick 0…{len(offered) - 1}, got {move.option}"
                )
            text = offered[move.option]
            fair = True
        if slot.reveal:
            fair = left[text] > 0
            left[text] -= 1
            quotes = (Quote(text, verified=fair),)
        elif slot.kind in ("speech", "question"):
            quotes = _quotes(text, state.setup.question.material)
        role = state.setup.protocol.role_of(seat).name
        events.append(
            Event(
                state.slot,
                seat,
                role,
                slot.phase,
                slot.kind,
                slot.channel,
                slot.visibility,
                text,
                quotes,
                move.option,
                fair,
                move.probabilities,
            )
        )
    return State(state.setup, state.slot + 1, (*state.events, *events))


def _quotes(text: str, material: str) -> tuple[Quote, ...]:
    if "<" not in text:  # nothing that could be a mark; spares the import for plain play
        return ()
    from judges.verify.quotes import verify_quotes

    return tuple(verify_quotes(text, material))


def sees(state: State, seat: str, event: Event) -> bool:
    """Whether a seat may know of an event: its own unless ephemeral, others' when public on a channel it reads."""
    if event.seat == seat:
        return event.visibility != "ephemeral"
    protocol = state.setup.protocol
    return event.visibility == "public" and protocol.role_of(seat).name in protocol.channel(event.channel).readers


def view(state: State, seat: str) -> tuple[Event, ...]:
    """All a seat knows of what happened, in order; it only ever grows at its end."""
    return tuple(event for event in state.events if sees(state, seat, event))


def released(state: State) -> tuple[Statement, ...]:
    """Public statements in the order of release: what a judge's case is made of."""
    return tuple(
        Statement(event.seat, event.role, event.phase, event.text, event.quotes)
        for event in state.events
        if event.visibility == "public" and event.channel == "public" and event.kind != "decision"
    )


def finals(state: State) -> dict[str, str | None]:
    """Each seat's final answer: its words in its last slot marked final; None where it gave none."""
    answers: dict[str, str | None] = dict.fromkeys(state.setup.protocol.seats)
    for event in state.events:
        if state.setup.protocol.schedule[event.slot].final:
            answers[event.seat] = event.text
    return answers
