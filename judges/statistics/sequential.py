"""Bounds on a judge's agreement that hold at every moment at once, however often one looks.

A bound of this kind comes from a test martingale. For the null "agreement is at least p" the martingale is a
likelihood ratio against p, averaged over a uniform prior on the alternatives q < p: it has mean at most 1 whenever
every item agrees with probability p or more, given the past. By Ville's inequality it exceeds 1/α at any time with
probability at most α. (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021; Waudby-Smith & Ramdas 2024.)

To see a late drop, martingales are restarted at fixed times and averaged with weights that sum to 1 (as the
e-detectors of Shin, Ramdas & Rinaldo 2024 do): the average is again one of mean at most 1, and its latest members
have no good past to dilute them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class AgreementBounds(NamedTuple):
    """[N] lower and upper bound after each item; all 2N bounds hold together, the lower and the upper each at α/2."""

    lower: Array
    upper: Array


def agreement_bounds(agreements: ArrayLike, confidence: float = 0.95) -> AgreementBounds:
    """Confidence sequence of a constant agreement rate.

    Args:
        agreements: [N] whether the judge agreed with the label, 0 or 1, in the order of audit.
        confidence: probability that the rate lies within all N intervals.

    Raises:
        ValueError: entries other than 0 and 1, a confidence outside (0, 1).
    """
    hits = _hits(agreements, confidence)
    k, n = np.cumsum(hits), np.arange(1.0, len(hits) + 1)
    limit = np.log(2 / (1 - confidence))
    upper = np.minimum.accumulate(_invert(lambda p: _log_evidence(k, n, p), limit, len(hits)))
    lower = 1 - np.minimum.accumulate(_invert(lambda p: _log_evidence(n - k, n, p), limit, len(hits)))
    return AgreementBounds(lower, upper)


def drop_evidence(agreements: ArrayLike, threshold: float, every: int = 50) -> Array:
    """[N] log evidence, after each item, that agreement is not always at least `threshold`.

    Args:
        agreements: [N] 0 or 1, in the order of audit.
        threshold: the rate that agreement must keep.
        every: a martingale is started at the beginning and after each `every` items.

    Raises:
        ValueError: entries other than 0 and 1, a threshold outside (0, 1), `every` below 1.
    """
    hits = _hits(agreements, 0.5)
    if not 0 < threshold < 1 or every < 1:
        raise ValueError(f"drop_evidence: expected a threshold in (0, 1) and every >= 1, got {threshold}, {every}")
    return _restarted(hits, np.full(len(hits), threshold), every)


def restarted_upper_bounds(agreements: ArrayLike, confidence: float = 0.95, every: int = 50) -> Array:
    """[N] upper bound, after each item, on the lowest rate that agreement has kept so far.

    With probability `confidence` all N statements hold: "agreement has at some time been under upper[n]" (or was
    upper[n] all the time).
    Unlike `agreement_bounds` it falls after a late drop. A judge whose rate never falls under τ is revoked (upper < τ)
    with probability at most 1 − confidence, over any number of audits.

    Raises:
        ValueError: as `drop_evidence`.
    """
    hits = _hits(agreements, confidence)
    if every < 1:
        raise ValueError(f"restarted_upper_bounds: expected every >= 1, got {every}")
    return _invert(lambda p: _restarted(hits, p, every), np.log(1 / (1 - confidence)), len(hits))


def first_alarm(agreements: ArrayLike, threshold: float, confidence: float = 0.95, every: int = 50) -> int | None:
    """Index of the first item after which agreement is known to have fallen under `threshold`; None where never."""
    _hits(agreements, confidence)
    above = np.flatnonzero(drop_evidence(agreements, threshold, every) >= np.log(1 / (1 - confidence)))
    return int(above[0]) if len(above) else None


def _hits(agreements: ArrayLike, confidence: float) -> Array:
    hits = np.asarray(agreements, dtype=float)
    if hits.ndim != 1 or not np.isin(hits, (0.0, 1.0)).all():
        raise ValueError("agreements: expected one 0 or 1 for each item")
    if not 0 < confidence < 1:
        raise ValueError(f"agreements: expected a confidence in (0, 1), got {confidence}")
    return hits


def _log_evidence(k: Array, n: Array, p: Array) -> Array:
    """Log of ∫_0^p q^k (1−q)^(n−k) dq / p  over  p^k (1−p)^(n−k). It grows with p."""
    from scipy.special import betainc, betaln

    with np.errstate(divide="ignore"):  # far below k/n the integral vanishes: no evidence
        integral = betaln(k + 1, n - k + 1) + np.log(betainc(k + 1, n - k + 1, p))
    return np.asarray(integral - (k + 1) * np.log(p) - (n - k) * np.log1p(-p))


def _restarted(hits: Array, p: Array, every: int) -> Array:
    """[N] log Σ_s w_s M_s, with w_s = 1/(s(s+1)); martingales not yet started stand at 1."""
    from scipy.special import logsumexp

    n = np.arange(1.0, len(hits) + 1)
    total = np.cumsum(hits)
    starts = np.arange(0, max(len(hits), 1), every)
    rows = np.full((len(starts) + 1, len(hits)), -np.inf)
    for s, start in enumerate(starts, start=1):
        live = n > start
        seen = total[live] - (total[start - 1] if start else 0.0)
        rows[s - 1, live] = _log_evidence(seen, n[live] - start, p[live]) - np.log(s * (s + 1))
    started = (n - 1) // every + 1
    rows[-1] = -np.log(started + 1.0)  # Σ of the weights of all later starts
    return np.asarray(logsumexp(rows, axis=0))


def _invert(log_evidence: Callable[[Array], Array], limit: float, size: int) -> Array:
    """[N] the largest p whose evidence stays under the limit, by bisection."""
    low, high = np.full(size, 1e-12), np.full(size, 1 - 1e-12)
    for _ in range(45):
        middle = (low + high) / 2
        under = log_evidence(middle) < limit
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return np.asarray(high)
