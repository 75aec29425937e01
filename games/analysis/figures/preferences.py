"""Preference map: which strategies the equilibrium plays at each weighting of two or three objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from games.analysis.figures.style import COLOURS, LIGHT, NotApplicable, new, short, tidy
from games.equilibrium import Equilibrium

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3.0) / 2.0]])
_NAMED = 7


def draw(analysis: Analysis) -> Any:
    """A line for two objectives, a triangle for three; the colour is the support of the first equilibrium."""
    if analysis.preferences is None:
        raise NotApplicable(analysis.left_out.get("preferences", "not computed"))
    weights, found = analysis.preferences
    keys = [_support(equilibria[0]) for equilibria in found]
    # Colours go to the supports that hold most of the map.
    distinct = sorted(set(keys), key=lambda key: (-keys.count(key), key))
    colours = {key: COLOURS[n] if n < _NAMED else LIGHT for n, key in enumerate(distinct)}
    if weights.shape[1] == 2:
        return _line(analysis, weights, keys, distinct, colours)
    figure = new(10.8, 5.8)
    axes, side = figure.subplots(1, 2, width_ratios=[1.0, 0.62])
    axes.plot(*np.vstack([_CORNERS, _CORNERS[:1]]).T, color="black", linewidth=0.8)
    at = weights @ _CORNERS
    axes.scatter(*at.T, s=420, marker="h", color=[colours[key] for key in keys], linewidth=0)
    for corner, name, level in zip(_CORNERS, analysis.game.objectives, ("top", "top", "bottom"), strict=True):
        offset = 0.045 if level == "bottom" else -0.045
        axes.text(corner[0], corner[1] + offset, f"only {short(name, 24)}", ha="center", va=level, fontsize=9)
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.12, 0.98), aspect="equal")
    axes.set_axis_off()
    side.set_axis_off()
    axes.set_title("Equilibrium support at each weighting of the objectives", fontsize=11)
    _legend(side, analysis, distinct, colours, (0.0, 0.95))
    return figure


def _line(analysis: Analysis, weights: Any, keys: list[Any], distinct: list[Any], colours: dict[Any, str]) -> Any:
    game = analysis.game
    assert analysis.preferences is not None
    order = np.argsort(weights[:, 1])
    x = weights[order, 1]
    width = float(np.diff(x).max())
    figure = new(10.8, 1.5 + 2.5 * game.num_players)
    ratios = {"height_ratios": [0.45, *[1.0] * game.num_players], "width_ratios": [1.0, 0.5]}
    grid = figure.subplots(game.num_players + 1, 2, sharex="col", **ratios)
    panels, sides = grid[:, 0], grid[:, 1]
    for side in sides:  # the legends' column
        side.set_axis_off()
    panels[0].bar(x, 1.0, width=width, color=[colours[keys[n]] for n in order], linewidth=0)
    panels[0].set(yticks=[], ylim=(0, 1), xlim=(x[0], x[-1]))
    panels[0].set_title("Equilibrium at each weighting; colour of the strip: its support", fontsize=11)
    _legend(sides[0], analysis, distinct, colours, (0.0, 1.0))
    for i, (axes, side) in enumerate(zip(panels[1:], sides[1:], strict=True)):
        shares = np.array([_profile(analysis.preferences[1][n][0])[i] for n in order])
        named = [int(k) for k in np.argsort(-shares.max(axis=0), kind="stable")[:_NAMED] if shares[:, k].max() > 1e-6]
        for n, k in enumerate(named):
            axes.plot(x, shares[:, k], color=COLOURS[n], linewidth=1.8, label=short(game.strategies[i][k]))
        axes.set(ylabel=f"probability\n({short(game.players[i], 16)})", ylim=(-0.03, 1.03))
        side.legend(*axes.get_legend_handles_labels(), loc="upper left", frameon=False, fontsize=8, borderaxespad=0.0)
        tidy(axes)
    tidy(panels[0])
    panels[-1].set_xlabel(f"weight on {short(game.objectives[1], 24)} (the rest is on {short(game.objectives[0], 24)})")
    return figure


def _profile(equilibrium: Equilibrium) -> Any:
    assert equilibrium.profile is not None  # preference maps hold Nash equilibria
    return equilibrium.profile


def _support(equilibrium: Equilibrium) -> tuple[tuple[int, ...], ...]:
    return equilibrium.support


def _legend(
    axes: Any, analysis: Analysis, distinct: list[Any], colours: dict[Any, str], at: tuple[float, float]
) -> None:
    from matplotlib.patches import Patch

    handles = []
    for key in distinct[:_NAMED]:
        text = "; ".join(_listing([analysis.game.strategies[i][k] for k in played]) for i, played in enumerate(key))
        handles.append(Patch(color=colours[key], label=text))
    if len(distinct) > _NAMED:
        handles.append(Patch(color=LIGHT, label=f"{len(distinct) - _NAMED} other supports"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=at, frameon=False, fontsize=7.5, borderaxespad=0.0)


def _listing(names: list[str]) -> str:
    if len(names) == 1:
        return short(names[0], 16)
    more = f", +{len(names) - 2}" if len(names) > 2 else ""
    return f"{{{short(names[0], 12)}, {short(names[1], 12)}{more}}}"
