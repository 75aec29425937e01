"""NashConv against iterations and against model calls: how far training came, and at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, NotApplicable, new, tidy

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_AXES = (("iterations", "iterations"), ("model_calls", "model calls"))


def draw(analysis: Analysis) -> Any:
    """One panel for each of the two that the trace has."""
    trace = analysis.trace
    if not trace or "nash_conv" not in trace:
        raise NotApplicable("no trace of NashConv was given")
    y = np.asarray(trace["nash_conv"], dtype=np.float64)
    shown = [(key, label) for key, label in _AXES if key in trace]
    if not shown or any(len(trace[key]) != len(y) for key, _ in shown):
        raise NotApplicable("the trace needs iterations or model_calls, as many as values of nash_conv")
    figure = new(4.8 * len(shown), 3.8)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (key, label) in zip(panels, shown, strict=True):
        x = np.asarray(trace[key], dtype=np.float64)
        axes.plot(x, y, color=COLOURS[0], marker="o", markersize=3.5, linewidth=1.4)
        positive = y[y > 0]
        if len(positive) > 1 and positive.max() / positive.min() > 20:
            axes.set_yscale(
                "symlog" if (y == 0).any() else "log", **({"linthresh": positive.min()} if (y == 0).any() else {})
            )
        if x.min() > 0 and x.max() / x.min() > 20:
            axes.set_xscale("log")
        axes.set_xlabel(label)
        tidy(axes)
        axes.grid(alpha=0.2)
    panels[0].set_ylabel("NashConv (utility, all players)")
    return figure
