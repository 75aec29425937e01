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


def gap_recovered(reached: Estimate, naive: Estimate, expert: Estimate) -> Estimate:
    """(reached − naive) / (expert − naive), NaN where there is no gap.

    Source: performance gap recovered, Burns et al. (2023), "Weak-to-strong generalization".
    """
    gap = expert.value - naive.value
    if not math.isfinite(gap) or abs(gap) < 1e-12:
        return Estimate(math.nan, np.zeros(len(reached.clusters)), reached.clusters, reached.count)
    share = (reached.value - naive.value) / gap
    return combine(
        lambda v: float((v[0] - v[1]) / (v[2] - v[1])),
        (1 / gap, (share - 1) / gap, -share / gap),
        (reached, naive, expert),
    )
