"""How much to ask humans: the cost-optimal labelling rate, and what one answer is worth in bits."""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np
from numpy.typing import ArrayLike


def label_rate(cost_judge: float, cost_human: float, mse: float, var: float) -> float:
    """The share of items to send to humans that estimates a mean most precisely for the money.

    π = √(c_judge / c_human · MSE / (Var − MSE)), at most 1. Where the judge's errors are as large as the spread of the
    labels (MSE ≥ Var) the judge is worth nothing and π = 1.

    Args:
        cost_judge: of one judged item.
        cost_human: of one human label.
        mse: mean squared error of the judge against human labels.
        var: variance of human labels.

    Raises:
        ValueError: a negative number, or a human who costs nothing.

    Source: Angelopoulos, Eisenstein, Berant, Agarwal & Fisch (2025), "Cost-optimal active AI model evaluation".

    >>> round(label_rate(0.01, 20.0, mse=0.10, var=0.25), 4)
    0.0183
    """
    if not all(isfinite(x) and x >= 0 for x in (cost_judge, cost_human, mse, var)) or cost_human == 0:
        raise ValueError(f"label_rate: expected costs and variances >= 0, got {(cost_judge, cost_human, mse, var)}")
    if mse >= var:
        return 1.0
    return min(1.0, sqrt(cost_judge / cost_human * mse / (var - mse)))


def expected_information(prior: ArrayLike, confusion: ArrayLike) -> float:
    """Mutual information, in bits, between an item's true class and one rater's answer.

    Args:
        prior: [K] current probability of each class of the item.
        confusion: [K, L] P(rater says l | class k); or one number, the accuracy of a rater whose errors are uniform.

    Raises:
        ValueError: numbers that are no distributions, shapes that do not fit.

    >>> [round(expected_information([0.5, 0.5], accuracy), 3) for accuracy in (0.9, 0.6, 0.5)]
    [0.531, 0.029, 0.0]
    """
    p = np.asarray(prior, dtype=float)
    table = np.asarray(confusion, dtype=float)
    if table.ndim == 0 and p.ndim == 1 and len(p) > 1:
        wrong = (1 - table) / (len(p) - 1)
        table = np.full((len(p), len(p)), wrong) + (table - wrong) * np.eye(len(p))
    if p.ndim != 1 or table.ndim != 2 or len(table) != len(p):
        raise ValueError(f"expected_information: expected prior [K], confusion [K, L], got {p.shape}, {table.shape}")
    if (p < 0).any() or (table < 0).any() or not np.allclose(np.append(table.sum(axis=1), p.sum()), 1.0, atol=1e-6):
        raise ValueError("expected_information: the prior and every row of the confusion matrix must sum to 1")
    joint = p[:, None] * table
    independent = p[:, None] * joint.sum(axis=0)
    seen = joint > 0
    return max(0.0, float(np.sum(joint[seen] * np.log2(joint[seen] / independent[seen]))))
