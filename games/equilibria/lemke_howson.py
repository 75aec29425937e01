"""One equilibrium of a bimatrix game by complementary pivoting, with the lexicographic rule so that it never cycles.

Lemke & Howson (1964); the tableau form and the lexico-minimum ratio test follow von Stengel (2007), "Equilibrium
computation for two-player games in strategic and extensive form", section 3.4–3.6. Every path is followed in floating
point first; if the end point does not verify, it is followed again over the integers, where termination at an
equilibrium is a theorem.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from games.equilibria.rational import ObjectArray, common_integers, plain_fractions
from games.equilibria.verification import TOLERANCE, try_verify, verify
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame


def solve_lemke_howson(
    game: NormalFormGame,
    *,
    labels: int | str | Iterable[int] | None = None,
    max_pivots: int = 100_000,
    tol: float = TOLERANCE,
) -> list[Equilibrium]:
    """The equilibria at the ends of Lemke–Howson paths.

    Args:
        game: scalar, two players with k_0 and k_1 strategies.
        labels: which label to drop first: 0 … k_0 − 1 are the row player's strategies, the next k_1 the column
        player's.
            A list, or "all", returns the distinct equilibria found. None tries labels in turn, with growing patience,
            and returns the first equilibrium reached.
        max_pivots: how long one path may get.
        tol: allowed regret, relative to the range of payoffs.

    Raises:
        ValueError: the game has not two players, or a label does not exist.
        NotConverged: a path was longer than `max_pivots`.
    """
    if game.num_players != 2:
        raise ValueError(f'method "lemke_howson": expected two players, got {game.num_players}')
    count = sum(game.shape)
    if labels is None:
        patience = min(50, max_pivots)
        while True:
            for label in range(count):
                found = _float_end(game, label, patience, tol)
                if found is not None:
                    return [found]
            if patience >= max_pivots or patience > 1_000:
                return [_exact_end(game, 0, max_pivots, tol)]
            patience = min(4 * patience, max_pivots)
    if isinstance(labels, str):
        chosen = list(range(count)) if labels == "all" else []
    else:
        chosen = [int(labels)] if isinstance(labels, (int, np.integer)) else [int(label) for label in labels]
    if not chosen or not all(0 <= label < count for label in chosen):
        raise ValueError(f'labels: expected "all" or numbers from 0 to {count - 1}, got {labels!r}')
    distinct: list[Equilibrium] = []
    for label in chosen:
        end = _float_end(game, label, max_pivots, tol) or _exact_end(game, label, max_pivots, tol)
        if not any(_same(end, other) for other in distinct):
            distinct.append(end)
    return distinct


def _same(one: Equilibrium, other: Equilibrium) -> bool:
    assert one.profile is not None and other.profile is not None
    return all(np.abs(p - q).max() < 1e-9 for p, q in zip(one.profile, other.profile, strict=True))


def _float_end(game: NormalFormGame, label: int, max_pivots: int, tol: float) -> Equilibrium | None:
    # 1. Positive payoffs of one magnitude; equilibria do not change.
    payoff = game.scalar()
    low = payoff.min(axis=(1, 2), keepdims=True)
    span = payoff.max(axis=(1, 2), keepdims=True) - low
    a, b = (payoff - low) / np.where(span > 0, span, 1.0) + 1.0
    m, n = a.shape
    # 2. P = {x ≥ 0, Bᵀx ≤ 1} and Q = {y ≥ 0, A y ≤ 1}; column l of either tableau belongs to label l.
    p = np.hstack([b.T, np.eye(n), np.ones((n, 1))])
    q = np.hstack([np.eye(m), a, np.ones((m, 1))])
    tableaux, bases = [p, q], [list(range(m, m + n)), list(range(m))]
    slack = [slice(m, m + n), slice(0, m)]
    entering, side = label, 0 if label < m else 1
    for pivots in range(1, max_pivots + 1):
        tableau = tableaux[side]
        row = _lexicographic_row(tableau, entering, slack[side])
        if row is None:
            return None
        tableau[row] /= tableau[row, entering]
        column = tableau[:, entering].copy()
        column[row] = 0.0
        tableau -= column[:, None] * tableau[row]
        leaving, bases[side][row] = bases[side][row], entering
        if leaving == label:
            x, y = np.zeros(m + n), np.zeros(m + n)
            x[bases[0]], y[bases[1]] = p[:, -1], q[:, -1]
            x, y = x[:m], y[m:]
            if not (x.sum() > 0 and y.sum() > 0):
                return None
            details = {"label": label, "pivots": pivots, "arithmetic": "float"}
            return try_verify(game, (x / x.sum(), y / y.sum()), "lemke_howson", tol=tol, details=details)
        # 3. The duplicate label is dropped in the other polytope.
        entering, side = leaving, 1 - side
    return None


def _lexicographic_row(tableau: Array, entering: int, slack: slice) -> int | None:
    """The row whose [right side, inverse basis] divided by its pivot entry is lexicographically least."""
    column = tableau[:, entering]
    rows = np.flatnonzero(column > 1e-11)
    if len(rows) == 0:
        return None
    ratio = tableau[rows, -1] / column[rows]
    rows = rows[ratio <= ratio.min() + 1e-12]
    for level in range(slack.start, slack.stop):
        if len(rows) == 1:
            break
        ratio = tableau[rows, level] / column[rows]
        rows = rows[ratio <= ratio.min() + 1e-12]
    return int(rows[0])


def _exact_end(game: NormalFormGame, label: int, max_pivots: int, tol: float) -> Equilibrium:
    """The same path over the integers (fraction-free pivoting, Bareiss 1968; Avis' lrs)."""
    a, b = (positive_integers(matrix) for matrix in game.scalar())
    m, n = a.shape
    p = np.hstack([b.T, np.eye(n, dtype=int).astype(object), np.ones((n, 1), dtype=int).astype(object)])
    q = np.hstack([np.eye(m, dtype=int).astype(object), a, np.ones((m, 1), dtype=int).astype(object)])
    tableaux, bases, determinants = [p, q], [list(range(m, m + n)), list(range(m))], [1, 1]
    slack = [range(m, m + n), range(m)]
    entering, side = label, 0 if label < m else 1
    for pivots in range(1, max_pivots + 1):
        tableau = tableaux[side]
        row = _exact_row(tableau, entering, slack[side])
        pivot = tableau[row, entering]
        column = tableau[:, entering].copy()
        fixed = tableau[row].copy()
        tableau[:] = (tableau * pivot - column[:, None] * fixed) // determinants[side]
        tableau[row] = fixed
        determinants[side] = pivot
        leaving, bases[side][row] = bases[side][row], entering
        if leaving == label:
            x, y = [0] * (m + n), [0] * (m + n)
            for basis, values, target in ((bases[0], p[:, -1], x), (bases[1], q[:, -1], y)):
                for index, value in zip(basis, values, strict=True):
                    target[index] = value
            details = {"label": label, "pivots": pivots, "arithmetic": "integer"}
            profile = (_as_distribution(x[:m]), _as_distribution(y[m:]))
            return verify(game, profile, "lemke_howson", tol=tol, details=details)
        entering, side = leaving, 1 - side
    raise NotConverged(f"lemke_howson: the path from label {label} is longer than {max_pivots} pivots")


def positive_integers(matrix: Array) -> ObjectArray:
    """The payoffs as integers ≥ 1, up to a positive affine change, which leaves equilibria as they are."""
    integers = common_integers(plain_fractions(matrix))
    return np.asarray(integers - (integers.min() - 1), dtype=object)


def _as_distribution(weights: list[Any]) -> Array:
    total = sum(weights)
    return np.array([weight / total for weight in weights], dtype=np.float64)


def _exact_row(tableau: ObjectArray, entering: int, slack: range) -> int:
    rows = [r for r in range(len(tableau)) if tableau[r, entering] > 0]
    for level in (-1, *slack):
        best = [rows[0]]
        for r in rows[1:]:
            difference = tableau[r, level] * tableau[best[0], entering] - tableau[best[0], level] * tableau[r, entering]
            if difference < 0:
                best = [r]
            elif difference == 0:
                best.append(r)
        rows = best
        if len(rows) == 1:
            break
    return rows[0]
