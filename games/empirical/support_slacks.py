"""Searches a box of zero-sum games for one whose equilibrium has another support."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from games.normal_form import Array

Indices = NDArray[np.int64]
_SUPPORT = 1e-7  # probability above which a strategy counts as played
_CLIMBS = 8
_SINGULAR = 1e11  # largest entry of a kernel's inverse, relative to the kernel


def changed_support(q: Array, x: Array, y: Array, low: Array, high: Array) -> Array | None:
    """A game in the box [low, high] around q whose equilibrium has other supports than x and y; None if not found.

    1. Every condition that keeps the support is a slack that must stay positive: the mass of a strategy in it, and the
       loss of a strategy outside it, under the equalising strategies of the support.
    2. Each slack is fractional-linear in each single cell, so it is least at a corner of the box. Go to a corner by the
       sign of the gradient, repeat from the corner reached, until the slack is gone or nothing moves.
    """
    rows, columns = (np.flatnonzero(p > _SUPPORT).astype(np.int64) for p in (x, y))

    def gone(a: Array) -> bool:
        values = slack_values(a, rows, columns)
        return values is None or bool(values.min() <= 1e-12)

    start = slack_values(q, rows, columns)
    if start is None or start.min() <= 1e-9:
        return q  # degenerate as measured: the smallest error can change the support
    for k in range(len(start)):
        a = q
        for _ in range(_CLIMBS):
            corner = np.where(slack_gradients(a, rows, columns)[k] > 0, low, high)
            if (corner == a).all():
                break
            # On the way the slack may vanish or blow up (the kernel turns singular) before it ends positive.
            for share in (0.25, 0.5, 0.75, 1.0):
                between = np.asarray(a + share * (corner - a))
                if gone(between):
                    return between
            a = corner
    return None


def slack_values(a: Array, rows: Indices, columns: Indices) -> Array | None:
    """[K] slacks of the support's equalising strategies: masses of x and y, then losses of rows and columns outside.

    None if these strategies are not unique.
    """
    solution = _equalise(a, rows, columns)
    if solution is None:
        return None
    _, x, y, v = solution
    outside = np.setdiff1d(np.arange(a.shape[0]), rows), np.setdiff1d(np.arange(a.shape[1]), columns)
    losses = v - a[np.ix_(outside[0], columns)] @ y, x @ a[np.ix_(rows, outside[1])] - v
    return np.concatenate([x, y, *losses])


def slack_gradients(a: Array, rows: Indices, columns: Indices) -> Array:
    """[K, m, n] derivatives of `slack_values` with respect to the payoffs; asked only where those exist.

    With Z the inverse of the bordered kernel: ∂x_i/∂A_rc = −x_r Z_ci, ∂y_i/∂A_rc = −Z_ir y_c, ∂v/∂A_rc = x_r y_c.
    """
    solution = _equalise(a, rows, columns)
    assert solution is not None
    inverse, x, y, _ = solution
    s, kernel = len(rows), np.ix_(rows, columns)
    x_full, y_full = np.zeros(a.shape[0]), np.zeros(a.shape[1])
    x_full[rows], y_full[columns] = x, y
    gradients = []
    for change in [
        *(-np.outer(x, inverse[:s, i]) for i in range(s)),
        *(-np.outer(inverse[i, :s], y) for i in range(s)),
    ]:
        gradient = np.zeros_like(a)
        gradient[kernel] = change
        gradients.append(gradient)
    value = np.outer(x_full, y_full)
    for row in np.setdiff1d(np.arange(a.shape[0]), rows):  # v − A_row y
        gradient = value.copy()
        gradient[row] -= y_full
        gradient[kernel] += np.outer(a[row, columns] @ inverse[:s, :s], y)
        gradients.append(gradient)
    for column in np.setdiff1d(np.arange(a.shape[1]), columns):  # xᵀ A_column − v
        gradient = -value
        gradient[:, column] += x_full
        gradient[kernel] -= np.outer(x, inverse[:s, :s] @ a[rows, column])
        gradients.append(gradient)
    return np.array(gradients)


def _equalise(a: Array, rows: Indices, columns: Indices) -> tuple[Array, Array, Array, float] | None:
    """Inverse of the bordered kernel K = [[A, −1], [1, 0]] and the x, y, v it holds: K (y, v) = (0, 1)."""
    s = len(rows)
    if s != len(columns):
        return None
    kernel = np.zeros((s + 1, s + 1))
    kernel[:s, :s] = a[np.ix_(rows, columns)]
    kernel[:s, s], kernel[s, :s] = -1.0, 1.0
    try:
        inverse = np.linalg.inv(kernel)
    except np.linalg.LinAlgError:
        return None
    if not np.abs(inverse).max() * np.abs(kernel).max() < _SINGULAR:
        return None
    exact = np.asarray(inverse, dtype=np.float64)
    return exact, -exact[s, :s], exact[:s, s], float(exact[s, s])
