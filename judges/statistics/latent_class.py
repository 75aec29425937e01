"""Latent true classes behind noisy raters (Dawid & Skene 1979)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.equilibrium import NotConverged

Array = NDArray[np.float64]


class DawidSkene(NamedTuple):
    """The fitted model.

    Attributes:
        prior: [K] share of each true class.
        confusion: [R, K, K] for each rater, P(says l | true class is k).
        posterior: [I, K] probability of each true class.
        log_likelihood: of the labels, without the multinomial constant and without the smoothing prior.
    """

    prior: Array
    confusion: Array
    posterior: Array
    log_likelihood: float


def dawid_skene(
    labels: ArrayLike, smoothing: float = 0.0, *, tolerance: float = 1e-10, max_iterations: int = 100_000
) -> DawidSkene:
    """Fits true classes and each rater's confusion matrix by expectation maximisation from vote shares.

    Args:
        labels: [I, R, K] how often rater r gave class k to item i; all zero where r did not see i.
        smoothing: pseudo-counts added to every entry of every confusion matrix (a Dirichlet prior), for small panels.
        tolerance: stop when a step improves the (penalised) log-likelihood by less than this, for each label.
        max_iterations: give up after this many steps.

    Raises:
        ValueError: labels that are no such counts, an item nobody rated, a negative smoothing.
        NotConverged: the tolerance was not reached.

    Source: Dawid & Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM algorithm",
    equations 2.3-2.5.
    """
    counts = np.asarray(labels, dtype=float)
    if counts.ndim != 3 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"dawid_skene: expected [items, raters, classes] counts, got shape {counts.shape}")
    votes = counts.sum(axis=1)
    if not (votes.sum(axis=1) > 0).all():
        raise ValueError(f"dawid_skene: items without any label: {np.flatnonzero(votes.sum(axis=1) == 0).tolist()}")
    if not smoothing >= 0:
        raise ValueError(f"dawid_skene: expected smoothing >= 0, got {smoothing}")
    # 1. Start from vote shares.
    posterior = votes / votes.sum(axis=1, keepdims=True)
    objective = -np.inf
    for _ in range(max_iterations):
        # 2. M step: prior = mean posterior; confusion_rkl ∝ Σ_i posterior_ik n_irl.
        prior = posterior.mean(axis=0)
        confusion = np.einsum("ik,irl->rkl", posterior, counts, optimize=True) + smoothing
        total = confusion.sum(axis=2, keepdims=True)
        # A class never seen by a rater leaves that row unknown; uniform, since no label depends on it.
        confusion = np.divide(confusion, total, out=np.full_like(confusion, 1 / counts.shape[2]), where=total > 0)
        # 3. E step: posterior_ik ∝ prior_k Π_rl confusion_rkl^n_irl, in logs.
        posterior, log_likelihood = _expect(counts, prior, confusion)
        penalty = smoothing * float(np.log(confusion).sum()) if smoothing > 0 else 0.0
        improved, objective = log_likelihood + penalty - objective, log_likelihood + penalty
        if improved < tolerance * counts.sum():
            return DawidSkene(posterior.mean(axis=0), confusion, posterior, log_likelihood)
    raise NotConverged(f"dawid_skene: still improving by {improved:.2e} after {max_iterations} steps")


def _expect(counts: Array, prior: Array, confusion: Array) -> tuple[Array, float]:
    from scipy.special import xlogy

    # 0 log 0 = 0: a label never given says nothing; a label given with probability 0 rules the class out.
    terms = xlogy(counts[:, :, None, :], confusion)
    joint = xlogy(1.0, prior) + terms.sum(axis=(1, 3))
    top = joint.max(axis=1, keepdims=True)
    weights = np.exp(joint - top)
    return weights / weights.sum(axis=1, keepdims=True), float((top[:, 0] + np.log(weights.sum(axis=1))).sum())
