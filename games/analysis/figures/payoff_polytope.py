"""Payoff space of two players: what is feasible, what coarse correlated and correlated equilibria reach, and Nash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, GREY, NotApplicable, new, short, tidy
from games.analysis.polytope import payoff_polygon

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis


def draw(analysis: Analysis) -> Any:
    """Feasible hull in grey, CCE and CE polygons inside it, equilibria as marks."""
    from matplotlib.patches import Polygon
    from scipy.spatial import ConvexHull, QhullError

    game = analysis.scalar
    if game.num_players != 2:
        raise NotApplicable(f"payoff polygons are drawn for two players, got {game.num_players}")
    if game.is_constant_sum():
        raise NotApplicable("constant-sum: all payoffs lie on one line and all equilibria have one payoff")
    pure = game.scalar().reshape(2, -1).T
    try:
        hull = pure[ConvexHull(pure).vertices]
    except QhullError as error:
        raise NotApplicable("the payoffs of all profiles lie on one line") from error
    figure = new(7.4, 5.6)
    axes = figure.add_subplot()
    axes.add_patch(Polygon(hull, facecolor="#F2F2F2", edgecolor=GREY, linewidth=0.8, label="feasible"))
    axes.scatter(*pure.T, s=9, color=GREY, label="pure profiles", zorder=2)
    for coarse, name, colour in ((True, "coarse correlated", COLOURS[5]), (False, "correlated", COLOURS[0])):
        corners = payoff_polygon(game, coarse)
        axes.add_patch(
            Polygon(corners, facecolor=colour, alpha=0.45, edgecolor=colour, linewidth=1.5, label=f"{name} equilibria")
        )
    nash = np.array([_payoffs(e.payoffs) for e in analysis.equilibria if e.payoffs is not None])
    if len(nash):
        axes.scatter(*nash.T, marker="*", s=170, color=COLOURS[1], edgecolor="black", label="Nash equilibria", zorder=5)
    for concept, mark in (("ce", "s"), ("cce", "D")):
        found = analysis.correlated.get(concept)
        if found is not None and found.payoffs is not None:
            at = _payoffs(found.payoffs)
            axes.scatter(
                *at,
                marker=mark,
                s=55,
                facecolor="none",
                edgecolor="black",
                zorder=6,
                label=f"max-welfare {concept.upper()}",
            )
    axes.set_xlabel(f"payoff of {short(game.players[0], 24)} (utility)")
    axes.set_ylabel(f"payoff of {short(game.players[1], 24)} (utility)")
    axes.set_title("Payoffs that equilibria reach", fontsize=11)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    axes.margins(0.06)
    axes.autoscale_view()
    tidy(axes)
    return figure


def _payoffs(payoffs: Any) -> Any:
    return np.asarray(payoffs, dtype=np.float64).reshape(2, -1)[:, 0]
