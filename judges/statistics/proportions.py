"""Bounds of a share, and a share seen through an imperfect judge."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple, overload


@overload
def clopper_pearson(k: int, n: int, confidence: float = 0.95, side: Literal["lower", "upper"] = "lower") -> float: ...
@overload
def clopper_pearson(k: int, n: int, confidence: float = 0.95, *, side: Literal["both"]) -> tuple[float, float]: ...
def clopper_pearson(
    k: int, n: int, confidence: float = 0.95, side: Literal["lower", "upper", "both"] = "lower"
) -> float | tuple[float, float]:
    """Exact binomial confidence bound of a share after k successes in n independent trials.

    Args:
        k: successes.
        n: trials; with 0 trials nothing is known (lower 0, upper 1).
        confidence: of the bound; for `side="both"`, of the interval (half the error on each side).
        side: "lower" or "upper" one-sided bound, or "both" ends.

    Raises:
        ValueError: k outside 0..n, confidence outside (0, 1), an unknown side.

    Source: Clopper & Pearson (1934).

    >>> round(clopper_pearson(45, 50), 4)
    0.8012
    """
    from scipy.special import betaincinv

    if not 0 <= k <= n:
        raise ValueError(f"clopper_pearson: expected 0 <= k <= n, got k={k}, n={n}")
    if not 0 < confidence < 1:
        raise ValueError(f"clopper_pearson: expected a confidence in (0, 1), got {confidence}")
    if side == "lower":
        return float(betaincinv(k, n - k + 1, 1 - confidence)) if k > 0 else 0.0
    if side == "upper":
        return float(betaincinv(k + 1, n - k, confidence)) if k < n else 1.0
    if side == "both":
        half = (1 + confidence) / 2
        return clopper_pearson(k, n, half, "lower"), clopper_pearson(k, n, half, "upper")
    raise ValueError(f"clopper_pearson: unknown side {side!r}; expected 'lower', 'upper' or 'both'")


class RoganGladen(NamedTuple):
    """A share corrected for the judge's errors, with its interval, all within [0, 1]."""

    estimate: float
    low: float
    high: float


def rogan_gladen(p: float, n: int, q0: float, m0: int, q1: float, m1: int, confidence: float = 0.95) -> RoganGladen:
    """The true share of positives behind a judge's share, from its error rates on labelled items.

    Args:
        p: share of n items that the judge calls positive.
        n: items judged.
        q0: specificity: share of m0 truly negative calibration items that the judge calls negative.
        m0: number of truly negative calibration items.
        q1: sensitivity: share of m1 truly positive calibration items that the judge calls positive.
        m1: number of truly positive calibration items.
        confidence: of the interval.

    Raises:
        ValueError: shares outside [0, 1], counts below 1, or q0 + q1 ≤ 1 (a judge no better than chance).

    Source: Rogan & Gladen (1978); interval of Lang & Reiczigel (2014), "Confidence limits for prevalence of disease
    adjusted for estimated sensitivity and specificity".
    """
    if not (all(0 <= share <= 1 for share in (p, q0, q1)) and min(n, m0, m1) >= 1):
        raise ValueError(f"rogan_gladen: expected shares in [0, 1] and counts >= 1, got {(p, n, q0, m0, q1, m1)}")
    if q0 + q1 <= 1:
        raise ValueError(f"rogan_gladen: specificity {q0} + sensitivity {q1} <= 1: the judge is no better than chance")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    # 1. Adjusted counts: z² pseudo-observations for the share, one success and one failure for each error rate.
    n_adj, m0_adj, m1_adj = n + z**2, m0 + 2, m1 + 2
    p_adj, q0_adj, q1_adj = (n * p + z**2 / 2) / n_adj, (m0 * q0 + 1) / m0_adj, (m1 * q1 + 1) / m1_adj
    youden = q0_adj + q1_adj - 1
    if youden <= 0:
        raise ValueError("rogan_gladen: too few calibration items to tell the judge from chance")
    centre = (p_adj + q0_adj - 1) / youden
    # 2. Variances of the three shares carry over to the estimate.
    v0, v1 = q0_adj * (1 - q0_adj) / m0_adj, q1_adj * (1 - q1_adj) / m1_adj
    error = sqrt(p_adj * (1 - p_adj) / n_adj + (1 - centre) ** 2 * v0 + centre**2 * v1) / youden
    shift = 2 * z**2 * (centre * v1 - (1 - centre) * v0)
    low, high = centre + shift - z * error, centre + shift + z * error
    return RoganGladen(_clip((p + q0 - 1) / (q0 + q1 - 1)), _clip(low), _clip(high))


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))
