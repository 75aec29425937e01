"""How large NashConv can be, given only samples: bounds that hold at every sample size and for every profile at once.

1. Every cell's mean gets a confidence sequence; δ is split evenly over cells (and players, unless constant-sum).
2. NashConv is bounded over the box of all games inside the intervals. A deviation's gain is linear in the payoffs, so
   each extreme is reached at a corner given by the signs of its coefficients.

The box holds for all profiles together, so the profile may be chosen from the same data, and one may look after each
match.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from games.empirical.bernstein import segment_intervals
from games.empirical.confidence import mean_interval
from games.empirical.samples import EmpiricalGame, IntArray
from games.normal_form import Array, Profile, deviation_payoffs


def nash_conv_bounds(
    empirical: EmpiricalGame,
    profile: Sequence[ArrayLike],
    delta: float = 0.05,
    payoff_range: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Bounds on the true NashConv of a profile, both right with probability 1 − δ at all sample sizes simultaneously.

    The independent observations are the clusters: a cell's matches of one cluster count as their mean, and should all
    be played before one looks. Failed episodes
    are left out, which assumes that failing does not depend on the reward that would have been.

    Args:
        empirical: samples with one objective; unplayed cells are allowed and can be anything in the range.
        profile: P mixed strategies; it may depend on the samples.
        delta: probability that the bounds are ever wrong.
        payoff_range: (lowest, highest) reward there can be. None declares [0, 1] where all rewards lie in it (win
            probabilities), else [−1, 1]; the range can never be learned from the samples themselves.

    Returns:
        (low, high), 0 ≤ low ≤ high.

    Raises:
        ValueError: several objectives, a profile that does not fit, or a reward outside the range.
    """
    low, high = cell_intervals(empirical, delta, payoff_range)
    mixed = _checked(empirical, profile)
    if low.shape[0] == 1:
        return box_nash_conv_zero_sum(low[0], high[0], mixed[0], mixed[1])
    return box_nash_conv(low, high, mixed)


def cell_intervals(
    empirical: EmpiricalGame, delta: float, payoff_range: tuple[float, float] | None = None
) -> tuple[Array, Array]:
    """Simultaneous confidence sequences of all cell means.

    Each is where a beta-binomial and an empirical-Bernstein sequence agree, at half the error probability each: the
    first is narrow for wins and losses, the second for rewards that hardly vary.

    Returns:
        low, high [P, k_0, …]; for constant-sum games of two players [1, k_0, k_1], player 0's, as the other's follow.

    Raises:
        ValueError: several objectives, delta outside (0, 1), or a reward outside the range.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta: expected a probability in (0, 1), got {delta}")
    bottom, top = declared_range(empirical, payoff_range)
    players, size = judged_players(empirical), int(np.prod(empirical.shape))
    share = 0.5 * delta / (players * size)
    lows, highs = [], []
    for i in range(players):
        units, cells = _units(empirical, i, bottom, top)
        total, count = (np.bincount(cells, weights=w, minlength=size) for w in (units, np.ones(len(units))))
        wide = mean_interval(total, count, share)
        other = segment_intervals(units, cells, size, share)
        lows.append(np.maximum(wide[0], other[0]))
        highs.append(np.minimum(wide[1], other[1]))
    low, high = (np.array(ends).reshape(players, *empirical.shape) for ends in (lows, highs))
    # Where the two disagree altogether (probability below delta) the interval would be empty: keep its middle.
    low, high = np.minimum(low, 0.5 * (low + high)), np.maximum(high, 0.5 * (low + high))
    return bottom + (top - bottom) * low, bottom + (top - bottom) * high


def judged_players(empirical: EmpiricalGame) -> int:
    """How many players' rewards need intervals of their own: one in a constant-sum game of two.

    Raises:
        ValueError: several objectives.
    """
    if empirical.num_objectives != 1:
        raise ValueError(
            f"this needs one objective, got {empirical.num_objectives} {empirical.objectives}: scalarise first"
        )
    return 1 if empirical.num_players == 2 and empirical.constant_sum() is not None else empirical.num_players


def _units(empirical: EmpiricalGame, player: int, bottom: float, top: float) -> tuple[Array, IntArray]:
    """[U] cluster means scaled to [0, 1] and their cells, sorted by cell and then by first appearance."""
    rewards = empirical.rewards[:, player, 0]
    known = np.flatnonzero(np.isfinite(rewards))
    groups = empirical.num_clusters
    pairs, first, pair, matches = np.unique(
        empirical.cells[known] * groups + empirical.clusters[known],
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    scaled = (rewards[known] - bottom) / (top - bottom)
    means = np.bincount(pair.reshape(-1), weights=scaled, minlength=len(pairs)) / matches
    cells = pairs // groups
    order = np.lexsort((first, cells))
    return np.clip(means[order], 0.0, 1.0), cells[order]


def declared_range(empirical: EmpiricalGame, payoff_range: tuple[float, float] | None = None) -> tuple[float, float]:
    """The range of rewards: the given one, else [0, 1] or [−1, 1] by the convention of `nash_conv_bounds`.

    Raises:
        ValueError: a reward lies outside, or the range is empty.
    """
    if not np.isfinite(empirical.rewards).any():
        raise ValueError("rewards: none is known, so there is nothing to bound")
    least, most = float(np.nanmin(empirical.rewards)), float(np.nanmax(empirical.rewards))
    if payoff_range is None:
        if least >= -1.0 and most <= 1.0:
            return (0.0 if least >= 0.0 else -1.0), 1.0
        raise ValueError(
            f"payoff_range: rewards reach from {least} to {most}; give the (lowest, highest) possible ones"
        )
    bottom, top = (float(end) for end in payoff_range)
    if not (bottom < top and bottom <= least and most <= top):
        raise ValueError(
            f"payoff_range: expected an interval that holds all rewards [{least}, {most}], got ({bottom}, {top})"
        )
    return bottom, top


def box_nash_conv(low: Array, high: Array, profile: Profile) -> tuple[float, float]:
    """Bounds on NashConv over all games with low ≤ payoffs ≤ high ([P, k_0, …]); each player's part is exact above."""
    lows, highs = [], []
    for i in range(len(profile)):
        middle, half = 0.5 * (low[i] + high[i]), 0.5 * (high[i] - low[i])
        values = deviation_payoffs(middle, profile, i)
        slack = deviation_payoffs(half, profile, i)
        gain = values - values @ profile[i]
        # Coefficients of deviating to s: σ_−i on row s times 1 − σ_i(s), and −σ_−i σ_i(r) on every other row r.
        reach = slack * (1.0 - 2.0 * profile[i]) + slack @ profile[i]
        highs.append(max(0.0, float((gain + reach).max())))
        lows.append(max(0.0, float((gain - reach).max())))
    return sum(lows), sum(highs)


def box_nash_conv_zero_sum(low: Array, high: Array, row: Array, column: Array) -> tuple[float, float]:
    """The same for constant-sum games of two players from player 0's intervals [k_0, k_1]; exact above.

    NashConv = max_s (A y)_s − min_t (xᵀA)_t: what the players get cancels, and only the cell (s, t) is in both parts.
    """
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    gain = (middle @ column)[:, None] - (row @ middle)[None, :]
    shared = np.minimum(row[:, None], column[None, :]) * half
    reach = (half @ column)[:, None] + (row @ half)[None, :] - 2.0 * shared
    return max(0.0, float((gain - reach).max())), max(0.0, float((gain + reach).max()))


def _checked(empirical: EmpiricalGame, profile: Sequence[ArrayLike]) -> tuple[Array, ...]:
    if len(profile) != empirical.num_players:
        raise ValueError(f"profile: expected {empirical.num_players} strategies, one a player, got {len(profile)}")
    mixed = []
    for i, (given, size) in enumerate(zip(profile, empirical.shape, strict=True)):
        p = np.asarray(given, dtype=np.float64)
        if p.shape != (size,) or not (p >= -1e-9).all() or abs(p.sum() - 1.0) > 1e-6:
            raise ValueError(
                f"profile[{i}]: expected {size} probabilities that sum to 1, got {np.asarray(given).tolist()}"
            )
        p = np.clip(p, 0.0, None)
        mixed.append(p / p.sum())
    return tuple(mixed)
