"""Logit path: each strategy's probability as precision grows from random play towards equilibrium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, LIGHT, NotApplicable, new, short, tidy

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_NAMED = 7


def draw(analysis: Analysis) -> Any:
    """One panel a player; the strategies that reach most are coloured and named, others grey."""
    if not analysis.logit:
        raise NotApplicable(f"no logit path: {analysis.left_out.get('logit', 'not computed')}")
    game = analysis.scalar
    shown = [point for point in analysis.logit if point.details["lambda"] > 0]
    lambdas = np.array([point.details["lambda"] for point in shown], dtype=np.float64)
    figure = new(4.6 * game.num_players + 0.4, 4.4)
    panels = figure.subplots(1, game.num_players, sharey=True, squeeze=False)[0]
    for i, axes in enumerate(panels):
        path = np.array([point.profile[i] for point in shown if point.profile is not None])
        named = [int(k) for k in np.argsort(-path.max(axis=0), kind="stable")[:_NAMED]]
        rest = [k for k in range(path.shape[1]) if k not in named]
        for n, k in enumerate(rest):
            axes.plot(lambdas, path[:, k], color=LIGHT, linewidth=1.0, label=f"{len(rest)} others" if n == 0 else None)
        for n, k in enumerate(named):
            axes.plot(lambdas, path[:, k], color=COLOURS[n], linewidth=1.8, label=short(game.strategies[i][k]))
        axes.set_xscale("log")
        axes.set(xlabel="precision λ (1 / utility)", ylim=(-0.02, 1.02))
        axes.set_title(game.players[i], fontsize=11)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8, frameon=False)
        tidy(axes)
        axes.minorticks_off()
    panels[0].set_ylabel("probability")
    return figure
