"""A protocol as a picture: seats are lanes, slots stand in the order of time, colour says where words go."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.protocol.lanes import JUDGE, Column, Span, columns, lanes, spans
from debate.protocol.spec import DebateProtocol

_PUBLIC, _HIDDEN, _CHANCE, _DECISION = "#2b6cb0", "#8a8f98", "#b7791f", "#6b46c1"
_UNSAID = "#4a8a7b"
_CHANNELS = ("#c05621", "#2f855a", "#b83280", "#0987a0", "#975a16")
_INK, _PALE, _GRID = "#1a202c", "#f1f4f8", "#d5dbe3"
_WIDTH, _LANE = 1.5, 0.72  # inches of a slot, of a lane
_FORMATS = (".svg", ".png", ".pdf")


def draw(protocol: DebateProtocol, path: Path) -> Path:
    """Writes the picture of a protocol.

    Args:
        protocol: as loaded.
        path: a file whose name ends in .svg, .png or .pdf; its folder is made.

    Returns:
        The path.

    Raises:
        UserError: another ending, or a protocol without slots of its own.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"--out {path}: expected a file that ends in {', '.join(_FORMATS)}")
    shown = columns(protocol)
    if not shown:
        raise UserError(
            f"{protocol.name}: its moves are those of a game with rules of its own; there is nothing to draw"
        )
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": protocol.name, "font.family": "DejaVu Sans", "svg.fonttype": "none"}):
        names, blocks = lanes(protocol), spans(protocol)
        nested = 1 + max((block.depth for block in blocks), default=-1)
        left, top, bottom = 1.25, 0.92 + 0.34 * nested, 1.0
        judged = JUDGE in names
        size = (left + _WIDTH * (len(shown) + judged) + 0.3, top + _LANE * len(names) + bottom)
        size = (max(size[0], 5.6), size[1])
        figure = Figure(figsize=size)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, size[0])
        axes.set_ylim(0, size[1])
        axes.axis("off")
        picture = _Picture(axes, protocol, names, left, bottom + _LANE * len(names), size)
        picture.frame(shown, blocks)
        for column in shown:
            picture.column(column)
        if judged:
            picture.verdict(len(shown))
        picture.legend(shown)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
        figure.savefig(path, dpi=150, metadata=metadata)
    return path


class _Picture:
    """The parts of the picture, on axes measured in inches."""

    def __init__(
        self, axes: Any, protocol: DebateProtocol, names: tuple[str, ...], left: float, high: float, size: Any
    ) -> None:
        self.axes, self.protocol, self.names = axes, protocol, names
        self.left, self.high, self.width, self.height = left, high, size[0], size[1]
        others = [channel.name for channel in protocol.channels if channel.name != "public"]
        self.colours = {name: _CHANNELS[i % len(_CHANNELS)] for i, name in enumerate(others)} | {"public": _PUBLIC}

    def x(self, number: int) -> float:
        return self.left + _WIDTH * (number + 0.5)

    def y(self, lane: int) -> float:
        return self.high - _LANE * (lane + 0.5)

    def frame(self, shown: list[Column], blocks: list[Span]) -> None:
        """Title, lanes, and the blocks as shaded spans with a heading each."""
        text = self.axes.text
        title = self.protocol.title or self.protocol.name
        text(0.2, self.height - 0.3, title, fontsize=13, weight="bold", color=_INK, va="center")
        for block in blocks:
            first, last = self.left + _WIDTH * block.first + 0.05, self.left + _WIDTH * (block.last + 1) - 0.05
            up = self.height - 0.62 - 0.34 * block.depth
            inset = 0.04 * block.depth
            self.box(first + inset, self.high - _LANE * len(self.names), last - inset, up + 0.13, _PALE, _GRID)
            room = max(12, int((last - first) * 13))
            text((first + last) / 2, up, _fit(block.text, room), fontsize=8, ha="center", va="center", color=_INK)
        for lane, name in enumerate(self.names):
            y = self.y(lane)
            right = self.left + _WIDTH * (len(shown) + (JUDGE in self.names))
            self.axes.plot([self.left, right], [y, y], color=_GRID, linewidth=1.2, zorder=2)
            weight = "normal" if name in ("chance", "the judge") else "bold"
            text(self.left - 0.15, y, _fit(name, 15), fontsize=9.5, ha="right", va="center", color=_INK, weight=weight)

    def column(self, column: Column) -> None:
        """One slot: its name, a line from who moves to who reads, boxes and dots."""
        slot, x = column.slot, self.x(column.slot.id)
        colour = self.colour(column)
        self.axes.text(
            x, self.high + 0.2, _fit(slot.phase, 17), fontsize=9, weight="bold", ha="center", va="center", color=_INK
        )
        involved = [lane for lane, mark in enumerate(column.marks) if mark]
        ends = [self.y(involved[0]), self.y(involved[-1])]
        self.axes.plot([x, x], ends, color=colour, linewidth=1.4, alpha=0.55, zorder=3)
        for lane, mark in enumerate(column.marks):
            y = self.y(lane)
            if mark == "reads":
                self.axes.plot([x], [y], "o", markersize=8, color="white", markeredgecolor=colour, zorder=5)
                self.axes.plot([x], [y], "o", markersize=3.5, color=colour, zorder=6)
            elif mark:
                open_box = slot.visibility != "public" or mark == "copy"
                dashed, face = ("--", "white") if open_box else ("-", colour)
                ink = colour if face == "white" else "white"
                self.box(x - 0.62, y - 0.2, x + 0.62, y + 0.2, face, colour, dashed, 5)
                words = textwrap.fill(f"a copy {column.verb}" if mark == "copy" else column.verb, 17)
                self.axes.text(x, y, words, fontsize=7.5, ha="center", va="center", color=ink, zorder=7)
        note = textwrap.shorten(column.note, 62, placeholder=" …")
        self.axes.text(
            x, self.high - _LANE * len(self.names) - 0.06, textwrap.fill(note, 21), fontsize=6.8, style="italic",
            ha="center", va="top", color=_INK, linespacing=1.25,
        )  # fmt: skip

    def verdict(self, number: int) -> None:
        """The judge's decision, behind the last slot."""
        x, y = self.x(number), self.y(self.names.index(JUDGE))
        self.axes.text(x, self.high + 0.2, "verdict", fontsize=9, weight="bold", ha="center", va="center", color=_INK)
        self.box(x - 0.62, y - 0.2, x + 0.62, y + 0.2, _DECISION, _DECISION, "-", 5)
        options = " or ".join(self.protocol.decision.options) or "decides"
        words = textwrap.fill(_fit(options, 34), 17)
        self.axes.text(x, y, words, fontsize=7.5, ha="center", va="center", color="white", zorder=7)

    def colour(self, column: Column) -> str:
        slot = column.slot
        if slot.visibility != "public":
            return _UNSAID if slot.aside else _HIDDEN
        if slot.channel == "public" and slot.kind in ("chance", "decision"):
            return _CHANCE if slot.kind == "chance" else _DECISION
        return self.colours[slot.channel]

    def legend(self, shown: list[Column]) -> None:
        """What the colours that occur mean, and the dots."""
        meanings = {self.colour(column): self.meaning(column) for column in shown}
        if JUDGE in self.names:
            meanings[_DECISION] = "decision"
        x, y = 0.2, 0.42
        for colour, meaning in meanings.items():
            x, y = self.room(x, y, meaning)
            hidden = colour in (_HIDDEN, _UNSAID)
            face, line = ("white", "--") if hidden else (colour, "-")
            self.box(x, y - 0.07, x + 0.22, y + 0.07, face, colour, line, 5)
            self.axes.text(x + 0.3, y, meaning, fontsize=7.5, va="center", color=_INK)
            x += 0.5 + 0.072 * len(meaning)
        reads = "reads it when the slot is over"
        x, y = self.room(x, y, reads)
        self.axes.plot([x + 0.08], [y], "o", markersize=7, color="white", markeredgecolor=_INK, zorder=5)
        self.axes.plot([x + 0.08], [y], "o", markersize=3, color=_INK, zorder=6)
        self.axes.text(x + 0.22, y, reads, fontsize=7.5, va="center", color=_INK)

    def room(self, x: float, y: float, text: str) -> tuple[float, float]:
        """Where the next entry of the legend goes: here, or on a new line where it would not fit."""
        return (x, y) if x + 0.3 + 0.072 * len(text) < self.width else (0.2, y - 0.24)

    def meaning(self, column: Column) -> str:
        slot = column.slot
        if slot.visibility != "public":
            return "unsaid, on the way to a speech" if slot.aside else "nobody else sees it"
        if slot.channel != "public":
            return f"channel {slot.channel}"
        return {"chance": "drawn at random", "decision": "decision"}.get(slot.kind, "public")

    def box(
        self, x0: float, y0: float, x1: float, y1: float, face: str, edge: str, style: str = "-", order: int = 1
    ) -> None:
        from matplotlib.patches import FancyBboxPatch

        self.axes.add_patch(
            FancyBboxPatch(
                (x0, y0), x1 - x0, y1 - y0, boxstyle="round,pad=0,rounding_size=0.08", facecolor=face,
                edgecolor=edge, linestyle=style, linewidth=1.1, zorder=order,
            )
        )  # fmt: skip


def _fit(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
