"""What all figures share: sizes, colours that colour-blind readers can tell apart, and saving without global state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from games.normal_form import NormalFormGame

# Okabe & Ito (2008), "Color universal design"; yellow last, it is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
GREY = "#6B6B6B"
LIGHT = "#D9D9D9"
MAP = "cividis"
DIVERGING = "PuOr_r"


class NotApplicable(Exception):
    """The figure has nothing to show for this game; the message says why."""


def new(width: float, height: float) -> Any:
    """An empty figure, sizes in inches, that lays itself out without overlaps."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    """Writes `path`.svg and `path`.png (160 dpi); the same figure gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none", "path.simplify": True}):
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()  # lays out once; both files then keep these places
        figure.set_layout_engine("none")
        figure.savefig(str(path.with_suffix(".png")), dpi=160, metadata={"Software": None})
        FigureCanvasSVG(figure).print_svg(str(path.with_suffix(".svg")), metadata={"Date": None})


def short(name: str, length: int = 18) -> str:
    """A name that fits beside an axis: the middle gives way, since versions stand at the end."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[-(length - 1 - head) :]}"


def utility_label(game: NormalFormGame) -> str:
    """What one payoff unit is called."""
    return game.objectives[0] if game.num_objectives == 1 else "utility"


def tidy(axes: Any) -> None:
    """Removes the frame that carries no information."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=3, labelsize=9)
