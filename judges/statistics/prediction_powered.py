"""A mean from few labels and many predictions that no bias of the predictions can spoil (PPI++)."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class PPIMean(NamedTuple):
    """The mean, its interval and the weight λ given to the predictions."""

    mean: float
    low: float
    high: float
    lam: float


def ppi_mean(y: ArrayLike, f: ArrayLike, f_unlabelled: ArrayLike, confidence: float = 0.95) -> PPIMean:
    """Prediction-powered mean with the variance-minimising weight.

    Args:
        y: [n] labels.
        f: [n] predictions (a judge's rewards, say) for the labelled items.
        f_unlabelled: [N] predictions for items without labels; empty gives the classical mean of y.
        confidence: of the normal interval.

    Returns:
        θ = λ mean(f_unlabelled) + mean(y − λ f), with λ = Cov(y, f) / ((1 + n/N) Var f) clipped to [0, 1].

    Raises:
        ValueError: shapes that do not fit, fewer than two labels, numbers that are not finite.

    Source: Angelopoulos, Duchi & Zrnic (2023), "PPI++: efficient prediction-powered inference", example 6.1.
    """
    labels, judged, rest = (np.asarray(x, dtype=float) for x in (y, f, f_unlabelled))
    if labels.ndim != 1 or labels.shape != judged.shape or rest.ndim != 1 or len(labels) < 2:
        shapes = f"{labels.shape}, {judged.shape}, {rest.shape}"
        raise ValueError(f"ppi_mean: expected y[n], f[n] with n >= 2 and f_unlabelled[N], got shapes {shapes}")
    if not all(np.isfinite(x).all() for x in (labels, judged, rest)):
        raise ValueError("ppi_mean: expected finite numbers")
    if not 0 < confidence < 1:
        raise ValueError(f"ppi_mean: expected a confidence in (0, 1), got {confidence}")
    n, many = len(labels), len(rest)
    spread = float(np.var(np.concatenate([judged, rest]), ddof=1))
    lam = 0.0
    if many and spread > 0:
        lam = float(np.clip(np.cov(labels, judged)[0, 1] / ((1 + n / many) * spread), 0.0, 1.0))
    corrected = labels - lam * judged
    mean = float(corrected.mean()) + (lam * float(rest.mean()) if many else 0.0)
    rest_spread = float(rest.var(ddof=1)) if many > 1 else spread
    variance = float(corrected.var(ddof=1)) / n + (lam**2 * rest_spread / many if many else 0.0)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(variance)
    return PPIMean(mean, mean - half, mean + half, lam)
