"""Searches a box of zero-sum games for one whose equilibrium has another support."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from games.normal_form import Array

Indices = NDArray[np.int64]
_SUPPORT = 1e-7  # probability above which a strategy counts as played
_CLIMBS = 8


def changed_support(q: Array, x: Array, y: Array, low: Array, high: Array) -> Array | None:
    """A game in the box [low, high] around q whose equilibrium has other supports than x and y; None if not found.

    1. Every condition that keeps the support is a slack that must stay positive: the mass of a strategy in it, and the
       loss of a strategy outside it, under the equalising strategies of the support.
    2. Each slack is fractional-linear in each single cell, so it is least at a corner of the box. Go to a corner by the
       sign of the gradient, repeat from the corner reached, until the slack is gone or nothing moves.
    """
    rows, columns = (np.flatnonzero(p > _SUPPORT).astype(np.int64) for p in (x, y))
    start = slacks(q, rows, columns)
    if start is None or start[0].min() <= 1e-9:
        return q  # degenerate as measured: the smallest error can change the support
    for k in range(len(start[0])):
        a = q
        for _ in range(_CLIMBS):
            state = slacks(a, rows, columns)
            if state is None or state[0].min() <= 1e-12:
                return a
            corner = np.where(state[1][k] > 0, low, high)
            if (corner == a).all():
                break
            # On the way the slack may vanish or blow up (the kernel turns singular) before it ends positive.
            for share in (0.25, 0.5, 0.75, 1.0):
                between = a + share * (corner - a)
                state = slacks(between, rows, columns)
                if state is None or state[0].min() <= 1e-12:
                    return np.asarray(between)
            a = corner
    return None


def slacks(a: Array, rows: Indices, columns: Indices) -> tuple[Array, Array] | None:
    """[K] slacks of the support's equalising strategies and their gradients [K, m, n]; None if these are not unique."""
    m, n = a.shape
    s = len(rows)
    if s != len(columns):
        return None
    # The bordered kernel: K (y, v) = (0, 1) and Kᵀ (x, v) = (0, 1).
    kernel = np.zeros((s + 1, s + 1))
    kernel[:s, :s] = a[np.ix_(rows, columns)]
    kernel[:s, s], kernel[s, :s] = -1.0, 1.0
    if np.linalg.cond(kernel) > 1e12:
        return None
    inverse = np.linalg.inv(kernel)
    y_v = inverse[:, s]
    # x solves xᵀ A_j = v on the support: the last row of the inverse, up to the sign of the border.
    x_s = -inverse[s, :s]
    y_s, v = y_v[:s], y_v[s]
    values, gradients = [], []
    x_full, y_full = np.zeros(m), np.zeros(n)
    x_full[rows], y_full[columns] = x_s, y_s
    for i in range(s):  # ∂y_i/∂A_rc = −inverse[i, r] y_c ; ∂x_i/∂A_rc = −x_r inverse[c, i]
        g = np.zeros((m, n))
        g[np.ix_(rows, columns)] = -np.outer(inverse[i, :s], y_s)
        values.append(y_s[i])
        gradients.append(g)
        g = np.zeros((m, n))
        g[np.ix_(rows, columns)] = -np.outer(x_s, inverse[:s, i])
        values.append(x_s[i])
        gradients.append(g)
    value_gradient = np.outer(x_full, y_full)
    for row in np.setdiff1d(np.arange(m), rows):  # v − A_row y
        g = value_gradient.copy()
        g[row] -= y_full
        g[np.ix_(rows, columns)] += np.outer(a[row, columns] @ inverse[:s, :s], y_s)
        values.append(v - a[row] @ y_full)
        gradients.append(g)
    for column in np.setdiff1d(np.arange(n), columns):  # xᵀ A_column − v
        g = -value_gradient
        g[:, column] += x_full
        g[np.ix_(rows, columns)] -= np.outer(x_s, inverse[:s, :s] @ a[rows, column])
        values.append(x_full @ a[:, column] - v)
        gradients.append(g)
    return np.array(values), np.array(gradients)
