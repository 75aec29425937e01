"""Positions in a schedule: an instruction pointer into its tree of slots and blocks.

A cursor has one frame for the schedule and one for each block entered, outermost first: (index of the item, number of
the pass). It is data, so that a position can be stored, compared and left again.
"""

from __future__ import annotations

from dataclasses import replace

from debate.protocol.spec import Block, DebateProtocol, Slot

Frame = tuple[int, int]
Cursor = tuple[Frame, ...]
START: Cursor = ((0, 0),)


def blocks(protocol: DebateProtocol, cursor: Cursor) -> tuple[Block, ...]:
    """The blocks whose items the frames of a cursor count, the whole schedule first; as many as frames."""
    found = [Block(protocol.schedule)]
    for index, _ in cursor[:-1]:
        inner = found[-1].items[index]
        assert isinstance(inner, Block)
        found.append(inner)
    return tuple(found)


def node_at(protocol: DebateProtocol, cursor: Cursor) -> Slot | Block | None:
    """What a cursor points at; None behind the end of a block."""
    items = protocol.schedule
    for index, _ in cursor[:-1]:
        inner = items[index]
        assert isinstance(inner, Block)
        items = inner.items
    return items[cursor[-1][0]] if cursor[-1][0] < len(items) else None


def slot_at(protocol: DebateProtocol, cursor: Cursor) -> Slot:
    """The slot a cursor points at, with its level of recursion."""
    slot = node_at(protocol, cursor)
    assert isinstance(slot, Slot)
    if len(cursor) == 1:
        return slot
    level = recursion(protocol, cursor)
    return slot if level is None else replace(slot, level=cursor[level][1])


def recursion(protocol: DebateProtocol, cursor: Cursor) -> int | None:
    """The frame of the innermost recursion around a cursor; None outside any."""
    around = blocks(protocol, cursor)
    return next((depth for depth in range(len(cursor) - 1, 0, -1) if around[depth].recurse), None)


def scopes(protocol: DebateProtocol, cursor: Cursor) -> list[int]:
    """Frames of the repeats and recursions around a cursor, innermost first; the whole schedule is the last."""
    around = blocks(protocol, cursor)
    return [depth for depth in range(len(cursor) - 1, 0, -1) if around[depth].scope] + [0]


def same_block(one: Cursor, other: Cursor, depth: int) -> bool:
    """Whether two cursors are in the same run of the block of frame `depth` (any pass of it)."""
    return len(one) > depth and one[:depth] == other[:depth]


def same_pass(one: Cursor, other: Cursor, depth: int) -> bool:
    """Whether two cursors are in the same pass of the same run of the block of frame `depth`."""
    return same_block(one, other, depth) and one[depth][1] == other[depth][1]


def after(cursor: Cursor, depth: int | None = None) -> Cursor:
    """The place behind what a cursor points at; behind the whole block of frame `depth`, where one is given."""
    kept = cursor if depth is None else cursor[:depth]
    index, nth = kept[-1]
    return (*kept[:-1], (index + 1, nth))
