"""Response graph: profiles, and an arrow for each unilateral change that pays; node size is α-rank mass."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, LIGHT, NotApplicable, new, short
from games.normal_form import Array, NormalFormGame

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_NODES = 16


def draw(analysis: Analysis) -> Any:
    """The profiles with most α-rank mass, and what next to the heaviest costs least, on a circle: 16 at most."""
    if analysis.alpharank is None:
        raise NotApplicable(f"no α-rank: {analysis.left_out.get('alpharank', 'not computed')}")
    game = analysis.scalar
    mass = np.asarray(analysis.alpharank.joint)
    if mass.shape != game.shape:
        raise NotApplicable(f"α-rank masses have shape {mass.shape}, not one for each profile {game.shape}")
    nodes = _nodes(game, mass)
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    figure = new(8.2, 7.2)
    axes = figure.add_subplot()
    payoff = game.scalar()
    tolerance = 1e-9 * max(1.0, float(np.abs(payoff).max()))
    areas = {node: 120.0 + 2600.0 * float(mass[node]) for node in nodes}
    for (a, at), (b, to) in combinations(zip(nodes, place, strict=True), 2):
        moved = [i for i in range(game.num_players) if a[i] != b[i]]
        if len(moved) != 1:
            continue
        gain = payoff[moved[0]][b] - payoff[moved[0]][a]
        colour = COLOURS[moved[0] % len(COLOURS)]
        if abs(gain) <= tolerance:
            axes.plot(*zip(at, to, strict=True), color=LIGHT, linewidth=0.8, linestyle=":", zorder=1)
            continue
        start, end = ((a, at), (b, to)) if gain > 0 else ((b, to), (a, at))
        axes.annotate(
            "",
            xy=end[1],
            xytext=start[1],
            zorder=2,
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "linewidth": 1.0,
                "alpha": 0.75,
                "shrinkA": np.sqrt(areas[start[0]]) / 2,
                "shrinkB": np.sqrt(areas[end[0]]) / 2,
                "connectionstyle": "arc3,rad=0.08",
            },
        )
    values = np.array([mass[node] for node in nodes])
    points = axes.scatter(
        *place.T, s=[areas[node] for node in nodes], c=values, cmap="cividis_r", vmin=0.0, vmax=max(values.max(), 1e-9)
    )
    points.set(edgecolor="black", linewidth=0.8, zorder=3)
    figure.colorbar(points, ax=axes, label="α-rank mass of the profile", shrink=0.55, pad=0.02)
    for node, (x, y) in zip(nodes, place, strict=True):
        label = "\n".join(short(game.strategies[i][k]) for i, k in enumerate(node))
        radius = 1.0 + 0.08 + 0.0026 * np.sqrt(areas[node])
        side = "left" if x > 0.15 else "right" if x < -0.15 else "center"
        level = "bottom" if y > 0.9 else "top" if y < -0.9 else "center"
        axes.text(x * radius, y * radius, label, ha=side, va=level, fontsize=8, linespacing=0.95)
    for i, player in enumerate(game.players):
        axes.plot([], [], color=COLOURS[i % len(COLOURS)], label=f"{player} gains by moving")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=min(3, game.num_players), frameon=False, fontsize=9
    )
    total = int(np.prod(game.shape))
    shown = f"all {total}" if total <= _NODES else f"{len(nodes)} of {total}"
    axes.set_title(f"Response graph, {shown} profiles (mass {values.sum():.2f})", fontsize=11)
    axes.set(xlim=(-1.75, 1.75), ylim=(-1.4, 1.4), aspect="equal")
    axes.set_axis_off()
    return figure


def _nodes(game: NormalFormGame, mass: Array) -> list[tuple[int, ...]]:
    """In table order, which keeps a player's deviations together around the circle."""
    every = [tuple(int(k) for k in cell) for cell in np.ndindex(*game.shape)]
    heaviest = max(every, key=lambda cell: float(mass[cell]))

    def importance(cell: tuple[int, ...]) -> tuple[float, float]:
        moved = [i for i in range(len(cell)) if cell[i] != heaviest[i]]
        loss = float(game.scalar()[moved[0]][heaviest] - game.scalar()[moved[0]][cell]) if len(moved) == 1 else np.inf
        return (-float(mass[cell]) if mass[cell] > 1e-4 else 0.0, loss)

    return sorted(sorted(every, key=importance)[:_NODES])
