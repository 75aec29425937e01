"""Figures as SVG that sits in the page itself: no files, no scripts, ink in the colour of the page's text."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from debate.report.markup import Markup

# After Okabe & Ito (2008), "Color universal design", lifted to middle tones that stand on light and on dark paper.
COLOURS = ("#3b82c4", "#e0702c", "#1fa37a", "#c470a0", "#b58900", "#4cb3d4", "#8a7bd1", "#8f8f8f")
P = ParamSpec("P")
INK = "#010203"  # stands for the page's text colour until the SVG is written
_IDS = re.compile(r'(\bid="|url\(#|href="#)')


_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "debate-report",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "path.simplify": True,
}


def _styled(draw: Callable[P, Markup]) -> Callable[P, Markup]:
    """Runs a drawing under the page's style, and puts matplotlib's own back."""

    @wraps(draw)
    def styled(*arguments: P.args, **named: P.kwargs) -> Markup:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            return draw(*arguments, **named)

    return styled


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its name, its value, and (low, high) where an interval is known."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    strong: bool = False


Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name → (x, y)


def wilson(share: float, count: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, "Probable inference, the law of succession", eq. 5).

    With half points (an undecided judge) the true variance is smaller, so the interval is on the safe side.
    """
    if count < 1:
        raise ValueError(f"count: expected 1 or more, got {count}")
    scale = 1 + z * z / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(max(0.0, share * (1 - share)) / count + z * z / (4 * count * count))
    return (middle - half) / scale, (middle + half) / scale


@_styled
def bars(key: str, rows: Sequence[Bar], label: str) -> Markup:
    """Horizontal bars of shares between 0 and 1; `key` tells the figures of a page apart."""
    figure = _figure(8.6, 0.42 * len(rows) + 0.7)
    axes = figure.subplots()
    places = range(len(rows))
    colours = [COLOURS[0] if row.strong else COLOURS[7] for row in rows]
    axes.barh(places, [row.value for row in rows], color=colours, height=0.62, alpha=0.85)
    for place, row in enumerate(rows):
        right = row.value
        if row.interval is not None:
            low, high = row.interval
            axes.plot([low, high], [place, place], color=INK, linewidth=1.3, solid_capstyle="butt")
            right = max(right, high)
        axes.annotate(
            f"{100 * row.value:.1f} %",
            (right, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    axes.set_yticks(places, [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return _svg(key, figure, label)


@_styled
def panels(key: str, groups: Mapping[str, Curves], label: str, x_label: str = "update", columns: int = 3) -> Markup:
    """A panel a group, a line a name; lines of one name have one colour throughout."""
    names = list(dict.fromkeys(name for curves in groups.values() for name in curves))
    columns = min(columns, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = _figure(3.5 * columns if columns > 1 else 6.5, 2.3 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    handles: dict[str, Any] = {}
    for axes, (title, curves) in zip(grid.flat, groups.items(), strict=False):
        for name, (x, y) in curves.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            smooth = _running_mean(y)
            (line,) = axes.plot(x, smooth, color=colour, linewidth=1.8, marker="o" if len(x) < 3 else "")
            if smooth is not y:
                axes.plot(x, y, color=colour, linewidth=0.9, alpha=0.35)
            handles.setdefault(name, line)
        axes.set_title(title, loc="left")
        axes.grid(color=INK, alpha=0.12, linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
        _whole_ticks(axes)
    for axes in grid.flat[len(groups) :]:
        axes.set_visible(False)
    for column in range(columns):
        lowest = max(row for row in range(rows) if row * columns + column < len(groups))
        grid[lowest, column].set_xlabel(x_label)
    if list(handles) != [""]:
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 6), frameon=False
        )
    return _svg(key, figure, label)


def smoothing(length: int) -> int:
    """How many updates the drawn running mean spans; 1 where a line is drawn as it is."""
    return 1 if length < 20 else max(3, length // 10)


def _running_mean(y: Sequence[float]) -> Sequence[float]:
    """Mean of the last updates, of those known, so that no point shows what came after it."""
    span = smoothing(len(y))
    if span == 1:
        return y
    means = []
    for k in range(len(y)):
        known = [v for v in y[max(0, k - span + 1) : k + 1] if math.isfinite(v)]
        means.append(math.fsum(known) / len(known) if known else math.nan)
    return means


def _whole_ticks(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _svg(key: str, figure: Any, label: str) -> Markup:
    """The figure as an `<svg>` element with ids of its own, transparent, its ink in the page's colour."""
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG

    for text in figure.findobj(lambda artist: hasattr(artist, "set_fontsize")):
        if text.get_color() in ("black", "k"):
            text.set_color(INK)
    for axes in figure.axes:
        axes.patch.set_alpha(0.0)
        axes.tick_params(colors=INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(INK)
    figure.patch.set_alpha(0.0)
    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = _IDS.sub(rf"\g<1>{key}-", text).replace(INK, "currentColor")
    width = round(1.15 * 96 * figure.get_figwidth())  # pixels: a little more than its natural size
    opening = f'<svg role="img" aria-label="{escape(label)}" style="max-width: {width}px"'
    return Markup(text.replace("<svg", opening, 1))
