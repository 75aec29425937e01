"""Empirical-Bernstein confidence sequences: narrow where rewards hardly vary.

Waudby-Smith & Ramdas (2023), "Estimating means of bounded random variables by betting", Theorem 2, with the predictable
plug-in λ of their eq. (26). Win-or-loss rewards are served better by `games.empirical.confidence`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from games.normal_form import Array

_MOST = 0.5  # λ is cut off here


def segment_intervals(values: Array, cells: NDArray[np.int64], size: int, delta: float) -> tuple[Array, Array]:
    """Intervals for the mean of each cell, valid at all sample sizes of that cell with probability 1 − delta.

    Args:
        values: [U] observations in [0, 1], sorted by cell, within a cell in the order in which they were made.
        cells: [U] which cell each belongs to.
        size: number of cells.
        delta: for each cell.

    Returns:
        low, high [size]; (0, 1) where nothing was observed.
    """
    count = np.bincount(cells, minlength=size)
    first = np.concatenate([[0], np.cumsum(count)])[:-1]
    t = np.arange(len(values)) - first[cells] + 1.0  # 1, 2, … within each cell

    def running(x: Array) -> Array:
        """[U] sums up to and including each observation, within its cell."""
        total = np.concatenate([[0.0], np.cumsum(x)])
        return np.asarray(total[1:] - total[first[cells]])

    # 1. Means and variances so far, each regularised by one imagined observation (½ and ¼).
    mean = (0.5 + running(values)) / (t + 1.0)
    square = (values - mean) ** 2
    variance = (0.25 + running(square)) / (t + 1.0)
    # 2. What was known before each observation: predictable means, variances and λ.
    start = t == 1.0
    mean_before = np.where(start, 0.5, np.roll(mean, 1))
    variance_before = np.where(start, 0.25, np.roll(variance, 1))
    bet = np.minimum(np.sqrt(2.0 * np.log(2.0 / delta) / (variance_before * t * np.log1p(t))), _MOST)
    # 3. Centre Σ λ x / Σ λ, half width (log(2/δ) + Σ (x − mean before)² (−log(1 − λ) − λ)) / Σ λ.
    penalty = (values - mean_before) ** 2 * (-np.log1p(-bet) - bet)
    bets, weighted, cost = (np.bincount(cells, weights=w, minlength=size) for w in (bet, bet * values, penalty))
    seen = count > 0
    safe = np.where(seen, bets, 1.0)
    centre, half = weighted / safe, (np.log(2.0 / delta) + cost) / safe
    low = np.where(seen, np.clip(centre - half, 0.0, 1.0), 0.0)
    high = np.where(seen, np.clip(centre + half, 0.0, 1.0), 1.0)
    return low, high
