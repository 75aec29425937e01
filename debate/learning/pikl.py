"""piKL: play well, but stay near an anchor (Jacob et al., 2112.07544; DiL-piKL: Bakhtin et al., 2210.05492).

    π(a) ∝ exp[(Q̄(a) + λ log τ(a)) / ((ηt)⁻¹ + λ)]

λ → 0 plays the best response to the average opponent, λ → ∞ the anchor τ. Letters: A, B actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def pikl_policy(values: ArrayLike, anchor: ArrayLike, lam: float, eta: float, t: float) -> Array:
    """[A] the piKL policy after `t` iterations.

    Args:
        values: [A] average value of every action so far, Q̄.
        anchor: [A] distribution τ; an action it gives 0 is never played while λ > 0.
        lam: pull of the anchor, λ ≥ 0.
        eta: learning rate η > 0.
        t: iterations, > 0; may be infinite where λ > 0.

    Raises:
        ValueError: an anchor that is no distribution, or numbers outside their range.
    """
    q, tau = np.asarray(values, dtype=np.float64), np.asarray(anchor, dtype=np.float64)
    if q.ndim != 1 or q.shape != tau.shape or (tau < 0).any() or abs(tau.sum() - 1) > 1e-9:
        raise ValueError(f"piKL: expected values [A] and a distribution [A], got {q.tolist()} and {tau.tolist()}")
    if not (lam >= 0 and eta > 0 and t > 0) or (lam == 0 and np.isinf(t)):
        raise ValueError(f"piKL: expected lam >= 0, eta > 0, t > 0, finite where lam = 0; got {lam}, {eta}, {t}")
    temperature = 1.0 / (eta * t) + lam
    with np.errstate(divide="ignore"):
        # λ log 0 is 0 without a pull.
        pull = lam * np.log(tau) if lam else np.zeros_like(tau)
    logits = (q + pull) / temperature
    weights: Array = np.exp(logits - logits.max())
    return weights / float(weights.sum())


@dataclass(frozen=True, eq=False)
class PiklResult:
    """What self-play arrived at.

    Attributes:
        policies: the last iterates [A], [B].
        averages: the averages over iterations [A], [B].
        gap: largest difference between the last iterate and its own piKL response; 0 at the fixed point.
    """

    policies: tuple[Array, Array]
    averages: tuple[Array, Array]
    gap: float


def pikl_hedge(
    first: ArrayLike,
    second: ArrayLike,
    anchors: tuple[ArrayLike, ArrayLike],
    lam: float,
    eta: float = 1.0,
    iterations: int = 2000,
) -> PiklResult:
    """piKL-Hedge of two players against each other (2112.07544, algorithm 1).

    Args:
        first: [A, B] payoffs of the row player.
        second: [A, B] payoffs of the column player.
        anchors: [A] and [B] distributions.
        lam: pull of the anchors, > 0.
        eta: learning rate.
        iterations: how many.

    Raises:
        ValueError: shapes that do not fit, or lam not above 0.
    """
    u, v = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    x_anchor, y_anchor = (np.asarray(anchor, dtype=np.float64) for anchor in anchors)
    if u.ndim != 2 or u.shape != v.shape or u.shape != (len(x_anchor), len(y_anchor)):
        raise ValueError(
            f"piKL: expected two payoff matrices for anchors {len(x_anchor)}, {len(y_anchor)}, got {u.shape}"
        )
    if not lam > 0:
        raise ValueError(f"piKL: expected lam > 0, got {lam}")
    x, y = x_anchor, y_anchor
    x_sum, y_sum = np.zeros_like(x), np.zeros_like(y)
    for t in range(1, iterations + 1):
        x_sum, y_sum = x_sum + x, y_sum + y
        # Payoffs are bilinear, so the average value of an action is its value against the average opponent.
        x, y = pikl_policy(u @ (y_sum / t), x_anchor, lam, eta, t), pikl_policy((x_sum / t) @ v, y_anchor, lam, eta, t)
    x_response, y_response = (
        pikl_policy(u @ y, x_anchor, lam, eta, np.inf),
        pikl_policy(x @ v, y_anchor, lam, eta, np.inf),
    )
    gap = max(float(np.abs(x - x_response).max()), float(np.abs(y - y_response).max()))
    return PiklResult((x, y), (x_sum / iterations, y_sum / iterations), gap)
