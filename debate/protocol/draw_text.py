"""A protocol as a chart of plain characters: time runs down, one column a seat."""

from __future__ import annotations

from collections.abc import Iterator

from debate.protocol.lanes import columns, lanes, spans
from debate.protocol.spec import DebateProtocol

_MARKS = {"moves": "●", "copy": "◐", "reads": "○", "": "·"}


def draw_text(protocol: DebateProtocol) -> Iterator[str]:
    """Line by line, for the terminal."""
    names = lanes(protocol)
    shown, blocks = columns(protocol), spans(protocol)
    if not shown:
        yield f"{protocol.name}: its moves are those of a game with rules of its own"
        return
    depth = {column.slot.id: sum(b.first <= column.slot.id <= b.last for b in blocks) for column in shown}
    what = {c.slot.id: "  " * depth[c.slot.id] + f"{c.slot.phase}: {c.verb}" for c in shown}
    width = max(len(text) for text in [*what.values(), protocol.name])
    yield f"    {protocol.name:<{width}}  " + "  ".join(names)
    for column in shown:
        slot = column.slot
        for block in (b for b in blocks if b.first == slot.id):
            yield f"    {'  ' * block.depth}┌ {block.text}"
        cells = "  ".join(_MARKS[mark].center(len(name)) for mark, name in zip(column.marks, names, strict=True))
        hidden = {"public": "", "private": "kept private", "ephemeral": "scratchpad"}[slot.visibility]
        hidden = "unsaid" if slot.aside else hidden
        where = "" if slot.channel == "public" or slot.visibility != "public" else f"on {slot.channel}"
        notes = "; ".join(filter(None, (where, hidden, column.note)))
        yield f"{slot.id:>3} {what[slot.id]:<{width}}  {cells}   {notes}".rstrip()
    yield ""
    copies = ", ◐ a copy that forgot moves" if any("copy" in column.marks for column in shown) else ""
    yield f"● moves{copies}, ○ reads it, · does not; ● in one row move at once, blind to each other"
