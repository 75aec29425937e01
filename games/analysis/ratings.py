"""Ratings of strategies with intervals that hold for all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from games.empirical.bootstrap import cluster_weights
from games.empirical.samples import EmpiricalGame
from games.normal_form import Array, Profile, deviation_payoffs


@dataclass(frozen=True, eq=False)
class Ratings:
    """Payoffs of each player's strategies, centred on nothing, in payoff units.

    Attributes:
        uniform: for each player [k_i] payoff against uniformly mixing opponents (the win-rate table's row means).
        equilibrium: for each player [k_i] payoff against the equilibrium strategies of the others, these held fixed
            (for the max-entropy equilibrium of an antisymmetric table: Nash averaging, Balduzzi et al. 2018).
        uniform_interval: for each player [2, k_i], simultaneous over all players and strategies.
        equilibrium_interval: likewise, its own family.
        level: simultaneous coverage aimed at.
    """

    uniform: tuple[Array, ...]
    equilibrium: tuple[Array, ...]
    uniform_interval: tuple[Array, ...]
    equilibrium_interval: tuple[Array, ...]
    level: float


def rate(
    samples: EmpiricalGame, profile: Profile, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Ratings:
    """Ratings with max-t bootstrap intervals (Romano & Wolf 2005): one critical value for the whole family.

    Args:
        samples: one objective, every cell played.
        profile: the equilibrium to rate against.
        resamples: of the cluster bootstrap.
        seed: of the cluster weights.
        level: simultaneous coverage.

    Raises:
        ValueError: an unplayed cell, several objectives or fewer than two clusters.
    """
    mean = samples.normal_form().scalar()
    if samples.num_clusters < 2:
        raise ValueError("ratings: expected at least two clusters, got 1")
    uniform = tuple(np.full(k, 1.0 / k) for k in samples.shape)
    draws = samples.weighted_means(cluster_weights(samples.num_clusters, resamples, seed))[:, :, 0]
    values, intervals = [], []
    for mix in (uniform, tuple(profile)):
        centre = tuple(deviation_payoffs(mean[i], mix, i) for i in range(samples.num_players))
        spread = [deviation_payoffs(draws[:, i], mix, i) for i in range(samples.num_players)]
        values.append(centre)
        intervals.append(_simultaneous(centre, spread, level))
    return Ratings(values[0], values[1], intervals[0], intervals[1], level)


def _simultaneous(centre: tuple[Array, ...], draws: list[Array], level: float) -> tuple[Array, ...]:
    flat, middle = np.concatenate(draws, axis=1), np.concatenate(centre)
    error = flat.std(axis=0, ddof=1)
    t = np.divide(np.abs(flat - middle), error, out=np.zeros_like(flat), where=error > 0)
    reach = float(np.quantile(t.max(axis=1), level)) * error
    low, high = middle - reach, middle + reach
    cuts = np.cumsum([len(c) for c in centre])[:-1]
    return tuple(np.stack(pair) for pair in zip(np.split(low, cuts), np.split(high, cuts), strict=True))
