"""Evidence debate: what optimal and random play of the sparse-evidence game are worth, exactly.

Text form of the sparse-pixel game of G. Irving, P. Christiano and D. Amodei, "AI safety via debate" (2018), §3.2:
n signed weights, the sides alternate and reveal k each, a naive judge adds up what was revealed. Every reveal adds a
constant to the sum, so the side that wants it large takes the largest weight left and the other side the smallest:
the value is (sum of the k largest) + (sum of the k smallest).

Letters: M multisets of weights, n weights, S distinct weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb, lgamma

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
SCALES = (1, 2, 4, 8, 16)


def debate_value(weights: ArrayLike, k: int) -> Array:
    """The revealed sum under optimal play.

    Args:
        weights: [..., n].
        k: reveals of each side, n ≥ 2k.

    Raises:
        ValueError: fewer than 2k weights.
    """
    w = np.sort(np.asarray(weights, dtype=np.float64), axis=-1)
    if w.ndim == 0 or k < 1 or w.shape[-1] < 2 * k:
        raise ValueError(f"evidence debate: expected k >= 1 and at least {2 * k} weights, got shape {w.shape}")
    return np.asarray(w[..., :k].sum(-1) + w[..., -k:].sum(-1))


@dataclass(frozen=True, slots=True)
class EvidenceOdds:
    """Exact expectations over questions: n weights drawn with replacement, sum 0 left out.

    Attributes:
        optimal: judge accuracy under optimal debate; a revealed sum of 0 counts ½.
        random: the same when both sides reveal at random.
        tie: share of optimal debates whose revealed sum is 0.
        consultancy: judge accuracy when one consultant, assigned either answer with probability ½, reveals k weights.
        questions: number of distinct questions (multisets) that were summed over.
    """

    optimal: float
    random: float
    tie: float
    consultancy: float
    questions: int


def evidence_odds(n: int = 12, k: int = 2, scales: tuple[int, ...] = SCALES) -> EvidenceOdds:
    """Sums over every multiset of n weights from ±scales, each with its multinomial probability.

    Raises:
        ValueError: fewer than 2k weights, or more than 5 million multisets.
    """
    values = np.array(sorted([-s for s in scales] + list(scales)))
    size = comb(n + len(values) - 1, n)
    if size > 5_000_000:
        raise ValueError(f"evidence_odds: {size} multisets of {n} weights are too many to sum over")
    weights, probability = _multisets(values, n)
    total = weights.sum(axis=1)
    probability = np.where(total == 0, 0.0, probability)
    probability /= probability.sum()
    truth = np.sign(total)
    debated = np.sign(debate_value(weights, k))
    # A consultant for either answer reveals the k weights that favour it most; the judge takes the sign of their sum.
    best, worst = np.sign(weights[:, -k:].sum(axis=1)), np.sign(weights[:, :k].sum(axis=1))
    return EvidenceOdds(
        optimal=float(probability @ _right(debated, truth)),
        random=_random_accuracy(n, k, values),
        tie=float(probability @ (debated == 0)),
        consultancy=float(probability @ (_right(best, truth) + _right(worst, truth))) / 2,
        questions=size,
    )


def _right(sign: NDArray[np.generic], truth: NDArray[np.generic]) -> Array:
    """1 where the judge's sign is the truth, ½ where it is 0."""
    return np.where(sign == 0, 0.5, (sign == truth).astype(float))


def _multisets(values: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], Array]:
    """[M, n] every multiset in ascending order, and [M] its probability under n independent uniform draws."""
    size, kinds = comb(n + len(values) - 1, n), len(values)
    # Stars and bars: the places of kinds − 1 bars among n + kinds − 1 places.
    flat = np.fromiter((b for bars in combinations(range(n + kinds - 1), kinds - 1) for b in bars), dtype=np.int64)
    bars = flat.reshape(size, kinds - 1)
    edges = np.concatenate([np.full((size, 1), -1), bars, np.full((size, 1), n + kinds - 1)], axis=1)
    counts = np.diff(edges, axis=1) - 1
    weights = np.repeat(np.tile(values, size), counts.ravel()).reshape(size, n)
    factorials = np.array([lgamma(i + 1) for i in range(n + 1)])
    return weights, np.exp(factorials[n] - factorials[counts].sum(axis=1) - n * np.log(kinds))


def _random_accuracy(n: int, k: int, values: NDArray[np.int64]) -> float:
    """Random reveals are 2k independent weights R, the rest n − 2k more U; the judge is right if R has R + U's sign."""
    top = int(values.max())
    one = np.zeros(2 * top + 1)
    one[values + top] = 1.0 / len(values)
    shown, rest = _sum_distribution(one, 2 * k), _sum_distribution(one, n - 2 * k)
    r = np.arange(len(shown)) - 2 * k * top
    u = np.arange(len(rest)) - (n - 2 * k) * top
    truth = np.sign(r[:, None] + u[None, :])
    mass = np.where(truth == 0, 0.0, shown[:, None] * rest[None, :])
    right = _right(np.broadcast_to(np.sign(r)[:, None], truth.shape), truth)
    return float((mass * right).sum() / mass.sum())


def _sum_distribution(one: Array, count: int) -> Array:
    result = np.ones(1)
    for _ in range(count):
        result = np.convolve(result, one)
    return result
