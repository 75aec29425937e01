"""Replicator dynamics: on a triangle for one population of three strategies, on a square for two players with two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, GREY, MAP, NotApplicable, new, short, tidy
from games.normal_form import Array

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3.0) / 2.0]])


def draw(analysis: Analysis) -> Any:
    """The triangle where both players have the same strategies, three or more; else the square.

    Games with more strategies are restricted to the ones the equilibrium plays most, and the title says so.
    """
    game, profile = analysis.scalar, analysis.equilibrium.profile
    if game.num_players != 2 or profile is None:
        raise NotApplicable(f"replicator portraits are drawn for two players, got {game.num_players}")
    if min(game.shape) < 2:
        raise NotApplicable(f"replicator portraits need two strategies a player, got {game.shape}")
    if game.strategies[0] == game.strategies[1] and game.shape[0] >= 3:
        return _triangle(analysis)
    return _square(analysis)


def _most_played(weight: Array, count: int) -> list[int]:
    return sorted(int(k) for k in np.argsort(-weight, kind="stable")[:count])


def _triangle(analysis: Analysis) -> Any:
    game, profile = analysis.scalar, analysis.equilibrium.profile
    assert profile is not None
    payoff = game.scalar()
    table = 0.5 * (payoff[0] + payoff[1].T)  # each seat half of the time: the population game
    mix = 0.5 * (profile[0] + profile[1])
    kept = _most_played(mix, 3)
    table = table[np.ix_(kept, kept)]
    figure = new(6.4, 6.0)
    axes = figure.add_subplot()
    axes.plot(*np.vstack([_CORNERS, _CORNERS[:1]]).T, color="black", linewidth=1.0)
    steps = 18
    grid = np.array([(i, j, steps - i - j) for i in range(1, steps) for j in range(1, steps - i)]) / steps
    field = _replicator(grid, table)
    at, flow = grid @ _CORNERS, field @ _CORNERS
    speed = np.linalg.norm(flow, axis=1)
    unit = np.divide(flow, speed[:, None], out=np.zeros_like(flow), where=speed[:, None] > 1e-12)
    arrows = axes.quiver(*at.T, *unit.T, speed, cmap=MAP, scale=26, width=0.005, pivot="mid")
    figure.colorbar(arrows, ax=axes, label="speed (per unit of time)", shrink=0.6, pad=0.02)
    starts = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.45, 0.45, 0.1], [0.3, 0.35, 0.35]])
    for path in np.moveaxis(_trajectories(starts, table), 1, 0):
        axes.plot(*(path @ _CORNERS).T, color=COLOURS[1], linewidth=0.9, alpha=0.8)
    inside = mix[kept]
    if inside.sum() > 1 - 1e-6:
        axes.plot(
            *(inside / inside.sum() @ _CORNERS), marker="*", markersize=16, color=COLOURS[1], mec="black", zorder=5
        )
    for corner, k, (dx, dy) in zip(_CORNERS, kept, ((-0.01, -0.035), (0.01, -0.035), (0, 0.03)), strict=True):
        level = "bottom" if dy > 0 else "top"
        axes.text(corner[0] + dx, corner[1] + dy, short(game.strategies[0][k], 24), ha="center", va=level, fontsize=9)
    restricted = "" if len(mix) == 3 else f"\nrestricted to the 3 most played of {len(mix)} strategies"
    star = "star: equilibrium; " if inside.sum() > 1 - 1e-6 else ""
    axes.set_title(f"Replicator dynamics of one population{restricted}\n({star}lines: trajectories)", fontsize=11)
    axes.set(xlim=(-0.16, 1.16), ylim=(-0.12, 0.97), aspect="equal")
    axes.set_axis_off()
    return figure


def _square(analysis: Analysis) -> Any:
    game, profile = analysis.scalar, analysis.equilibrium.profile
    assert profile is not None
    kept = [_most_played(p, 2) for p in profile]
    payoff = np.stack([table[np.ix_(*kept)] for table in game.scalar()])
    figure = new(6.6, 5.6)
    axes = figure.add_subplot()
    ticks = np.linspace(0.04, 0.96, 17)
    x, y = np.meshgrid(ticks, ticks)
    dx, dy = _two_population(x, y, payoff)
    speed = np.hypot(dx, dy)
    safe = np.where(speed > 1e-12, speed, 1.0)
    arrows = axes.quiver(x, y, dx / safe, dy / safe, speed, cmap=MAP, scale=26, width=0.005, pivot="mid")
    figure.colorbar(arrows, ax=axes, label="speed (per unit of time)", shrink=0.8, pad=0.02)
    starts = [(0.15, 0.15), (0.85, 0.2), (0.2, 0.85), (0.8, 0.8), (0.5, 0.35)]
    for start in starts:
        path = [np.array(start)]
        for _ in range(1500):
            step = np.array(_two_population(path[-1][0], path[-1][1], payoff))
            path.append(np.clip(path[-1] + 0.03 * step / max(1e-9, float(np.abs(payoff).max())), 0, 1))
        axes.plot(*np.array(path).T, color=COLOURS[1], linewidth=0.9, alpha=0.8)
    inside = [p[k].sum() for p, k in zip(profile, kept, strict=True)]
    if min(inside) > 1 - 1e-6:
        axes.plot(profile[0][kept[0][0]], profile[1][kept[1][0]], "*", ms=16, color=COLOURS[1], mec="black", zorder=5)
    for i, label in ((0, axes.set_xlabel), (1, axes.set_ylabel)):
        label(f"probability that {game.players[i]} plays {short(game.strategies[i][kept[i][0]], 24)}")
    restricted = "" if game.shape == (2, 2) else "\nrestricted to each player's 2 most played strategies"
    star = "star: equilibrium; " if min(inside) > 1 - 1e-6 else ""
    axes.set_title(f"Replicator dynamics of two populations{restricted}\n({star}lines: trajectories)", fontsize=11)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    tidy(axes)
    axes.grid(color=GREY, alpha=0.15)
    return figure


def _replicator(x: Array, table: Array) -> Array:
    """ẋ_s = x_s ((A x)_s − xᵀA x) at points x [..., k] (Taylor & Jonker 1978)."""
    fitness = x @ table.T
    return np.asarray(x * (fitness - (x * fitness).sum(axis=-1, keepdims=True)))


def _trajectories(starts: Array, table: Array, steps: int = 1500) -> Array:
    """[steps + 1, S, 3] paths from S starts: Runge–Kutta of order 4, 60 units of time at payoffs of range 1."""
    h = 0.04 / max(1e-9, float(np.ptp(table)))
    path = [starts]
    for _ in range(steps):
        x = path[-1]
        a = _replicator(x, table)
        b = _replicator(x + 0.5 * h * a, table)
        c = _replicator(x + 0.5 * h * b, table)
        d = _replicator(x + h * c, table)
        x = np.clip(x + h / 6.0 * (a + 2 * b + 2 * c + d), 0.0, None)
        path.append(x / x.sum(axis=1, keepdims=True))
    return np.array(path)


def _two_population(x: Array, y: Array, payoff: Array) -> tuple[Array, Array]:
    """Velocities of each player's probability of the first of two strategies."""
    gain_x = (payoff[0][0, 0] - payoff[0][1, 0]) * y + (payoff[0][0, 1] - payoff[0][1, 1]) * (1 - y)
    gain_y = (payoff[1][0, 0] - payoff[1][0, 1]) * x + (payoff[1][1, 0] - payoff[1][1, 1]) * (1 - x)
    return x * (1 - x) * gain_x, y * (1 - y) * gain_y
