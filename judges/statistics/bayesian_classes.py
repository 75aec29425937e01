"""Latent true classes with honest uncertainty: Dawid and Skene's model with priors, sampled (Kim & Ghahramani 2012).

Maximum likelihood trusts a rater whom nobody has checked: items with one label agree with it perfectly. With a prior
on every confusion matrix, integrated over, one label of an unknown rater moves an item only as far as the prior goes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class ClassBelief(NamedTuple):
    """Posterior means.

    Attributes:
        posterior: [I, K] probability of each true class.
        confusion: [R, K, K] expected counts: how often each rater said l of items of class k (prior not included).
    """

    posterior: Array
    confusion: Array


def sample_classes(
    labels: ArrayLike, prior: ArrayLike, *, sweeps: int = 400, warm_up: int = 100, seed: int = 0
) -> ClassBelief:
    """Posterior of true classes and of confusion counts by Gibbs sampling.

    Args:
        labels: [I, R, K] how often rater r gave class l to item i; all zero where it gave none.
        prior: [K, K] Dirichlet parameters of each row of every confusion matrix. A heavier diagonal says that raters
            are rather right than wrong, and so gives the classes their names.
        sweeps: samples kept.
        warm_up: samples thrown away before.
        seed: same seed, same result.

    Raises:
        ValueError: labels that are no such counts, a prior that is not positive, fewer than one sweep.

    Source: Kim & Ghahramani (2012), "Bayesian classifier combination", the IBCC model.
    """
    counts, parameters = np.asarray(labels, dtype=float), np.asarray(prior, dtype=float)
    if counts.ndim != 3 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"sample_classes: expected [items, raters, classes] counts, got shape {counts.shape}")
    items, raters, classes = counts.shape
    if parameters.shape != (classes, classes) or not (parameters > 0).all() or sweeps < 1 or warm_up < 0:
        raise ValueError(f"sample_classes: expected a positive prior {(classes, classes)} and sweeps >= 1")
    rng = np.random.default_rng(seed)
    flat = counts.reshape(items, raters * classes)
    # 1. Start from vote shares under the prior's mean confusion matrix.
    mean = np.log(parameters / parameters.sum(axis=1, keepdims=True))
    posterior = _normalise(counts.sum(axis=1) @ mean.T)
    total, total_said = np.zeros((items, classes)), np.zeros((raters, classes, classes))
    for sweep in range(warm_up + sweeps):
        # 2. True classes given the parameters.
        drawn = (rng.random((items, 1)) > posterior.cumsum(axis=1)[:, :-1]).sum(axis=1)
        truth = np.eye(classes)[drawn]
        # 3. Parameters given true classes: Dirichlet posteriors, drawn as normalised gammas.
        said = (truth.T @ flat).reshape(classes, raters, classes).transpose(1, 0, 2)
        confusion = rng.standard_gamma(said + parameters) + 1e-300
        shares = rng.standard_gamma(1.0 + truth.sum(axis=0)) + 1e-300
        log_confusion = np.log(confusion / confusion.sum(axis=2, keepdims=True))
        weights = log_confusion.transpose(0, 2, 1).reshape(raters * classes, classes)
        posterior = _normalise(np.log(shares / shares.sum()) + flat @ weights)
        # 4. Average probabilities, not draws (Rao-Blackwell).
        if sweep >= warm_up:
            total += posterior
            total_said += (posterior.T @ flat).reshape(classes, raters, classes).transpose(1, 0, 2)
    return ClassBelief(total / sweeps, total_said / sweeps)


def _normalise(logs: Array) -> Array:
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
