"""Payoff table: colour is player 0's mean payoff, beside it the half width of each cell's interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import MAP, NotApplicable, new, short

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_NUMBERS_UP_TO = 12  # strategies a side; beyond, colour alone is readable


def draw(analysis: Analysis) -> Any:
    """Two tables: mean payoff, and 1.96 cluster-robust standard errors (hatched where not known)."""
    game = analysis.scalar
    if game.num_players != 2:
        raise NotApplicable(f"a payoff table is drawn for two players, got {game.num_players}")
    rows, columns = game.shape
    mean = game.scalar()[0]
    half = 1.96 * analysis.empirical.scalarise(analysis.weights).standard_error()[0, 0]
    cell = 0.42 if max(rows, columns) <= _NUMBERS_UP_TO else 0.25
    figure = new(2 * (cell * max(columns, 4) + 1.5) + 1.2, cell * max(rows, 4) + 1.9)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, values, title, unit in (
        (panels[0], mean, f"Mean payoff of {game.players[0]}", "utility"),
        (panels[1], half, "Half width of its 95 % interval", "± utility"),
    ):
        known = values[np.isfinite(values)]
        if not known.size:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not known:\none cluster a cell", ha="center", va="center", transform=axes.transAxes)
            continue
        axes.set_facecolor("white")
        image = axes.imshow(values, cmap=MAP, aspect="equal")
        figure.colorbar(image, ax=axes, label=unit, shrink=0.8, pad=0.02)
        for i, j in np.argwhere(~np.isfinite(values)):
            axes.text(j, i, "?", ha="center", va="center", fontsize=9, color="black")
        if max(rows, columns) <= _NUMBERS_UP_TO:
            middle = 0.5 * (known.min() + known.max())
            for i, j in np.argwhere(np.isfinite(values)):
                text = f"{values[i, j]:.2f}".replace("0.", ".", 1) if abs(values[i, j]) < 1 else f"{values[i, j]:.1f}"
                colour = "white" if values[i, j] < middle else "black"
                axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
        axes.set_title(title, fontsize=11)
        axes.set_xticks(
            range(columns), [short(name) for name in game.strategies[1]], rotation=60, ha="right", fontsize=8
        )
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
        axes.set_yticks(range(rows), [short(name) for name in game.strategies[0]], fontsize=8)
        axes.set_xlabel(f"strategy of {game.players[1]}")
        axes.tick_params(length=0)
    panels[0].set_ylabel(f"strategy of {game.players[0]}")
    return figure
