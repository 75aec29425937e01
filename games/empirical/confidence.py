"""Confidence sequences: intervals for a mean that hold at all sample sizes at once.

For observations in [0, 1] with mean m, ∏ (p/m)^x ((1−p)/(1−m))^(1−x) is a supermartingale for every p: it is convex in
x, hence at most its chord between x = 0 and x = 1, whose expectation is 1. Mixing p over a Beta prior and Ville's
inequality give the beta-binomial confidence sequence. It is exact for win or loss and needs only a sum and a count, so
one can stop, look and go on at will (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021, Prop. 7; Kaufmann & Koolen
2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from games.normal_form import Array

_STEPS = 45  # halvings: interval ends to 3e-14


def log_wealth(total: Array, count: Array, mean: Array, prior: float = 0.5) -> Array:
    """Log of the mixture supermartingale after `count` observations that sum to `total`, against the given mean."""
    from scipy.special import betaln, xlog1py, xlogy

    against = xlogy(total, mean) + xlog1py(count - total, -mean)
    return np.asarray(betaln(prior + total, prior + count - total) - betaln(prior, prior) - against)


def mean_interval(total: ArrayLike, count: ArrayLike, delta: ArrayLike, prior: float = 0.5) -> tuple[Array, Array]:
    """All means the observations do not refute at level `delta`.

    Args:
        total: [...] sums of observations in [0, 1].
        count: [...] how many; 0 gives [0, 1].
        delta: probability, over the whole unending sequence, that the mean is ever outside.
        prior: both parameters of the Beta mixture; ½ is Jeffreys' (narrow over many scales of sample size).

    Returns:
        low, high [...].

    Raises:
        ValueError: a sum outside [0, count], or delta outside (0, 1).
    """
    s, n, d = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (total, count, delta)))
    if (s < -1e-9 * (n + 1)).any() or (s > n + 1e-9 * (n + 1)).any():
        raise ValueError("mean_interval: expected 0 ≤ total ≤ count: an observation lies outside the declared range")
    if not ((d > 0) & (d < 1)).all():
        raise ValueError(f"delta: expected a probability in (0, 1), got {np.asarray(delta).tolist()}")
    s = np.clip(s, 0.0, n)
    threshold = -np.log(d)
    centre = np.divide(s, n, out=np.full(s.shape, 0.5), where=n > 0)
    ends = []
    for end in (0.0, 1.0):
        # The wealth is convex in the mean and smallest at the empirical one: bisect each side on its own.
        outside, inside = np.full(s.shape, end), centre.copy()
        for _ in range(_STEPS):
            middle = 0.5 * (outside + inside)
            refuted = log_wealth(s, n, np.clip(middle, 1e-300, 1.0 - 1e-16), prior) > threshold
            outside, inside = np.where(refuted, middle, outside), np.where(refuted, inside, middle)
        ends.append(np.where(n > 0, outside, end))
    return ends[0], ends[1]
