"""The turn kernel: a pure, frozen state machine over a schedule of slots.

A slot is left only with the moves of all its seats at once, and what a seat sees is computed from slots already left.
So nothing of a running slot can reach anyone: simultaneous rounds cannot leak, whoever drives the kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from debate.protocol.conditions import holds, latest
from debate.protocol.events import Event, Move, Setup
from debate.protocol.position import (
    START,
    Cursor,
    after,
    blocks,
    node_at,
    recursion,
    same_block,
    same_pass,
    scopes,
    slot_at,
)
from debate.protocol.spec import CHANCE, Block, Condition, DebateProtocol, Drawn, Slot
from debate.protocol.speech import clean, cut, parts_of, quotes_of
from debate.seeds import derive, unit
from judges.types import Quote, Statement

__all__ = [
    "Event",
    "Move",
    "Setup",
    "State",
    "allowance",
    "answers",
    "choices",
    "claim",
    "finals",
    "hidden",
    "labels",
    "legal",
    "names",
    "probabilities",
    "released",
    "sees",
    "step",
    "to_move",
    "view",
]


@dataclass(frozen=True, slots=True)
class State:
    """A position in a match: how many slots are over, what happened in them, and where in the schedule it stands.

    `State(setup)` is the start. `cursor` is None when the match is over.
    """

    setup: Setup
    slot: int = 0
    events: tuple[Event, ...] = ()
    cursor: Cursor | None = ()

    def __post_init__(self) -> None:
        """Goes to the first slot, where no cursor is given."""
        if self.cursor == ():
            object.__setattr__(self, "cursor", _settle(self.setup, self.events, START))

    @property
    def current(self) -> Slot | None:
        """The slot to be played; None when the match is over."""
        return None if self.cursor is None else slot_at(self.setup.protocol, self.cursor)


# --- the schedule ----------------------------------------------------------------------------------------------


def _settle(setup: Setup, events: Sequence[Event], cursor: Cursor) -> Cursor | None:
    """The first slot to be played at a place or behind it; None at the end of the match."""
    protocol = setup.protocol
    while True:
        node = node_at(protocol, cursor)
        if node is None:  # behind the last item: another pass, or out of the block
            block, (_, nth) = blocks(protocol, cursor)[-1], cursor[-1]
            if nth + 1 < block.repeat:
                cursor = (*cursor[:-1], (0, nth + 1))
            elif len(cursor) == 1:
                return None
            else:
                cursor = after(cursor, len(cursor) - 1)
        elif node.when is not None and not holds(node.when, setup, events):
            cursor = after(cursor)
        elif isinstance(node, Block):
            cursor = (*cursor, (0, 0)) if node.repeat and node.items else after(cursor)
        elif node.kind in ("choice", "decision") and not _offered(setup, events, node, cursor):
            cursor = after(cursor)  # there is nothing to pick from
        else:
            return cursor


def _next(setup: Setup, events: Sequence[Event], cursor: Cursor) -> Cursor | None:
    """The slot to be played once the one at a cursor is over."""
    around = blocks(setup.protocol, cursor)
    for depth in range(1, len(cursor)):
        until = around[depth].until
        if until is not None and holds(until, setup, _inside(until, around[depth], events, cursor, depth)):
            return _settle(setup, events, after(cursor, depth))
    return _settle(setup, events, after(cursor))


def _inside(until: Condition, block: Block, events: Sequence[Event], cursor: Cursor, depth: int) -> Sequence[Event]:
    """The events an `until` asks about: for the block's own phases, only those since it was entered."""
    own = phases(block)
    if not any(leaf.phase in own for leaf in until.leaves()):
        return events
    return [e for e in events if e.phase not in own or same_block(e.cursor, cursor, depth)]


def phases(block: Block) -> frozenset[str]:
    """The phases that are played in a block."""
    own: set[str] = set()
    for item in block.items:
        own |= phases(item) if isinstance(item, Block) else {item.phase}
    return frozenset(own)


def to_move(state: State) -> tuple[str, ...]:
    """The seats whose moves the current slot waits for; `("chance",)` for a draw; empty when the match is over."""
    slot = state.current
    return slot.seats if slot else ()


# --- what can be done ------------------------------------------------------------------------------------------


def hidden(state: State) -> Counter[str]:
    """How many copies of each item of evidence nobody has revealed yet."""
    left = Counter(state.setup.question.items)
    left.subtract(event.text for event in state.events if event.legal and event.quotes)
    return left


def choices(state: State) -> tuple[str, ...]:
    """What can be picked in the current slot; empty for a speech. Equal items are one choice."""
    slot = state.current
    if slot is None or slot.kind in ("speech", "question"):
        return ()
    assert state.cursor is not None
    return _offered(state.setup, state.events, slot, state.cursor)


def _offered(setup: Setup, events: Sequence[Event], slot: Slot, cursor: Cursor) -> tuple[str, ...]:
    if slot.kind == "decision":
        return setup.protocol.decision.options or setup.question.options
    if slot.choices == "items":
        return tuple(dict.fromkeys(setup.question.items))
    if slot.choices == "options":
        return setup.question.options
    if not isinstance(slot.choices, Drawn):
        return tuple(slot.choices)
    said = [event for event in events if event.phase == slot.choices.phase]
    for depth in scopes(setup.protocol, cursor):  # the innermost pass in which the phase was played
        here = [event for event in said if same_pass(event.cursor, cursor, depth)]
        if here and slot.choices.source == "parts_of":
            return parts_of(here[-1].text, setup.protocol.slots[here[-1].where].parts)
        if here:
            return tuple(dict.fromkeys(event.text for event in here))
    return ()


def labels(state: State) -> tuple[str, ...]:
    """What a model writes to pick each choice: the choice itself, or the number of a text that came out of play."""
    slot, offered = state.current, choices(state)
    drawn = slot is not None and isinstance(slot.choices, Drawn)
    return tuple(str(number) for number in range(1, len(offered) + 1)) if drawn else offered


def legal(state: State) -> tuple[bool, ...]:
    """For each choice of the current slot, whether picking it is legal."""
    offered = choices(state)
    if state.current is None or not state.current.reveal:
        return (True,) * len(offered)
    left = hidden(state)
    return tuple(left[text] > 0 for text in offered)


def probabilities(state: State) -> tuple[float, ...]:
    """The probability of each choice of a chance slot; empty for other slots.

    Raises:
        ValueError: the number that was to be picked was not picked, or is no probability.
    """
    slot = state.current
    if slot is None or slot.kind != "chance":
        return ()
    if not isinstance(slot.probabilities, str):
        return slot.probabilities
    said = latest(state.events, slot.probabilities)
    try:
        first = float(said[-1].text)
    except (IndexError, ValueError):
        first = -1.0
    if not 0.0 <= first <= 1.0:
        got = repr(said[-1].text) if said else "nothing"
        raise ValueError(f"chance slot {slot.phase!r}: expected a probability picked in {slot.probabilities!r}: {got}")
    return (first, 1.0 - first)


def allowance(state: State, seat: str) -> int | None:
    """How many tokens a seat has left for words in the current slot (0: it must pass); None where nothing limits it.

    Where an engine hides tokens, words are counted in their place.
    """
    slot, budgets = state.current, state.setup.protocol.budgets
    if slot is None or slot.kind not in ("speech", "question"):
        return None
    spoken = [e for e in state.events if e.seat == seat and e.kind in ("speech", "question")]
    slots = state.setup.protocol.slots
    left: list[int] = []
    if budgets.tokens is not None:
        left.append(budgets.tokens - sum(map(_length, spoken)))
    if budgets.think_tokens is not None and slot.think:
        left.append(budgets.think_tokens - sum(_length(e) for e in spoken if slots[e.where].think))
    if budgets.words is not None and not slot.think and _words_left(state, seat) == 0:
        left.append(0)
    return max(0, min(left)) if left else None


def _length(event: Event) -> int:
    return len(event.text.split()) if event.tokens is None else event.tokens


def _words_left(state: State, seat: str) -> int | None:
    budget = state.setup.protocol.budgets.words
    if budget is None:
        return None
    slots = state.setup.protocol.slots
    said = (e for e in state.events if e.seat == seat and e.kind in ("speech", "question"))
    return max(0, budget - sum(len(e.text.split()) for e in said if not slots[e.where].think))


def _quotes_left(state: State, seat: str, slot: Slot) -> int | None:
    budget = state.setup.protocol.budgets.quotes
    used = sum(len(e.quotes) - e.excess for e in state.events if e.seat == seat and e.option is None)
    limits = [n for n in (slot.quotes, None if budget is None else max(0, budget - used)) if n is not None]
    return min(limits) if limits else None


# --- playing ---------------------------------------------------------------------------------------------------


def step(state: State, moves: Mapping[str, Move]) -> State:
    """Plays the current slot with the moves of all its seats.

    Raises:
        ValueError: the match is over, a seat's move is missing or superfluous, or a pick is out of range.
    """
    slot = state.current
    if slot is None or state.cursor is None:
        raise ValueError("the match is over: no move can be made")
    where = f"slot {state.slot} ({slot.phase})"
    if set(moves) != set(slot.seats):
        raise ValueError(f"{where}: expected moves of {sorted(slot.seats)}, got {sorted(moves)}")
    offered = choices(state)
    left = hidden(state) if slot.reveal else Counter()
    events = []
    for seat in slot.seats:
        move = moves[seat]
        fair, lost, forged, excess = None, 0, 0, 0
        quotes: tuple[Quote, ...] = ()
        if slot.kind not in ("speech", "question"):
            if move.option is None or not 0 <= move.option < len(offered):
                raise ValueError(f"{where}: {seat} must pick 0…{len(offered) - 1}, got {move.option}")
            text, fair = offered[move.option], True
            if slot.reveal:
                fair = left[text] > 0
                left[text] -= 1
                quotes = (Quote(text, verified=fair),)
        elif move.passed:
            text = ""
        else:
            text, lost = cut(move.text, _most_words(state, seat, slot))
            text, forged = clean(text)
            quotes, excess = quotes_of(text, state.setup.question.material, _quotes_left(state, seat, slot))
        events.append(
            Event(
                state.slot,
                seat,
                CHANCE if slot.kind == "chance" else state.setup.protocol.role_of(seat).name,
                slot.phase,
                slot.kind,
                slot.channel,
                slot.visibility,
                text,
                quotes,
                move.option,
                fair,
                move.probabilities,
                slot.id,
                state.cursor,
                bool(slot.recall),
                move.passed,
                move.tokens,
                lost,
                forged,
                excess,
            )
        )
    now = (*state.events, *events)
    return State(state.setup, state.slot + 1, now, _next(state.setup, now, state.cursor))


def _most_words(state: State, seat: str, slot: Slot) -> int | None:
    limits = [slot.most_words] if slot.most_words else []
    left = None if slot.think else _words_left(state, seat)
    return min([*limits, left] if left is not None else limits, default=None)


# --- what is known ---------------------------------------------------------------------------------------------


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
    when the phase was over, and the query: what it was told in the slot before this one.
    """
    slot = state.current
    known = tuple(event for event in state.events if sees(state, seat, event))
    if slot is None or not slot.recall or seat not in slot.seats:
        return known
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
    picks = [e for e in state.events if isinstance(slots[e.where].choices, Drawn) and e.kind == "choice"]
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
