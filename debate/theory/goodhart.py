"""Goodhart's law for optimisation against a judge: what pressure on a proxy u does to the value v that is meant.

Exponential tilting p_β ∝ p exp(β u) is the policy of reward maximisation with a KL penalty of weight 1/β. Along it
d/dβ E[v] = Cov_β(u, v): the value rises exactly as long as proxy and value are positively correlated *under the
tilted policy*. Best-of-n selection by the proxy costs KL ≤ log n − (n − 1)/n (A. Beirami et al., "Theoretical
guarantees on the best-of-n alignment policy", 2024: an upper bound in general, exact in the limit of no ties).

Letters: A actions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def tilted(base: ArrayLike, proxy: ArrayLike, beta: float) -> Array:
    """[A] p exp(β u), normalised."""
    p, u = _checked(base, proxy)
    with np.errstate(divide="ignore"):
        logits = np.log(p) + beta * u
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def mean(policy: Array, value: ArrayLike) -> float:
    """E[v]."""
    return float(policy @ np.asarray(value, dtype=np.float64))


def covariance(policy: Array, first: ArrayLike, second: ArrayLike) -> float:
    """Cov(u, v) under the policy."""
    u, v = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return float(policy @ ((u - policy @ u) * (v - policy @ v)))


def best_of_n(base: ArrayLike, proxy: ArrayLike, n: int) -> Array:
    """[A] distribution of the sample with the largest proxy among n; ties are drawn uniformly among the n samples.

    P(the largest proxy is at most t) is F(t)^n; the mass of a level set is shared in proportion to the base, since
    the tied samples are exchangeable.

    Raises:
        ValueError: n below 1.
    """
    p, u = _checked(base, proxy)
    if n < 1:
        raise ValueError(f"best_of_n: expected n >= 1, got {n}")
    levels, place = np.unique(u, return_inverse=True)
    level_mass = np.bincount(place, weights=p, minlength=len(levels))
    below = np.concatenate([[0.0], np.minimum(np.cumsum(level_mass), 1.0)])
    chosen = np.diff(below**n)
    share = np.divide(p, level_mass[place], out=np.zeros_like(p), where=level_mass[place] > 0)
    return np.asarray(share * chosen[place])


def divergence(policy: ArrayLike, base: ArrayLike) -> float:
    """KL(policy ‖ base) in nats; infinite where the policy does what the base never does."""
    q, p = np.asarray(policy, dtype=np.float64), np.asarray(base, dtype=np.float64)
    used = q > 0
    if (p[used] == 0).any():
        return math.inf
    return float((q[used] * np.log(q[used] / p[used])).sum())


def best_of_n_bound(n: int) -> float:
    """The bound of best-of-n's KL: log n − (n − 1)/n."""
    return math.log(n) - (n - 1) / n


def _checked(base: ArrayLike, proxy: ArrayLike) -> tuple[Array, Array]:
    p, u = np.asarray(base, dtype=np.float64), np.asarray(proxy, dtype=np.float64)
    if p.ndim != 1 or p.shape != u.shape or (p < 0).any() or abs(p.sum() - 1) > 1e-9 or not np.isfinite(u).all():
        raise ValueError(f"expected a distribution [A] and finite numbers [A], got shapes {p.shape} and {u.shape}")
    return p, u
