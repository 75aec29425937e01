"""The pessimistic certainty equivalent of an ensemble: what an optimiser may count on when judges disagree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NO_AVERSION = 1e-290  # below, β times a difference of rewards is no longer a normal floating-point number


def pessimistic(ensemble: ArrayLike, beta: float) -> NDArray[np.float64]:
    """Certainty equivalent under exponential utility, −(1/β) log mean_m exp(−β r_m).

    It lies between the mean (β = 0) and the minimum (β = ∞) and is about mean − (β/2) variance for small β, the
    penalty of uncertainty-weighted optimisation (Coste et al. 2023, "Reward model ensembles help mitigate
    overoptimization"); see Pratt (1964) for the expansion.

    Args:
        ensemble: [M, …] rewards of each member; NaN where a member does not know.
        beta: risk aversion, ≥ 0, per unit of reward; infinity takes the minimum.

    Returns:
        [...] over the members that know; NaN where none does.

    Raises:
        ValueError: no members, or β negative or NaN.

    >>> float(pessimistic([0.2, 0.6], 0.0)), float(pessimistic([0.2, 0.6], math.inf))
    (0.4, 0.2)
    """
    rewards = np.asarray(ensemble, dtype=np.float64)
    if rewards.ndim == 0 or rewards.shape[0] == 0:
        raise ValueError(f"pessimistic: expected members on the first axis, got shape {rewards.shape}")
    if not beta >= 0.0:
        raise ValueError(f"pessimistic: expected beta ≥ 0, got {beta}")
    known = ~np.isnan(rewards)
    count = known.sum(axis=0)
    least = np.where(known, rewards, np.inf).min(axis=0)
    safe = np.maximum(count, 1)
    if math.isinf(beta):
        value = least
    elif beta < _NO_AVERSION:
        value = np.where(known, rewards, 0.0).sum(axis=0) / safe
    else:
        # Shifted by the minimum, so that no exponential overflows; through expm1 and log1p, exact for small β as well.
        shift = np.where(np.isfinite(least), least, 0.0)
        gap = np.where(known, rewards - shift, 0.0)
        value = shift - np.log1p(np.expm1(-beta * gap).sum(axis=0) / safe) / beta
    return np.asarray(np.where(count > 0, value, np.nan), dtype=np.float64)
