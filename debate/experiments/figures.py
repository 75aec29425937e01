"""The figure of an experiment: one panel a task and measure, a line and its band a condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from debate.experiments.runner import Result
from debate.experiments.spec import Experiment, Measure
from debate.experiments.statistics import curve, estimate, finals
from debate.report.figures import COLOURS

_STYLE: dict[str, Any] = {
    "svg.hashsalt": "debate-experiment",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 10,
}
_MARKS = "osD^vP*X"


def draw(experiment: Experiment, results: Sequence[Result], folder: Path) -> None:
    """Writes figure.svg and figure.png; the same results give the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    panels, measures = list(experiment.panels), [m for m in experiment.measures if m.drawn]
    with rc_context(_STYLE):
        across = panels if len(panels) > 1 else list(measures)
        down = measures if len(panels) > 1 else measures[:1]
        columns = min(3, len(across))
        rows = len(down) * math.ceil(len(across) / columns)
        figure = Figure(figsize=(max(4.1 * columns, 6.0), 3.0 * rows + 0.6), dpi=150, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        cells = [(p, m) for m in measures for p in panels]
        for axes, (panel, measure) in zip(grid.flat, cells, strict=False):
            (_lines if experiment.x else _dots)(axes, experiment, results, panel, measure)
            axes.set_title(panel or measure.label, loc="left")
            axes.set_ylabel(measure.label if panel else "")
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.2, linewidth=0.7)
        for axes in grid.flat[len(cells) :]:
            axes.set_visible(False)
        handles = {
            label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if experiment.x:
            wide = min(len(handles), max(1, int(4.1 * columns // 2.0)))
            figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=wide, frameon=False)
        FigureCanvasSVG(figure).print_svg(folder / "figure.svg", metadata={"Date": None, "Creator": None})
        FigureCanvasAgg(figure).print_png(folder / "figure.png", metadata={"Software": None})


def _lines(axes: Any, experiment: Experiment, results: Sequence[Result], panel: str, measure: Measure) -> None:
    for k, condition in enumerate(experiment.conditions):
        if not finals(results, panel, condition, measure.name):
            continue
        drawn = curve(experiment, results, panel, condition, measure.name)
        bands = [estimate(list(column)) for column in drawn.values.T]
        mean, low, high = (np.array([getattr(b, part) for b in bands]) for part in ("mean", "low", "high"))
        if measure.log:  # an interval may reach below zero, which has no place on this axis
            low = np.maximum(low, mean / 10.0)
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(drawn.x, mean, color=colour, linewidth=1.8, label=condition)
        axes.fill_between(drawn.x, low, high, color=colour, alpha=0.15, linewidth=0)
    if measure.log:
        axes.set_yscale("log")
        _plain(axes.yaxis)
    axes.set_xlabel(experiment.x_label)
    axes.xaxis.set_major_formatter(_short)


def _dots(axes: Any, experiment: Experiment, results: Sequence[Result], panel: str, measure: Measure) -> None:
    """Where each run ends in one number: its mean and interval, the seeds beside."""
    names = [c for c in experiment.conditions if finals(results, panel, c, measure.name)]
    for k, condition in enumerate(names):
        values = list(finals(results, panel, condition, measure.name).values())
        found = estimate(values)
        colour = COLOURS[list(experiment.conditions).index(condition) % len(COLOURS)]
        axes.plot(values, [k + 0.18] * len(values), ".", color=colour, alpha=0.45)
        if math.isfinite(found.mean):
            axes.plot(found.mean, k, _MARKS[0], color=colour, markersize=6)
        if math.isfinite(found.low):
            axes.plot([found.low, found.high], [k, k], color=colour, linewidth=1.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(measure.label if panel else "")
    axes.set_ylabel("")
    if measure.log:
        axes.set_xscale("log")
        _plain(axes.xaxis)


def _plain(axis: Any) -> None:
    """Powers of ten as numbers, nothing between them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _short(value: float, _: Any = None) -> str:
    """400000 as 400k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0):
            return f"{value / size:g}{letter}"
    return f"{value:g}"
