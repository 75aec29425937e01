"""Agreement beyond chance: Krippendorff's α, Fleiss' κ, Cohen's κ. NaN where there is nothing to disagree about."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Array = NDArray[np.float64]


def krippendorff_alpha(data: ArrayLike, level: Level = "nominal") -> float:
    """Krippendorff's α for any number of raters, with missing values.

    Args:
        data: [raters, items] ratings; NaN where a rater gave none. Items with one rating are not pairable and dropped.
        level: how far two values are apart: nominal, ordinal (by ranks), interval or ratio.

    Returns:
        1 for perfect agreement, 0 for chance; NaN where fewer than two values occur.

    Raises:
        ValueError: data that is no [raters, items] array of numbers, or an unknown level.

    Source: Krippendorff (2011), "Computing Krippendorff's alpha-reliability".
    """
    counts, values = _value_counts(data)
    return _alpha(counts, values, level, np.ones(len(counts)))


def krippendorff_lower_bound(
    data: ArrayLike, level: Level = "nominal", confidence: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> float:
    """One-sided lower bootstrap bound of Krippendorff's α: items are drawn with replacement.

    A resample whose ratings are all the same has no α and is left out; NaN where α itself is NaN.

    Raises:
        ValueError: as `krippendorff_alpha`, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"krippendorff_lower_bound: confidence {confidence} or resamples {resamples} out of range")
    counts, values = _value_counts(data)
    items = len(counts)
    if not np.isfinite(_alpha(counts, values, level, np.ones(items))):
        return float("nan")
    draws = np.random.default_rng(seed).multinomial(items, np.full(items, 1 / items), size=resamples)
    alphas = np.array([_alpha(counts, values, level, weights) for weights in draws.astype(float)])
    return float(np.nanquantile(alphas, 1 - confidence))


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' κ for items rated by the same number of raters.

    Args:
        counts: [items, categories] how many raters chose each category.

    Raises:
        ValueError: rows with different sums, or fewer than two ratings an item.

    Source: Fleiss (1971), "Measuring nominal scale agreement among many raters".
    """
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or not len(table) or not np.isfinite(table).all() or (table < 0).any():
        raise ValueError(f"fleiss_kappa: expected [items, categories] counts, got shape {table.shape}")
    raters = table.sum(axis=1)
    if not np.all(raters == raters[0]) or raters[0] < 2:
        raise ValueError("fleiss_kappa: every item needs the same number of ratings, two or more")
    n = raters[0]
    observed = float(np.mean(((table**2).sum(axis=1) - n) / (n * (n - 1))))
    expected = float(np.sum((table.sum(axis=0) / table.sum()) ** 2))
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def cohen_kappa(table: ArrayLike) -> float:
    """Cohen's κ of two raters.

    Args:
        table: [categories, categories] counts; rows are the first rater's categories, columns the second's.

    Raises:
        ValueError: a table that is not square, empty or holds negative numbers.

    Source: Cohen (1960), "A coefficient of agreement for nominal scales".

    >>> round(cohen_kappa([[20, 5], [10, 15]]), 9)
    0.4
    """
    counts = np.asarray(table, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not (counts >= 0).all() or not counts.sum() > 0:
        raise ValueError(f"cohen_kappa: expected a square table of counts, got {counts.tolist()}")
    shares = counts / counts.sum()
    expected = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return (float(np.trace(shares)) - expected) / (1 - expected) if expected < 1 else float("nan")


def _value_counts(data: ArrayLike) -> tuple[Array, Array]:
    """[items, values] how often each value was given to each pairable item, and the sorted values."""
    ratings = np.asarray(data, dtype=float)
    if ratings.ndim != 2 or np.isinf(ratings).any():
        raise ValueError(f"krippendorff_alpha: expected finite [raters, items] ratings, got shape {ratings.shape}")
    ratings = ratings[:, np.sum(~np.isnan(ratings), axis=0) >= 2]
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[:, :, None] == values).sum(axis=0)
    return counts.astype(float), values


def _alpha(counts: Array, values: Array, level: Level, weights: Array) -> float:
    """1 − D_o / D_e over items that each count `weights` times."""
    totals = weights @ counts
    n = totals.sum()
    distance = _distances(values, totals, level)
    per_item = counts.sum(axis=1)
    # Pairs within an item, each item's weighted by 1 / (m_u - 1); values at distance 0 add nothing.
    within = np.einsum("ic,cd,id->i", counts, distance, counts, optimize=True) / (per_item - 1)
    between = totals @ distance @ totals
    if not between > 0:
        return float("nan")
    return float(1 - (n - 1) * (weights @ within) / between)


def _distances(values: Array, totals: Array, level: Level) -> Array:
    """[values, values] squared distances δ²."""
    if level == "nominal":
        return np.not_equal.outer(values, values).astype(np.float64)
    if level == "interval":
        return np.asarray((values[:, None] - values) ** 2)
    if level == "ratio":
        sums = values[:, None] + values
        difference = values[:, None] - values
        return np.asarray(np.divide(difference, sums, out=np.zeros_like(sums), where=sums != 0) ** 2)
    if level == "ordinal":
        ranks = np.cumsum(totals) - totals / 2  # Σ_{g<=k} n_g − n_k / 2
        return np.asarray((ranks[:, None] - ranks) ** 2)
    raise ValueError(f"krippendorff_alpha: unknown level {level!r}; expected nominal, ordinal, interval or ratio")
