"""An analysis as rows: payoffs of every cell for files, strategies for the command line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from games.empirical.samples import EmpiricalGame
from games.equilibrium import Equilibrium
from games.normal_form import NormalFormGame

if TYPE_CHECKING:
    from games.analysis.analyse import Analysis


def payoff_columns(empirical: EmpiricalGame) -> dict[str, list[Any]]:
    """One row for each pure profile, player and objective.

    Returns:
        column → values: the strategy of each player, player, objective, mean, n (known rewards), failures,
        standard_error (cluster-robust), and for each objective the covariance with it within the cell. NaN means not
        known.
    """
    mean, n, failed, error = empirical.mean(), empirical.observed(), empirical.failures(), empirical.standard_error()
    covariance = empirical.covariance()
    columns: dict[str, list[Any]] = {f"strategy_{player}": [] for player in empirical.players}
    plain = ["player", "objective", "mean", "n", "failures", "standard_error"]
    columns.update({name: [] for name in [*plain, *(f"covariance_{name}" for name in empirical.objectives)]})
    for cell in np.ndindex(*empirical.shape):
        for i, player in enumerate(empirical.players):
            for c, objective in enumerate(empirical.objectives):
                at = (i, c, *cell)
                values = [player, objective, float(mean[at]), int(n[at]), int(failed[at]), float(error[at])]
                row = [empirical.strategies[j][k] for j, k in enumerate(cell)] + values
                row += [float(covariance[(i, c, d, *cell)]) for d in range(empirical.num_objectives)]
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
    return columns


def equilibrium_record(equilibrium: Equilibrium, game: NormalFormGame) -> dict[str, Any]:
    """An equilibrium with names in place of indices, ready for JSON."""
    record: dict[str, Any] = {
        "concept": equilibrium.concept,
        "method": equilibrium.method,
        "nash_conv": equilibrium.nash_conv,
        "regrets": dict(zip(game.players, equilibrium.regrets.tolist(), strict=False)),
        "degenerate": equilibrium.degenerate,
        "exact": equilibrium.exact,
        "interval": dict(equilibrium.interval),
        "details": dict(equilibrium.details),
    }
    if equilibrium.payoffs is not None:
        record["payoffs"] = {
            player: dict(zip(game.objectives, np.atleast_1d(row).tolist(), strict=False))
            for player, row in zip(game.players, equilibrium.payoffs, strict=True)
        }
    if equilibrium.profile is not None:
        record["profile"] = {
            player: dict(zip(names, p.tolist(), strict=True))
            for player, names, p in zip(game.players, game.strategies, equilibrium.profile, strict=True)
        }
        record["support"] = {
            player: [names[k] for k in played]
            for player, names, played in zip(game.players, game.strategies, equilibrium.support, strict=True)
        }
    else:
        joint = np.asarray(equilibrium.joint)
        record["joint"] = [
            {"profile": [game.strategies[i][k] for i, k in enumerate(cell)], "probability": float(joint[tuple(cell)])}
            for cell in np.argwhere(joint > 1e-12)
        ]
    return record


def strategy_table(analysis: Analysis) -> list[list[str]]:
    """Header and one row for each strategy of each player, numbers as text."""
    rows = [["player", "strategy", "equilibrium", "in support", "vs uniform", "vs equilibrium", "α-rank"]]
    profile = analysis.equilibrium.profile or ()
    inclusion = analysis.bootstrap.support_inclusion if analysis.bootstrap else ()
    masses = marginals(analysis)
    for i, player in enumerate(analysis.scalar.players):
        for k, name in enumerate(analysis.scalar.strategies[i]):
            against = ["–", "–"]
            if analysis.ratings:
                parts = (
                    (analysis.ratings.uniform[i][k], analysis.ratings.uniform_interval[i][:, k]),
                    (analysis.ratings.equilibrium[i][k], analysis.ratings.equilibrium_interval[i][:, k]),
                )
                against = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, (low, high) in parts]
            rows.append(
                [
                    player,
                    name,
                    f"{profile[i][k]:.3f}",
                    f"{inclusion[i][k]:.0%}" if inclusion else "–",
                    *against,
                    "–" if masses is None else f"{masses[i][k]:.3f}",
                ]
            )
    return rows


def marginals(analysis: Analysis) -> list[Any] | None:
    """Each player's α-rank mass over strategies; None where there is no α-rank."""
    if analysis.alpharank is None:
        return None
    joint = np.asarray(analysis.alpharank.joint)
    count = analysis.scalar.num_players
    if joint.ndim != count:
        return None
    return [joint.sum(axis=tuple(j for j in range(count) if j != i)) for i in range(count)]


def plain(value: Any) -> Any:
    """A value as JSON knows it: arrays as lists, NaN and infinities as null, anything else as text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
