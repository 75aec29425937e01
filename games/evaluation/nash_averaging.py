"""Nash averaging: ratings against the most mixed equilibrium of the meta-game.

Balduzzi, Tuyls, Pérolat & Graepel (2018), "Re-evaluating evaluation". For an antisymmetric table A the rating of a
strategy is its payoff A p against the maximum-entropy p with A p ≤ 0. Where that set has more than one point, copies of
a strategy would shift the maximum of the entropy; so copies are merged first and share their probability equally, and
then they change nobody's rating.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.equilibria.entropy import max_entropy_point
from games.equilibrium import NotConverged
from games.normal_form import Array


@dataclass(frozen=True, eq=False)
class NashAverage:
    """Nash averaging of k strategies.

    Attributes:
        profile: [k] the maximum-entropy equilibrium of the table.
        ratings: [k] payoff of each strategy against it; 0 for those it plays, never positive.
    """

    profile: Array
    ratings: Array


def nash_averaging(table: ArrayLike, tol: float = 1e-8) -> NashAverage:
    """Rates strategies by their payoff against the maximum-entropy equilibrium.

    Args:
        table: A [k, k], what the row strategy gains against the column strategy; antisymmetric.
        tol: how positive a rating may be, relative to the largest entry.

    Raises:
        ValueError: the table is not square, finite and antisymmetric (win rates: subtract ½, or take log-odds).
        NotConverged: the equilibrium did not verify.
    """
    a = np.asarray(table, dtype=np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not a.size or not np.isfinite(a).all():
        raise ValueError(f"nash_averaging: expected a finite square table, got shape {a.shape}")
    size = float(np.abs(a).max())
    off = np.abs(a + a.T)
    if off.max() > 1e-9 * size:
        i, j = (int(x) for x in np.unravel_index(int(off.argmax()), off.shape))
        raise ValueError(
            f"nash_averaging: expected an antisymmetric table (A = −Aᵀ), got A[{i}, {j}] = {a[i, j]} and A[{j}, {i}] = "
            f"{a[j, i]}; for win rates subtract ½ or take log-odds first"
        )
    unit = (a - a.T) / (2.0 * size) if size > 0 else a
    # Copies have equal rows; antisymmetry makes their columns equal too. One of each class stands for it.
    first, label = _classes(unit)
    share = max_entropy_point(unit[np.ix_(first, first)], np.zeros(len(first)))
    p = share[label] / np.bincount(label)[label]
    p = np.where(p > 1e-12, p, 0.0)
    p /= p.sum()
    ratings = a @ p
    if ratings.max() > tol * size:
        raise NotConverged(f"nash_averaging: a strategy gains {ratings.max():.2e} against the equilibrium found")
    return NashAverage(p, np.asarray(ratings, dtype=np.float64))


def _classes(unit: Array, tol: float = 1e-12) -> tuple[list[int], NDArray[np.intp]]:
    """(the first member of each class of equal rows, the class of each row)."""
    first: list[int] = []
    label = np.zeros(len(unit), dtype=np.intp)
    for i, row in enumerate(unit):
        match = next((c for c, j in enumerate(first) if np.abs(row - unit[j]).max() <= tol), None)
        if match is None:
            match = len(first)
            first.append(i)
        label[i] = match
    return first, label
