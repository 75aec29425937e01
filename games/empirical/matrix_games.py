"""Many zero-sum matrix games at once: one simplex tableau a game, all pivoted together.

Each game's linear program (maximise Σ z subject to M z ≤ 1, z ≥ 0, for M > 0) keeps a condensed tableau in which a
pivot swaps one row label with one column label; both players' strategies are read from the final tableau.
Dantzig (1951), "A proof of the equivalence of the programming problem and the game problem"; the condensed
exchange form follows Williams (1966), "The Compleat Strategyst", app. "The pivot method".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.normal_form import Array

Labels = NDArray[np.int64]
_CHUNK = 4_000_000  # tableau entries held at once


def solve_matrix_games(matrices: ArrayLike, tolerance: float = 1e-9) -> tuple[Array, Array, Array, Array]:
    """Optimal strategies and values of R zero-sum games.

    Args:
        matrices: [R, m, n] what the row player receives in each game.
        tolerance: relative to a game's payoff range; the gap above which a tableau's answer is replaced by HiGHS's.

    Returns:
        rows [R, m], columns [R, n], values [R], and gaps [R] = max_i (A y)_i − min_j (xᵀA)_j, the NashConv of each
        answer computed from it (so it is the verification, not a claim).

    Raises:
        ValueError: wrong rank, or a payoff that is not finite.
    """
    a = np.asarray(matrices, dtype=np.float64)
    if a.ndim != 3 or 0 in a.shape[1:]:
        raise ValueError(f"matrices: expected shape [R, m, n], got {a.shape}")
    if not np.isfinite(a).all():
        raise ValueError(
            f"matrices: expected finite payoffs, got one that is not in game {int(np.argwhere(~np.isfinite(a))[0, 0])}"
        )
    rows, columns = np.empty(a.shape[:2]), np.empty((a.shape[0], a.shape[2]))
    step = max(1, _CHUNK // ((a.shape[1] + 1) * (a.shape[2] + 1)))
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        rows[part], columns[part] = _simplex(a[part])
    gaps = _gaps(a, rows, columns)
    spread = np.maximum(np.ptp(a, axis=(1, 2)), 1e-300) if len(a) else np.empty(0)
    for r in np.flatnonzero(~(gaps <= tolerance * spread)):
        rows[r], columns[r] = _linear_program(a[r])
    gaps = _gaps(a, rows, columns)
    return rows, columns, np.einsum("rm,rmn,rn->r", rows, a, columns), gaps


def _gaps(a: Array, rows: Array, columns: Array) -> Array:
    best_row = np.einsum("rmn,rn->rm", a, columns).max(axis=1)
    best_column = np.einsum("rm,rmn->rn", rows, a).min(axis=1)
    return np.asarray(best_row - best_column)


def _simplex(a: Array) -> tuple[Array, Array]:
    """[R, m], [R, n] strategies; a game that did not finish is left uniform, for the caller's check to catch."""
    games, m, n = a.shape
    # 1. Scale every game to payoffs in [1, 2]: positive, and on one scale of tolerance.
    low = a.min(axis=(1, 2), keepdims=True)
    spread = np.ptp(a, axis=(1, 2))[:, None, None]
    t = np.empty((games, m + 1, n + 1))
    t[:, :m, :n] = (a - low) / np.where(spread > 0, spread, 1.0) + 1.0
    t[:, :m, n] = 1.0
    t[:, m, :n] = -1.0
    t[:, m, n] = 0.0
    # 2. Labels: 0…n−1 are the z (column strategies), n…n+m−1 the slacks (row strategies).
    in_rows = np.tile(np.arange(n, n + m, dtype=np.int64), (games, 1))
    in_columns = np.tile(np.arange(n, dtype=np.int64), (games, 1))
    out_rows, out_columns = np.full((games, m), 1.0 / m), np.full((games, n), 1.0 / n)
    active = np.arange(games)
    limit = 20 * (m + n)
    for iteration in range(limit):
        cost = t[:, m, :n]
        finished = cost.min(axis=1) >= -1e-11
        if finished.any():
            done = np.flatnonzero(finished)
            out_rows[active[done]], out_columns[active[done]] = _read(t[done], in_rows[done], in_columns[done], m, n)
            keep = np.flatnonzero(~finished)
            t, in_rows, in_columns, active = t[keep], in_rows[keep], in_columns[keep], active[keep]
            if not len(active):
                break
            cost = t[:, m, :n]
        every = np.arange(len(active))
        # 3. Entering column: the steepest cost (Dantzig); Bland's lowest label later on, which cannot cycle.
        bland = iteration >= limit // 2
        entering = np.where(cost < -1e-11, in_columns, n + m).argmin(axis=1) if bland else cost.argmin(axis=1)
        # 4. Leaving row: the smallest ratio, ties to the lowest label.
        column = t[every, :m, entering]
        if (column.max(axis=1) <= 1e-10).any():  # precision lost: these stay uniform
            keep = np.flatnonzero(column.max(axis=1) > 1e-10)
            t, in_rows, in_columns, active = t[keep], in_rows[keep], in_columns[keep], active[keep]
            continue
        np.maximum(t[:, :m, n], 0.0, out=t[:, :m, n])  # rounding below 0 in a degenerate vertex
        ratio = np.divide(t[:, :m, n], column, out=np.full_like(column, np.inf), where=column > 1e-10)
        tied = ratio <= ratio.min(axis=1, keepdims=True) * (1 + 1e-12) + 1e-15
        leaving = np.where(tied, in_rows, n + m).argmin(axis=1)
        # 5. Exchange the two labels and update the tableau.
        pivot = t[every, leaving, entering]
        pivot_row = t[every, leaving, :] / pivot[:, None]
        pivot_column = t[every, :, entering]
        t -= pivot_column[:, :, None] * pivot_row[:, None, :]
        t[every, :, entering] = -pivot_column / pivot[:, None]
        t[every, leaving, :] = pivot_row
        t[every, leaving, entering] = 1.0 / pivot
        swapped = in_rows[every, leaving].copy()
        in_rows[every, leaving] = in_columns[every, entering]
        in_columns[every, entering] = swapped
    return out_rows, out_columns


def _read(t: Array, in_rows: Labels, in_columns: Labels, m: int, n: int) -> tuple[Array, Array]:
    """Column strategies stand in the last column, row strategies (the dual solution) in the last row."""
    solution = np.zeros((len(t), m + n))
    np.put_along_axis(solution, in_rows, t[:, :m, n], axis=1)
    y = np.clip(solution[:, :n], 0.0, None)
    dual = np.zeros((len(t), m + n))
    np.put_along_axis(dual, in_columns, t[:, m, :n], axis=1)
    x = np.clip(dual[:, n:], 0.0, None)
    return x / x.sum(axis=1, keepdims=True), y / y.sum(axis=1, keepdims=True)


def _linear_program(a: Array) -> tuple[Array, Array]:
    """One game by HiGHS: the fallback for a tableau that lost its precision."""
    return _max_min(a), _max_min(-a.T)


def _max_min(a: Array) -> Array:
    from scipy.optimize import linprog

    m, n = a.shape
    # Variables (x, v): maximise v subject to v ≤ (xᵀ A)_j for every column j.
    answer = linprog(
        np.r_[np.zeros(m), -1.0],
        A_ub=np.c_[-a.T, np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(m), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * m + [(None, None)],
        method="highs",
    )
    if not answer.success:
        raise RuntimeError(f"matrix game {m}×{n}: the linear program failed: {answer.message}")
    x = np.clip(answer.x[:m], 0.0, None)
    return np.asarray(x / x.sum())
