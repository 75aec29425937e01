"""Payoffs of all correlated and coarse correlated equilibria of a two-player game, as polygons."""

from __future__ import annotations

import numpy as np

from games.normal_form import Array, NormalFormGame


def payoff_polygon(game: NormalFormGame, coarse: bool, directions: int = 32) -> Array:
    """Corners of the set of payoff pairs of (coarse) correlated equilibria, found by maximising in many directions.

    Args:
        game: two players, scalar.
        coarse: CCE (deviate before the advice) in place of CE (after it).
        directions: how many; corners whose normal cone holds none of them are cut off.

    Returns:
        [n, 2] corners in order around the polygon; it lies inside the true set.

    Raises:
        ValueError: not two players, or several objectives.
        RuntimeError: the linear program failed.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    if game.num_players != 2:
        raise ValueError(f"payoff polygon: expected two players, got {game.num_players}")
    payoff = game.scalar()
    incentive = csr_array(_incentives(payoff[0], payoff[1], coarse))
    everything = csr_array(np.ones((1, payoff[0].size)))
    corners = []
    for angle in 2.0 * np.pi * np.arange(directions) / directions:
        goal = np.cos(angle) * payoff[0] + np.sin(angle) * payoff[1]
        answer = linprog(
            -goal.reshape(-1),
            A_ub=incentive,
            b_ub=np.zeros(incentive.shape[0]),
            A_eq=everything,
            b_eq=[1.0],
            bounds=(0, None),
            method="highs",
        )
        if not answer.success:
            raise RuntimeError(f"payoff polygon: the linear program failed: {answer.message}")
        corners.append([float(answer.x @ payoff[i].reshape(-1)) for i in range(2)])
    return np.array(corners)


def _incentives(a: Array, b: Array, coarse: bool) -> Array:
    """Rows of gains from each deviation, linear in the joint distribution: all must be ≤ 0."""
    m, n = a.shape
    rows = []
    for own, size in ((a, m), (b.T, n)):
        gains = own[None, :, :] - own[:, None, :]  # [from, to, other]: gain of playing `to` where told `from`
        for to in range(size):
            if coarse:
                rows.append((gains[:, to], own is a))
                continue
            for told in range(size):
                if told != to:
                    row = np.zeros_like(own)
                    row[told] = gains[told, to]
                    rows.append((row, own is a))
    return np.stack([(row if first else row.T).reshape(-1) for row, first in rows])
