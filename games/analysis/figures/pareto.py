"""Pareto fronts: each strategy's payoff vector against the equilibrium, by pairs of objectives."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, GREY, LIGHT, NotApplicable, new, short, tidy
from games.normal_form import Array, deviation_payoffs
from games.vector.pareto import pareto_front

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_PAIRS = 3
_LISTED = 12


def draw(analysis: Analysis) -> Any:
    """A row of panels a player, one for each pair of objectives (the first three); front strategies are numbered."""
    game, profile = analysis.game, analysis.equilibrium.profile
    if game.num_objectives < 2 or profile is None:
        raise NotApplicable(f"a Pareto front needs two objectives, got {game.num_objectives}")
    pairs = list(combinations(range(game.num_objectives), 2))[:_PAIRS]
    figure = new(4.1 * len(pairs) + 2.0, 3.7 * game.num_players + 0.3)
    panels = figure.subplots(game.num_players, len(pairs), squeeze=False)
    error = analysis.empirical.standard_error()
    for i, row in enumerate(panels):
        points = deviation_payoffs(game.payoffs[i], profile, i).T  # [k_i, C]
        # Cells are treated as independent here, so that the variance of a mixture is the mixture of variances.
        half = 1.96 * np.sqrt(_variance(error[i] ** 2, profile, i)).T
        front = pareto_front(points)
        numbers = {int(k): n + 1 for n, k in enumerate(sorted(np.flatnonzero(front), key=lambda k: points[k, 0]))}
        for axes, (a, b) in zip(row, pairs, strict=True):
            axes.errorbar(
                points[:, a],
                points[:, b],
                xerr=half[:, a],
                yerr=half[:, b],
                fmt="none",
                ecolor=LIGHT,
                linewidth=1.0,
                zorder=1,
            )
            axes.scatter(points[~front, a], points[~front, b], s=26, color="white", edgecolor=GREY, zorder=2)
            axes.scatter(points[front, a], points[front, b], s=135, color=COLOURS[0], edgecolor="black", zorder=3)
            for k, number in numbers.items():
                axes.text(
                    points[k, a],
                    points[k, b],
                    str(number),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white",
                    zorder=4,
                )
            if game.num_objectives == 2:
                steps = points[front][np.argsort(points[front][:, 0])]
                axes.step(steps[:, 0], steps[:, 1], where="pre", color=COLOURS[0], linewidth=1.0, alpha=0.6, zorder=2)
            axes.set_xlabel(f"{short(game.objectives[a], 24)} (mean reward)")
            axes.set_ylabel(f"{short(game.objectives[b], 24)} (mean reward)")
            axes.margins(0.12)
            tidy(axes)
        row[0].set_title(f"Strategies of {short(game.players[i], 24)} against equilibrium", fontsize=11, loc="left")
        listed = [f"{number}  {short(game.strategies[i][k], 22)}" for k, number in list(numbers.items())[:_LISTED]]
        more = [f"… {len(numbers) - _LISTED} more"] if len(numbers) > _LISTED else []
        row[-1].text(
            1.03,
            1.0,
            "\n".join(["on the front:", *listed, *more, "○  dominated", "bars: 95 %"]),
            transform=row[-1].transAxes,
            va="top",
            fontsize=8,
        )
    return figure


def _variance(square: Array, profile: tuple[Array, ...], player: int) -> Array:
    """[C, k_i] variance of a strategy's payoff against mixtures; NaN cells that are not met do not matter."""
    met = [p**2 for p in profile]
    weight = np.ones(())
    for j, p in enumerate(met):
        weight = np.multiply.outer(weight, np.ones_like(p) if j == player else p)
    known = np.where(weight > 0, square, 0.0)
    return deviation_payoffs(known, met, player)
