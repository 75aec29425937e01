"""Biases of a pairwise judge: the order of the options, the length of the answers, its own writing."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from judges.statistics.proportions import clopper_pearson


class SwapConsistency(NamedTuple):
    """Answers under both orders of the options.

    Attributes:
        consistency: share of items with the same answer in both orders; NaN where no item was judged twice.
        lower: one-sided Clopper-Pearson bound of it.
        first: share of all answers that name the option shown first (.5 without bias for two balanced options).
        n: items judged in both orders.
    """

    consistency: float
    lower: float
    first: float
    n: int


def swap_consistency(
    answers: Sequence[int | None], swapped: Sequence[int | None], options: int = 2, confidence: float = 0.95
) -> SwapConsistency:
    """How often a judge keeps its answer when the options are shown in the opposite order.

    Args:
        answers: [N] index of the option chosen with options shown as 0, 1, …; None where the judge gave no answer.
        swapped: [N] the same with options shown in reverse order, as index of the same option (not its place).
        options: how many options there are.
        confidence: of the lower bound.

    Raises:
        ValueError: lengths that differ, or an answer that is no option.
    """
    if len(answers) != len(swapped):
        raise ValueError(f"swap_consistency: {len(answers)} answers but {len(swapped)} swapped answers")
    pairs = [(a, b) for a, b in zip(answers, swapped, strict=True) if a is not None and b is not None]
    if any(not 0 <= answer < options for pair in pairs for answer in pair):
        raise ValueError(f"swap_consistency: expected option indices in 0..{options - 1}")
    n = len(pairs)
    if not n:
        return SwapConsistency(float("nan"), 0.0, float("nan"), 0)
    same = sum(a == b for a, b in pairs)
    first = sum((a == 0) + (b == options - 1) for a, b in pairs) / (2 * n)
    return SwapConsistency(same / n, clopper_pearson(same, n, confidence), first, n)


class Bias(NamedTuple):
    """A difference of shares with its two-sided interval. NaN where a side has no items."""

    bias: float
    low: float
    high: float
    n: int


def length_bias(
    choices: ArrayLike, lengths: ArrayLike, labels: ArrayLike | None = None, confidence: float = 0.95
) -> Bias:
    """How much more often a judge chooses the longer of two answers than it should.

    Args:
        choices: [N] which answer the judge chose, 0 or 1.
        lengths: [N, 2] lengths of both answers, in one unit; items of equal length are left out.
        labels: [N] which answer experts chose. With them the bias is P(judge takes the longer) − P(experts do), on
            the same items; without, P(judge takes the longer) − ½, which also counts what length truly tells.
        confidence: of the normal interval of the mean difference.

    Raises:
        ValueError: shapes that do not fit, or choices other than 0 and 1.
    """
    chosen = _binary(choices, "choices")
    sizes = np.asarray(lengths, dtype=float)
    if sizes.shape != (len(chosen), 2):
        raise ValueError(f"length_bias: expected lengths of shape {(len(chosen), 2)}, got {sizes.shape}")
    expected = None if labels is None else _binary(labels, "labels")
    if expected is not None and len(expected) != len(chosen):
        raise ValueError(f"length_bias: {len(chosen)} choices but {len(expected)} labels")
    uneven = sizes[:, 0] != sizes[:, 1]
    longer = (sizes[:, 1] > sizes[:, 0]).astype(float)
    reference = np.full(len(chosen), 0.5) if expected is None else (expected == longer).astype(float)
    return _mean_interval(((chosen == longer) - reference)[uneven], confidence)


def self_preference(judge: ArrayLike, human: ArrayLike, own: ArrayLike, confidence: float = 0.95) -> Bias:
    """How much more readily a judge chooses its own answer when it is the better one than the other's when that is.

    P(judge chooses own | humans choose own) − P(judge chooses other | humans choose other): 0 for a judge that errs
    alike on both, whatever the quality of its own answers.

    Args:
        judge: [N] which of two answers the judge chose, 0 or 1.
        human: [N] which answer humans chose.
        own: [N] which answer the judge's own model wrote.
        confidence: of Newcombe's hybrid score interval (1998, method 10).

    Raises:
        ValueError: shapes that do not fit, or entries other than 0 and 1.

    Source: the equal-opportunity form of Wataoka, Takahashi & Ri (2024), "Self-preference bias in LLM-as-a-judge".
    """
    chosen, right, mine = _binary(judge, "judge"), _binary(human, "human"), _binary(own, "own")
    if not len(chosen) == len(right) == len(mine):
        raise ValueError("self_preference: judge, human and own must have one entry for each item")
    own_better = right == mine
    hits = [(chosen == right)[own_better], (chosen == right)[~own_better]]
    if not (len(hits[0]) and len(hits[1])):
        return Bias(float("nan"), float("nan"), float("nan"), len(chosen))
    (p1, l1, u1), (p2, l2, u2) = (_wilson(float(h.sum()), len(h), confidence) for h in hits)
    low = p1 - p2 - sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = p1 - p2 + sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return Bias(p1 - p2, low, high, len(chosen))


def _binary(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"{name}: expected one 0 or 1 for each item")
    return array


def _mean_interval(values: NDArray[np.float64], confidence: float) -> Bias:
    from scipy.special import ndtri

    n = len(values)
    if n < 2:
        return Bias(float(values.mean()) if n else float("nan"), float("nan"), float("nan"), n)
    half = float(ndtri((1 + confidence) / 2)) * float(values.std(ddof=1)) / sqrt(n)
    mean = float(values.mean())
    return Bias(mean, mean - half, mean + half, n)


def _wilson(k: float, n: int, confidence: float) -> tuple[float, float, float]:
    from scipy.special import ndtri

    z, p = float(ndtri((1 + confidence) / 2)), k / n
    centre, half = (p + z**2 / (2 * n)), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return p, (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
