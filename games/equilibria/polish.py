"""From an approximate profile to a precise one: Newton's method on the indifference equations of its support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from games.normal_form import Array, NormalFormGame, deviation_payoffs

Supports = tuple[tuple[int, ...], ...]
THRESHOLDS = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 5e-2)


def polished(game: NormalFormGame, profile: Sequence[Array], steps: int = 30) -> Iterator[tuple[Array, ...]]:
    """Candidates near `profile` that make every player indifferent on a plausible support; none is verified here."""
    seen: set[Supports] = set()
    for threshold in THRESHOLDS:
        supports = tuple(tuple(int(k) for k in np.flatnonzero(p > threshold)) for p in profile)
        if supports in seen or not all(supports):
            continue
        seen.add(supports)
        candidate = indifferent_profile(game, supports, profile, steps)
        if candidate is not None:
            yield candidate


def indifferent_profile(
    game: NormalFormGame, supports: Supports, start: Sequence[Array], steps: int = 30
) -> tuple[Array, ...] | None:
    """A profile on `supports` at which each player's supported strategies pay the same; None where none is found.

    1. Unknowns: for each player its probabilities on the support and its payoff level v_i.
    2. Equations: u_i(a, σ_−i) = v_i for a in the support, Σ p_i = 1. They are multilinear; the Jacobian is exact.
    3. Least-squares Newton steps: where equations leave directions open (degenerate games) the nearest solution is
    taken.
    """
    payoff = game.scalar()
    span = np.ptp(payoff.reshape(len(payoff), -1), axis=1)
    unit = payoff / np.where(span > 0, span, 1.0).reshape(-1, *[1] * (payoff.ndim - 1))
    sub = [unit[i][np.ix_(*supports)] for i in range(len(unit))]
    p = [np.maximum(row[list(own)], 0.0) for row, own in zip(start, supports, strict=True)]
    if any(row.sum() <= 0 for row in p):
        return None
    p = [row / row.sum() for row in p]
    sizes = [len(own) for own in supports]
    ends = np.cumsum([0, *sizes])
    total, count = int(ends[-1]), len(sizes)
    v = np.array([float(deviation_payoffs(sub[i], p, i) @ p[i]) for i in range(count)])
    for _ in range(steps):
        residual = np.zeros(total + count)
        jacobian = np.zeros((total + count, total + count))
        for i in range(count):
            rows = slice(ends[i], ends[i + 1])
            residual[rows] = deviation_payoffs(sub[i], p, i) - v[i]
            jacobian[rows, total + i] = -1.0
            residual[total + i] = p[i].sum() - 1.0
            jacobian[total + i, rows] = 1.0
            for j in range(count):
                if j != i:
                    jacobian[rows, ends[j] : ends[j + 1]] = pairwise_payoffs(sub[i], p, i, j)
        step = np.linalg.lstsq(jacobian, -residual, rcond=1e-12)[0]
        p = [row + step[ends[i] : ends[i + 1]] for i, row in enumerate(p)]
        v = v + step[total:]
        if not np.isfinite(step).all() or np.abs(step).max() > 1e3:
            return None
        if np.abs(step).max() < 1e-14:
            break
    if np.abs(residual).max() > 1e-9 or min(float(row.min()) for row in p) < -1e-9:
        return None
    full = [np.zeros(k) for k in game.shape]
    for row, own, values in zip(full, supports, p, strict=True):
        row[list(own)] = values
    return tuple(full)


def pairwise_payoffs(payoff: Array, profile: Sequence[Array], first: int, second: int) -> Array:
    """[k_first, k_second] one player's payoff when two players play pure strategies and the others `profile`."""
    value = payoff
    for other in range(len(profile) - 1, -1, -1):
        if other not in (first, second):
            value = np.tensordot(value, profile[other], axes=([other], [0]))
    return value if first < second else value.T
