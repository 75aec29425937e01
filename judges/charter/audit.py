"""Step 8 of the charter: which verdicts people look at again, and what their labels say about the rewards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AuditDraw:
    """One verdict drawn for audit.

    Attributes:
        item: which.
        base: drawn by the uniform draw, whose items alone enter the anytime-valid bounds.
        inclusion: probability with which it could be drawn at all.
    """

    item: str
    base: bool
    inclusion: float


def inclusion_probabilities(uncertainty: ArrayLike, rate: float, floor: float) -> Array:
    """[N] probability of each verdict to be audited: the floor for all, the rest in proportion to uncertainty.

    Args:
        uncertainty: [N] how much a label would tell, ≥ 0 (expected information, 1 − confidence, …).
        rate: expected share of audited verdicts.
        floor: π_min, > 0, the least probability of any verdict: without it nothing bounds what is never looked at.

    Raises:
        ValueError: a floor that is not in (0, rate], or uncertainties that are negative or not finite.
    """
    weights = np.asarray(uncertainty, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("inclusion_probabilities: expected one finite uncertainty ≥ 0 for each item")
    if not 0.0 < floor <= rate <= 1.0:
        raise ValueError(f"inclusion_probabilities: expected 0 < floor ≤ rate ≤ 1, got {floor} and {rate}")
    extra = np.zeros(len(weights))
    budget = (rate - floor) * len(weights)
    free = weights > 0
    # What is above 1 after the proportional split is spread over the others, until nothing is.
    while budget > 1e-12 and free.any():
        share = np.where(free, weights, 0.0)
        extra = np.minimum(extra + budget * share / share.sum(), 1.0 - floor)
        budget = (rate - floor) * len(weights) - extra.sum()
        free &= extra < 1.0 - floor - 1e-12
    return floor + extra


def draw_audit(
    items: Sequence[str], uncertainty: ArrayLike, rate: float, floor: float, seed: int
) -> tuple[AuditDraw, ...]:
    """Draws verdicts for audit: a uniform draw at the floor, and active draws on top.

    Each item's fate depends on the seed and its name alone, so a resumed run draws the same.

    Raises:
        ValueError: as `inclusion_probabilities`, or lengths that differ.
    """
    probabilities = inclusion_probabilities(uncertainty, rate, floor)
    if len(probabilities) != len(items):
        raise ValueError(f"draw_audit: {len(items)} items but {len(probabilities)} uncertainties")
    drawn = []
    for item, p in zip(items, probabilities.tolist(), strict=True):
        digest = hashlib.sha256(f"{seed}\x00{item}".encode("utf-8", "surrogatepass")).digest()
        uniform, active = (int.from_bytes(digest[k : k + 8], "big") / 2**64 for k in (0, 8))
        base = uniform < floor
        if base or (floor < 1.0 and active < (p - floor) / (1.0 - floor)):
            drawn.append(AuditDraw(item, base, p))
    return tuple(drawn)


class RewardGap(NamedTuple):
    """The judge's mean reward beside the corrected one.

    Attributes:
        raw: mean of the judge's rewards.
        corrected: the same mean as the audited labels see it.
        gap: raw − corrected: what the policy gains without deserving it.
        low, high: interval of the gap.
    """

    raw: float
    corrected: float
    gap: float
    low: float
    high: float


def reward_gap(
    labels: ArrayLike, rewards: ArrayLike, inclusion: ArrayLike, all_rewards: ArrayLike, confidence: float = 0.95
) -> RewardGap:
    """The reward-hacking detector: by how much the judge overpays, with audits of unequal probability.

    gap = (1/N) Σ_audited (f_i − y_i) / π_i, the Horvitz–Thompson estimator (1952) of the mean overpayment, with its
    variance under independent draws, (1/N²) Σ_audited (1 − π_i) ((f_i − y_i) / π_i)².

    Args:
        labels: [n] rewards as the experts would have given them.
        rewards: [n] the judge's rewards of the same verdicts.
        inclusion: [n] probabilities with which these could be drawn.
        all_rewards: [N] the judge's rewards of all verdicts, audited or not.
        confidence: of the normal interval.

    Raises:
        ValueError: shapes that do not fit, probabilities outside (0, 1], or no verdicts.
    """
    from scipy.special import ndtri

    y, f, pi, everything = (np.asarray(x, dtype=np.float64) for x in (labels, rewards, inclusion, all_rewards))
    if not (y.ndim == 1 and y.shape == f.shape == pi.shape and everything.ndim == 1 and 0 < len(everything) >= len(y)):
        raise ValueError(f"reward_gap: shapes {y.shape}, {f.shape}, {pi.shape} and {everything.shape} do not fit")
    if not ((pi > 0) & (pi <= 1)).all() or not all(np.isfinite(x).all() for x in (y, f, everything)):
        raise ValueError("reward_gap: expected finite rewards and inclusion probabilities in (0, 1]")
    count = len(everything)
    terms = (f - y) / pi
    gap = float(terms.sum()) / count
    half = float(ndtri((1 + confidence) / 2)) * float(np.sqrt(((1 - pi) * terms**2).sum())) / count
    raw = float(everything.mean())
    return RewardGap(raw, raw - gap, gap, gap - half, gap + half)
