"""Ratings with simultaneous intervals: two strategies differ for sure only where their bars do not touch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, GREY, NotApplicable, new, short, tidy

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis


def draw(analysis: Analysis) -> Any:
    """A panel for each player; strategies sorted by their payoff against uniform opponents."""
    ratings, game = analysis.ratings, analysis.scalar
    if ratings is None:
        raise NotApplicable(f"no ratings: {analysis.left_out.get('ratings', 'not computed')}")
    figure = new(4.7 * game.num_players + 0.6, 1.7 + 0.32 * max(max(game.shape), 3))
    panels = figure.subplots(1, game.num_players, squeeze=False)[0]
    for i, axes in enumerate(panels):
        order = np.argsort(ratings.uniform[i], kind="stable")
        y = np.arange(len(order))
        for values, interval, shift, colour, mark, label in (
            (ratings.uniform[i], ratings.uniform_interval[i], 0.14, COLOURS[0], "o", "against uniform opponents"),
            (
                ratings.equilibrium[i],
                ratings.equilibrium_interval[i],
                -0.14,
                COLOURS[1],
                "D",
                "against the equilibrium",
            ),
        ):
            reach = np.abs(interval - values)[:, order]
            axes.errorbar(
                values[order],
                y + shift,
                xerr=reach,
                fmt=mark,
                color=colour,
                markersize=4.5,
                linewidth=1.4,
                capsize=2,
                label=label,
            )
        axes.set_yticks(y, [short(game.strategies[i][k]) for k in order], fontsize=8)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("mean payoff (utility)")
        axes.set_title(short(game.players[i], 24), fontsize=11)
        tidy(axes)
        axes.grid(axis="x", color=GREY, alpha=0.2)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
        title=f"bars: simultaneous {ratings.level:.0%} intervals",
        title_fontsize=9,
    )
    return figure
