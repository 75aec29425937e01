"""A position in a match, and which slot comes next: the schedule as an instruction pointer moves through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from debate.protocol.conditions import holds
from debate.protocol.drafting import candidates
from debate.protocol.events import Event, Setup
from debate.protocol.position import START, Cursor, after, blocks, node_at, same_block, same_pass, scopes, slot_at
from debate.protocol.spec import Block, Condition, Drawn, Slot
from debate.protocol.speech import parts_of


@dataclass(frozen=True, slots=True)
class State:
    """A position in a match: how many slots are over, what happened in them, and where in the schedule it stands.

    `State(setup)` is the start. `cursor` is None when the match is over.

    Attributes:
        current: the slot to be played; None when the match is over.
    """

    setup: Setup
    slot: int = 0
    events: tuple[Event, ...] = ()
    cursor: Cursor | None = ()
    current: Slot | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Goes to the first slot, where no cursor is given."""
        if self.cursor == ():
            object.__setattr__(self, "cursor", _settle(self.setup, self.events, START))
        now = None if self.cursor is None else slot_at(self.setup.protocol, self.cursor)
        object.__setattr__(self, "current", now)


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
        elif node.kind in ("choice", "decision") and not offered(setup, events, node, cursor):
            cursor = after(cursor)  # there is nothing to pick from
        else:
            return cursor


def next_cursor(setup: Setup, events: Sequence[Event], cursor: Cursor) -> Cursor | None:
    """The slot to be played once the one at a cursor is over."""
    around = blocks(setup.protocol, cursor)
    said = not slot_at(setup.protocol, cursor).aside  # nothing is left between a draft and its speech
    for depth in range(1, len(cursor)) if said else ():
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


def offered(setup: Setup, events: Sequence[Event], slot: Slot, cursor: Cursor) -> tuple[str, ...]:
    """What can be picked in a slot; empty for a speech. Equal texts are one choice."""
    if slot.kind in ("speech", "question"):
        return ()
    if slot.kind == "decision":
        return setup.protocol.decision.options or setup.question.options
    if slot.choices == "items":
        return tuple(dict.fromkeys(setup.question.items))
    if slot.choices == "options":
        return setup.question.options
    if not isinstance(slot.choices, Drawn):
        return tuple(slot.choices)
    if slot.step is not None:
        return tuple(event.text for event in candidates(setup.protocol, events, slot.step.of))
    said = [event for event in events if event.phase == slot.choices.phase]
    for depth in scopes(setup.protocol, cursor):  # the innermost pass in which the phase was played
        here = [event for event in said if same_pass(event.cursor, cursor, depth)]
        if here and slot.choices.source == "parts_of":
            return parts_of(here[-1].text, setup.protocol.slots[here[-1].where].parts)
        if here:
            return tuple(dict.fromkeys(event.text for event in here))
    return ()
