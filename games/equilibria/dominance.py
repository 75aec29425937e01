"""Iterated elimination of dominated strategies, by pure or mixed strategies, with the way back.

Strict elimination keeps all equilibria and does not depend on the order. Weak elimination may lose equilibria and
depends on the
order: here, in every round, each player in turn drops all its strategies that are dominated in the game as it
stands. Payoff-equivalent strategies do not dominate each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.equilibrium import NotConverged
from games.normal_form import Array, NormalFormGame, as_profile


@dataclass(frozen=True, eq=False)
class Reduction:
    """A game after elimination and its relation to the original.

    Attributes:
        game: what is left.
        kept: for each player, the original indices of the strategies that are left, in order.
        eliminated: (player, original strategy) in order of elimination.
        sizes: (k_0, …) of the original.
    """

    game: NormalFormGame
    kept: tuple[tuple[int, ...], ...]
    eliminated: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]

    def lift(self, profile: Sequence[ArrayLike]) -> tuple[Array, ...]:
        """A mixed profile of the reduced game as one of the original; eliminated strategies get probability 0.

        Raises:
            ValueError: the profile does not fit the reduced game.
        """
        lifted = []
        for size, own, p in zip(self.sizes, self.kept, as_profile(self.game, profile), strict=True):
            row = np.zeros(size)
            row[list(own)] = p
            lifted.append(row)
        return tuple(lifted)


def eliminate_dominated(game: NormalFormGame, strict: bool = True, mixed: bool = True, tol: float = 1e-9) -> Reduction:
    """Eliminates dominated strategies until none is left.

    Args:
        game: scalar, any number of players.
        strict: only strategies that are worse against everything; False also drops those never better and somewhere
        worse.
        mixed: also look for dominating mixtures.
        tol: how much better counts as better, relative to the range of the player's payoffs.

    Raises:
        ValueError: the game is not scalar.
        NotConverged: a linear program failed.
    """
    payoff = game.scalar()
    kept = [list(range(k)) for k in game.shape]
    gone: list[tuple[int, int]] = []
    changed = True
    while changed:
        changed = False
        for i in range(game.num_players):
            rows = np.moveaxis(payoff[i][np.ix_(*kept)], i, 0).reshape(len(kept[i]), -1)
            span = float(np.ptp(payoff[i])) or 1.0
            drop = _dominated(rows / span, strict, mixed, tol)
            if drop:
                changed = True
                gone += [(i, kept[i][a]) for a in drop]
                kept[i] = [a for position, a in enumerate(kept[i]) if position not in drop]
    index = np.ix_(range(game.num_players), [0], *kept)
    names = [[game.strategies[i][a] for a in own] for i, own in enumerate(kept)]
    left = NormalFormGame(game.payoffs[index], game.players, game.objectives, names)
    return Reduction(left, tuple(tuple(own) for own in kept), tuple(gone), game.shape)


def _dominated(rows: Array, strict: bool, mixed: bool, tol: float) -> list[int]:
    """Which of the strategies, rows [k, others] of payoffs with unit range, are dominated."""
    k = len(rows)
    found = []
    for a in range(k):
        better = rows - rows[a]
        if strict:
            pure = bool((better.min(axis=1) > tol).any())
        else:
            pure = bool(((better.min(axis=1) >= -tol * 1e-3) & (better.max(axis=1) > tol)).any())
        if pure or (mixed and k > 2 and _dominated_by_mixture(better, a, strict, tol)):
            found.append(a)
    return found


def _dominated_by_mixture(better: Array, a: int, strict: bool, tol: float) -> bool:
    """Whether a mixture of the others dominates `a`; `better` [k, c] are their payoffs less those of `a`."""
    from scipy.optimize import linprog

    others = np.delete(better, a, axis=0).T  # [c, k − 1]
    columns, k = others.shape
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    equal, one = np.append(np.ones(k), 0.0)[None] if strict else np.ones((1, k)), [1.0]
    if strict:  # max v: the mixture is better by v everywhere
        upper = np.hstack([-others, np.ones((columns, 1))])
        cost, bounds = np.append(np.zeros(k), -1.0), [(0, None)] * k + [(None, None)]
    else:  # max total advantage: the mixture is nowhere worse
        upper, cost, bounds = -others, -others.sum(axis=0), [(0, None)] * k
    result = linprog(cost, upper, np.zeros(columns), equal, one, bounds, method="highs", options=options)
    if result.status == 2:
        return False
    if result.status != 0:
        raise NotConverged(f"eliminate_dominated: {result.message}")
    return bool(-float(result.fun) > tol)
