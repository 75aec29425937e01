"""Follows one equilibrium of a two-player game through many nearby games.

1. In each game, the strategies that make the other player indifferent over the equilibrium's support (one batched
   linear solve for all games).
2. Where they are probabilities and nobody gains by leaving, they are the equilibrium, moved.
3. In the few other games, the nearest of the equilibria that `solve` finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from games.equilibrium import NotConverged, support_of
from games.normal_form import Array, NormalFormGame, Profile


def track(payoffs: Array, profile: Profile, tolerance: float = 1e-9) -> tuple[Array, Array, Array, dict[str, int]]:
    """The equilibrium of each of R games that continues a given one.

    Args:
        payoffs: [R, 2, m, n].
        profile: the equilibrium to follow, of some game near them.
        tolerance: regret allowed, relative to a game's payoff range.

    Returns:
        rows [R, m] and columns [R, n], NaN where no equilibrium was found; NashConv [R] of each, computed from the
        answer; and message → in how many games `solve` found none.
    """
    own, other = payoffs[:, 0], payoffs[:, 1]
    support = support_of(profile, 1e-7)
    columns = _indifferent(own, support[0], support[1])
    rows = _indifferent(np.swapaxes(other, 1, 2), support[1], support[0])
    scale = np.maximum(np.ptp(payoffs, axis=(1, 2, 3)), 1e-300)
    failures: dict[str, int] = {}
    gaps = _nash_conv(own, other, rows, columns)
    for r in np.flatnonzero(~(gaps <= tolerance * scale)):
        found = _nearest(payoffs[r], profile, failures)
        rows[r], columns[r] = (np.nan, np.nan) if found is None else found
    return rows, columns, _nash_conv(own, other, rows, columns), failures


def _indifferent(table: Array, equal: Sequence[int], played: Sequence[int]) -> Array:
    """[R, n] mixtures of columns `played` that give rows `equal` of table [R, m, n] one value; NaN if negative."""
    a, b = len(equal), len(played)
    kernel = np.zeros((len(table), a + 1, b + 1))
    kernel[:, :a, :b] = table[:, np.asarray(equal)[:, None], np.asarray(played)[None, :]]
    kernel[:, :a, b], kernel[:, a, :b] = -1.0, 1.0
    mixture = np.linalg.pinv(kernel)[:, :b, a]  # the right-hand side is 0, …, 0, 1
    total = mixture.sum(axis=1, keepdims=True)
    fine = (mixture.min(axis=1, keepdims=True) >= 0) & (np.abs(total - 1.0) < 1e-6)
    out = np.zeros((len(table), table.shape[2]))
    out[:, np.asarray(played)] = np.where(fine, mixture / np.where(fine, total, 1.0), np.nan)
    return out


def _nash_conv(own: Array, other: Array, rows: Array, columns: Array) -> Array:
    value_row = np.einsum("rmn,rn->rm", own, columns)
    value_column = np.einsum("rm,rmn->rn", rows, other)
    held = np.einsum("rm,rm->r", rows, value_row) + np.einsum("rn,rn->r", value_column, columns)
    return np.asarray(np.maximum(0.0, value_row.max(axis=1) + value_column.max(axis=1) - held))


def _nearest(payoff: Array, profile: Profile, failures: dict[str, int]) -> tuple[Array, Array] | None:
    from games.equilibria.dispatch import solve

    try:
        found = [e.profile for e in solve(NormalFormGame(payoff[:, None])) if e.profile is not None]
    except NotConverged as error:
        failures[str(error)] = failures.get(str(error), 0) + 1
        return None
    best = min(found, key=lambda f: sum(float(np.abs(p - q).sum()) for p, q in zip(f, profile, strict=True)))
    return best[0], best[1]
