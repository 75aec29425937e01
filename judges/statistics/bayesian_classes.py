"""Latent true classes with honest uncertainty: Dawid and Skene's model with priors, sampled (Kim & Ghahramani 2012).

Maximum likelihood trusts a rater whom nobody has checked: items with one label agree with it perfectly. With a prior
on every confusion matrix, integrated over, one label of an unknown rater moves an item only as far as the prior goes.

The rows of a rater's matrix may share an accuracy of its own: who is right about one class is likely to be about the
next. Each row is then Dirichlet around that accuracy, and the accuracy has a Beta prior: few labels of each class are
enough to tell a good rater. The shared accuracy is sampled exactly, by the table counts of Teh, Jordan, Beal & Blei
(2006, "Hierarchical Dirichlet processes", section 5.3).
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
            Where rows share an accuracy: what must be added to the prior so that Dirichlet rows have the posterior's
            mean, and its variance on the diagonal; it may be below 0, never below minus the prior.
    """

    posterior: Array
    confusion: Array


def sample_classes(
    labels: ArrayLike,
    prior: ArrayLike,
    *,
    sweeps: int = 400,
    warm_up: int = 100,
    seed: int = 0,
    concentration: float | None = None,
) -> ClassBelief:
    """Posterior of true classes and of confusion counts by Gibbs sampling.

    Args:
        labels: [I, R, K] how often rater r gave class l to item i; all zero where it gave none.
        prior: [K, K] Dirichlet parameters of each row of every confusion matrix. A heavier diagonal says that raters
            are rather right than wrong, and so gives the classes their names.
        sweeps: samples kept.
        warm_up: samples thrown away before.
        seed: same seed, same result.
        concentration: how closely the rows of one rater's matrix follow its own accuracy (Dirichlet weight of a row);
            the accuracy's Beta prior is then the prior's first row, the rest of it taken together. None: rows are
            independent.

    Raises:
        ValueError: labels that are no such counts, a prior that is not positive, fewer than one sweep; with a
            concentration, counts that are not whole.

    Source: Kim & Ghahramani (2012), "Bayesian classifier combination", the IBCC model.
    """
    counts, parameters = np.asarray(labels, dtype=float), np.asarray(prior, dtype=float)
    if counts.ndim != 3 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"sample_classes: expected [items, raters, classes] counts, got shape {counts.shape}")
    items, raters, classes = counts.shape
    if parameters.shape != (classes, classes) or not (parameters > 0).all() or sweeps < 1 or warm_up < 0:
        raise ValueError(f"sample_classes: expected a positive prior {(classes, classes)} and sweeps >= 1")
    if concentration is not None and not (0 < concentration < np.inf and (counts == np.round(counts)).all()):
        raise ValueError("sample_classes: a concentration is a positive number and takes whole counts")
    rng = np.random.default_rng(seed)
    flat = counts.reshape(items, raters * classes)
    # 1. Start from vote shares under the prior's mean confusion matrix.
    mean = np.log(parameters / parameters.sum(axis=1, keepdims=True))
    posterior = _normalise(counts.sum(axis=1) @ mean.T)
    total, total_said = np.zeros((items, classes)), np.zeros((raters, classes, classes))
    base = np.broadcast_to(parameters, (raters, classes, classes))
    means, squares = np.zeros((raters, classes, classes)), np.zeros((raters, classes))
    for sweep in range(warm_up + sweeps):
        # 2. True classes given the parameters.
        drawn = (rng.random((items, 1)) > posterior.cumsum(axis=1)[:, :-1]).sum(axis=1)
        truth = np.eye(classes)[drawn]
        # 3. Parameters given true classes: Dirichlet posteriors, drawn as normalised gammas.
        said = (truth.T @ flat).reshape(classes, raters, classes).transpose(1, 0, 2)
        if concentration is not None:
            base = concentration * _shared_rows(said, base / concentration, parameters[0], concentration, rng)
        confusion = rng.standard_gamma(said + base) + 1e-300
        shares = rng.standard_gamma(1.0 + truth.sum(axis=0)) + 1e-300
        log_confusion = np.log(confusion / confusion.sum(axis=2, keepdims=True))
        weights = log_confusion.transpose(0, 2, 1).reshape(raters * classes, classes)
        posterior = _normalise(np.log(shares / shares.sum()) + flat @ weights)
        # 4. Average probabilities, not draws (Rao-Blackwell).
        if sweep >= warm_up:
            total += posterior
            expected = (posterior.T @ flat).reshape(classes, raters, classes).transpose(1, 0, 2)
            total_said += expected
            rows = expected + base
            weight = rows.sum(axis=2)
            right = np.einsum("rkk->rk", rows)
            means += rows / weight[:, :, None]
            squares += right * (right + 1.0) / (weight * (weight + 1.0))
    if concentration is None:
        return ClassBelief(total / sweeps, total_said / sweeps)
    return ClassBelief(total / sweeps, _matched(means / sweeps, squares / sweeps) - parameters)


def _shared_rows(said: Array, rows: Array, prior: Array, concentration: float, rng: np.random.Generator) -> Array:
    """[R, K, K] rows around each rater's accuracy, drawn anew given its counts and its rows as they were.

    Args:
        said: [R, K, K] counts given the true classes.
        rows: [R, K, K] the rows' means so far; on the first call any positive ones.
        prior: [K] the accuracy's Beta prior: the first number against the others.
        concentration: of the rows around their mean.
        rng: of the draws.
    """
    classes = said.shape[1]
    rows = rows / rows.sum(axis=2, keepdims=True)
    # 1. Table counts: of n answers, how many were drawn from the row's mean and not from those before.
    number = np.arange(int(said.max()) if said.size else 0)
    mass = concentration * rows[..., None]
    tables = ((rng.random((*said.shape, len(number))) < mass / (mass + number)) & (number < said[..., None])).sum(
        axis=-1
    )
    # 2. The accuracy given the tables.
    hits = np.einsum("rkk->r", tables)
    accuracy = rng.beta(prior[0] + hits, prior[1:].sum() + tables.sum(axis=(1, 2)) - hits)
    accuracy = np.clip(accuracy, 1e-9, 1 - 1e-9)[:, None, None]
    same = np.eye(classes)
    return np.asarray(accuracy * same + (1 - accuracy) * (1 - same) / (classes - 1))


def _matched(means: Array, squares: Array) -> Array:
    """[R, K, K] Dirichlet parameters with these means [R, K, K] and these second moments [R, K] on the diagonal."""
    right = np.einsum("rkk->rk", means)
    weight = (right - squares) / np.maximum(squares - right**2, 1e-12)
    return np.asarray(np.clip(weight, 1e-3, 1e9)[:, :, None] * means)


def _normalise(logs: Array) -> Array:
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
