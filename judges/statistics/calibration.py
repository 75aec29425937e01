"""Whether a judge's probabilities mean what they say, and from which confidence on it may be believed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from judges.statistics.proportions import clopper_pearson

Array = NDArray[np.float64]


def ece(confidences: ArrayLike, correct: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: Σ over bins of (share of items) · |accuracy − mean confidence|.

    Args:
        confidences: [N] probability given to the answer.
        correct: [N] whether the answer was right, 0 or 1.
        bins: number of bins of equal width on [0, 1].

    Raises:
        ValueError: shapes that do not fit or numbers outside [0, 1].

    Source: Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", equation 3.
    """
    p, y = _paired(confidences, correct, "ece")
    if bins < 1:
        raise ValueError(f"ece: expected one bin or more, got {bins}")
    place = np.clip(np.ceil(p * bins).astype(int) - 1, 0, bins - 1)  # bins are (a, b]
    gaps = np.bincount(place, weights=y - p, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def brier(probabilities: ArrayLike, outcomes: ArrayLike) -> float:
    """Mean squared error of probabilities.

    Args:
        probabilities: [N] of a binary outcome, or [N, C] over C options.
        outcomes: [N] 0 or 1; for [N, C], the index of the true option.

    Returns:
        For [N] the mean of (p − y)²; for [N, C] the mean over items of Σ_c (p_c − y_c)², twice as large for C = 2.

    Raises:
        ValueError: shapes that do not fit or numbers outside their range.

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    p = np.asarray(probabilities, dtype=float)
    if p.ndim == 1:
        p, y = _paired(p, outcomes, "brier")
        return float(np.mean((p - y) ** 2))
    truth = np.asarray(outcomes)
    if p.ndim != 2 or truth.shape != p.shape[:1] or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"brier: expected probabilities [N] or [N, C] and outcomes [N], got {p.shape}, {truth.shape}")
    _check_classes(truth, p.shape[1], "brier")
    return float(np.mean(((p - np.eye(p.shape[1])[truth.astype(int)]) ** 2).sum(axis=1)))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T that minimises the mean negative log-likelihood of softmax(logits / T).

    Args:
        logits: [N, C] scores or log-probabilities.
        labels: [N] index of the true option.

    Returns:
        T in [e⁻⁷, e⁷]; an end of that range where the likelihood has no minimum inside (all right or all wrong).

    Raises:
        ValueError: shapes that do not fit, logits that are not finite.

    Source: Guo et al. (2017), section 4.2.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    scores, truth = np.asarray(logits, dtype=float), np.asarray(labels)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(
            f"fit_temperature: expected finite [N, C] logits, [N] labels, got {scores.shape}, {truth.shape}"
        )
    _check_classes(truth, scores.shape[1], "fit_temperature")
    rows = np.arange(len(scores))

    def loss(beta: float) -> float:  # convex in the inverse temperature
        return -float(log_softmax(scores * beta, axis=1)[rows, truth.astype(int)].mean())

    grid = np.linspace(-7.0, 7.0, 57)
    best = int(np.argmin([loss(math.exp(-t)) for t in grid]))
    bounds = (grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)])
    found = minimize_scalar(lambda t: loss(math.exp(-t)), bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return float(math.exp(found.x))


def abstention_threshold(
    confidences: ArrayLike, correct: ArrayLike, target: float, confidence: float = 0.95, candidates: int = 10
) -> float:
    """The smallest confidence from which on the judge's accuracy is at least `target`, with a guarantee.

    Candidates are quantiles of the confidences, so they depend on no outcome. Each candidate's kept items give a
    Clopper-Pearson lower bound at confidence 1 − (1 − confidence)/candidates; the union bound makes the statement
    hold for the one chosen.

    Args:
        confidences: [N] the judge's confidence in its answer.
        correct: [N] whether the answer was right, 0 or 1.
        target: accuracy wanted among the items kept (confidence >= threshold).
        confidence: probability with which the chosen threshold keeps its promise.
        candidates: how many thresholds are tried.

    Returns:
        The threshold; infinity where none satisfies the bound: then the judge abstains on everything.

    Raises:
        ValueError: shapes that do not fit or numbers outside [0, 1].
    """
    p, y = _paired(confidences, correct, "abstention_threshold")
    if not (0 < target < 1 and 0 < confidence < 1 and candidates >= 1):
        raise ValueError(f"abstention_threshold: target {target} and confidence {confidence} must lie in (0, 1)")
    level = 1 - (1 - confidence) / candidates
    for threshold in np.unique(np.quantile(p, np.arange(candidates) / candidates, method="higher")):
        kept = y[p >= threshold]
        if clopper_pearson(int(kept.sum()), len(kept), level) >= target:
            return float(threshold)
    return math.inf


def _paired(probabilities: ArrayLike, outcomes: ArrayLike, name: str) -> tuple[Array, Array]:
    p, y = np.asarray(probabilities, dtype=float), np.asarray(outcomes, dtype=float)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(f"{name}: expected two arrays [N] with N >= 1, got shapes {p.shape} and {y.shape}")
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(y, (0.0, 1.0)).all():
        raise ValueError(f"{name}: expected probabilities in [0, 1] and outcomes 0 or 1")
    return p, y


def _check_classes(labels: NDArray[np.generic], classes: int, name: str) -> None:
    if not np.isin(labels, np.arange(classes)).all():
        raise ValueError(f"{name}: expected labels in 0..{classes - 1}")
