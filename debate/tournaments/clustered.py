"""Means and their combinations with intervals that hold where the answers to one question hang together.

Axis letters: Q questions. The linearised ratio estimator with the small-sample factor G/(G−1) over the G questions that
were observed (Cameron & Miller 2015, "A practitioner's guide to cluster-robust inference", eq. 11 for a regression on a
constant), and the delta method for what is computed from several means. Intervals use Student's t with G − 1 degrees
of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number from Q clusters: its value, and how each cluster moves it.

    Attributes:
        value: the estimate; NaN where nothing was observed.
        influence: [Q] first-order change of the value by each cluster; sums to zero.
        clusters: [Q] whether the cluster was observed.
        count: observations behind it.
    """

    value: float
    influence: Array
    clusters: NDArray[np.bool_]
    count: float

    @property
    def error(self) -> float:
        """Standard error; NaN with fewer than two clusters."""
        groups = int(self.clusters.sum())
        if groups < 2 or not math.isfinite(self.value):
            return math.nan
        return float(np.sqrt(groups / (groups - 1) * np.square(self.influence).sum()))

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """(low, high); None with fewer than two clusters."""
        error = self.error
        if not math.isfinite(error):
            return None
        from scipy.stats import t

        reach = float(t.ppf(0.5 + 0.5 * confidence, int(self.clusters.sum()) - 1)) * error
        return self.value - reach, self.value + reach


def mean_of(sums: ArrayLike, counts: ArrayLike) -> Estimate:
    """The mean Σ sums / Σ counts.

    Args:
        sums: [Q] sum of the observations of each cluster.
        counts: [Q] how many there are.
    """
    s, n = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    total = float(n.sum())
    if total == 0:
        return Estimate(math.nan, np.zeros(len(s)), n > 0, 0.0)
    value = float(s.sum()) / total
    return Estimate(value, (s - value * n) / total, n > 0, total)


def combine(function: Callable[[Array], float], gradient: Sequence[float], parts: Sequence[Estimate]) -> Estimate:
    """A smooth function of several estimates over the same clusters.

    Args:
        function: of their values.
        gradient: its partial derivatives at the values.
        parts: the estimates.
    """
    values = np.array([part.value for part in parts])
    clusters = np.logical_or.reduce([part.clusters for part in parts])
    count = min(part.count for part in parts)
    if not np.isfinite(values).all():
        return Estimate(math.nan, np.zeros(len(clusters)), clusters, count)
    influence = np.add.reduce([g * part.influence for g, part in zip(gradient, parts, strict=True)])
    return Estimate(function(values), np.asarray(influence, dtype=np.float64), clusters, count)


def difference(one: Estimate, other: Estimate) -> Estimate:
    """One − other, the dependence between them kept."""
    return combine(lambda v: float(v[0] - v[1]), (1.0, -1.0), (one, other))


def share_of_gap(means: Array) -> Array:
    """(reached − naive) / (expert − naive) from [3, …] means of the three; NaN where there is no gap.

    Source: performance gap recovered, Burns et al. (2023), "Weak-to-strong generalization".
    """
    reached, naive, expert = means
    gap = expert - naive
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.abs(gap) < 1e-12, np.nan, (reached - naive) / gap))


def bootstrap_interval(
    statistic: Callable[[Array], Array],
    tables: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Percentile interval of a function of several means, whole clusters resampled together.

    For ratios such as the gap recovered, whose delta-method interval is symmetric and too short where the gap is small.

    Args:
        statistic: [T, R] means of T tables in R resamples → [R] values; NaN where it is not defined.
        tables: T times [Q, 2] (sum, count) a cluster.
        resamples: R.
        seed: of the resampling.
        confidence: of the interval.

    Returns:
        (low, high); None with fewer than two clusters, or where the statistic is defined in fewer than 95 % of the
        resamples: an interval of the others would say more than is known.

    Source: Efron & Tibshirani (1993), "An introduction to the bootstrap", ch. 13; clusters as units: Cameron & Miller
    (2015), section VI.
    """
    stacked = np.stack([np.asarray(table, dtype=np.float64) for table in tables])
    stacked = stacked[:, (stacked[:, :, 1] > 0).any(axis=0)]
    count = stacked.shape[1]
    if count < 2:
        return None
    rng, values = np.random.default_rng(seed), []
    for start in range(0, resamples, 64):  # a few at a time: [R, Q] weights of many questions are large
        weights = rng.multinomial(count, [1.0 / count] * count, size=min(64, resamples - start)).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = (stacked[:, :, 0] @ weights.T) / (stacked[:, :, 1] @ weights.T)
        values.append(statistic(means))
    drawn = np.concatenate(values)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 0.95 * resamples:
        return None
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)
