"""Who knows what: views, claims, answers and what is released, computed from slots that are over."""

from __future__ import annotations

from debate.protocol.drafting import shown
from debate.protocol.events import Event, Setup
from debate.protocol.position import recursion, same_block
from debate.protocol.spec import CHANCE, DebateProtocol, Drawn
from debate.protocol.state import State
from debate.seeds import derive, unit
from judges.types import Statement


def sees(state: State, seat: str, event: Event) -> bool:
    """Whether a seat may know of an event: its own unless ephemeral, others' when public on a channel it reads.

    What a memory-isolated copy of a seat did is to the seat like any other's move.
    """
    if event.seat == seat and not event.recalled:
        return event.visibility != "ephemeral"
    protocol = state.setup.protocol
    return event.visibility == "public" and protocol.role_of(seat).name in protocol.channel(event.channel).readers


def view(state: State, seat: str) -> tuple[Event, ...]:
    """All a seat knows of what happened, in order; it only ever grows at its end.

    In a slot with `recall` the seat to move is a copy of itself, and this is what the copy knows: what the seat knew
    when the phase was over, and the query: what it was told in the slot before this one. In a step towards a speech it
    is a copy too, which is shown the drafts and critiques that it works on.
    """
    slot = state.current
    known = tuple(event for event in state.events if sees(state, seat, event))
    if slot is None or not slot.copies or seat not in slot.seats:
        return known
    if slot.aside:
        return (*known, *shown(state.setup.protocol, state.events, slot, seat))
    end = recall_end(state)
    query = [e for e in known if e.slot == state.slot - 1 and e.slot > end and e.seat != seat]
    return (*(event for event in known if event.slot <= end), *query[-1:])


def recall_end(state: State) -> int:
    """The number of the last slot that a memory-isolated copy in the current slot remembers; −1: none."""
    slot = state.current
    assert slot is not None
    return max((event.slot for event in state.events if event.phase == slot.recall), default=-1)


def claim(state: State) -> str:
    """What is argued about: the text picked in the last pass of the recursion, else in the last pick; the question."""
    slots, cursor = state.setup.protocol.slots, state.cursor
    picks = [e for e in state.events if isinstance(slots[e.where].choices, Drawn) and not slots[e.where].aside]
    if cursor is not None:
        depth = recursion(state.setup.protocol, cursor)
        if depth is not None:
            picks = [e for e in picks if same_block(e.cursor, cursor, depth) and e.cursor[depth][1] < cursor[depth][1]]
    return picks[-1].text if picks else state.setup.question.question


def answers(state: State) -> dict[str, int | None]:
    """Seat → the option it defends now: what it bound itself to, else what it was given; None where it defends none."""
    setup = state.setup
    protocol, options = setup.protocol, len(setup.question.options)
    held = {seat: setup.answers.get(seat) for seat in protocol.seats}
    for event in state.events:
        if protocol.slots[event.where].binds:
            held[event.seat] = event.option
    for role in protocol.roles:
        if role.answers != "opposes":
            continue
        first = next(other.seats[0] for other in protocol.roles if other.name == role.opposes)
        for seat in role.seats:
            held[seat] = _other(setup, seat, held[first], options)
    return held


def _other(setup: Setup, seat: str, against: int | None, options: int) -> int | None:
    """An option other than the one held: with two options the other one, with more one drawn by the match's seed."""
    if against is None or options < 2:
        return None
    drawn = int(unit(derive(setup.seed, seat, "opposes")) * (options - 1))
    return drawn + (drawn >= against)


def names(protocol: DebateProtocol, event: Event) -> tuple[str, str]:
    """(seat, role) as others read them: where the role has an alias, that is all they read."""
    alias = "" if event.role == CHANCE else protocol.role_of(event.seat).alias
    return (alias or event.seat, alias or event.role)


def released(state: State) -> tuple[Statement, ...]:
    """Public statements in the order of release: what a judge's case is made of."""
    protocol = state.setup.protocol
    read = protocol.decision.channels
    return tuple(
        Statement(*names(protocol, event), event.phase, event.text, event.quotes)
        for event in state.events
        if event.visibility == "public" and event.channel in read and event.kind != "decision"
    )


def finals(state: State) -> dict[str, str | None]:
    """Each seat's final answer: its words in its last slot marked final; None where it gave none."""
    given: dict[str, str | None] = dict.fromkeys(state.setup.protocol.seats)
    for event in state.events:
        if state.setup.protocol.slots[event.where].final:
            given[event.seat] = event.text
    return given
