"""Deviation ratings: what a player would gain by fixing a strategy, at the strictest coarse correlated equilibrium.

Marris et al. (2025), "Deviation ratings: a general, clone-invariant rating method". Among all joint distributions the
largest gain from deviating to a fixed strategy is minimised, then the second largest, and so on (lexicographic
min-max). The gains at the end are the ratings. They exist, are unique and clone-invariant for n players and general
payoffs.
"""

from __future__ import annotations

import numpy as np

from games.equilibria.correlated import deviation_matrix
from games.equilibrium import NotConverged
from games.normal_form import Array, NormalFormGame


def deviation_ratings(game: NormalFormGame) -> list[Array]:
    """Ratings of every strategy of every player, all ≤ 0 up to rounding; higher is better.

    1. Minimise ε subject to gain_d(σ) ≤ ε for all deviations d not yet settled, gain_d(σ) ≤ rating_d for the settled.
    2. Deviations with a positive multiplier have gain ε at every optimum: settle them at ε.
    3. Repeat until all are settled.

    Args:
        game: scalar, any number of players. Gains of different players are compared, so their units should agree.

    Returns:
        P vectors [k_i] in the units of the payoffs.

    Raises:
        ValueError: the game is not scalar.
        NotConverged: a linear program failed.
    """
    from scipy.optimize import linprog

    payoff = game.scalar()
    gains, names = deviation_matrix(game, "cce")
    span = np.ptp(payoff.reshape(len(payoff), -1), axis=1)
    largest = float(span.max()) or 1.0
    weight = np.array([span[name[0]] / largest for name in names])
    dense = gains.toarray() * weight[:, None]
    count, cells = dense.shape
    rating = np.full(count, np.nan)
    cost = np.append(np.zeros(cells), 1.0)
    equal = np.append(np.ones(cells), 0.0)[None]
    bounds = [(0, None)] * cells + [(None, None)]
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    while np.isnan(rating).any():
        open_ = np.isnan(rating)
        upper = np.hstack([dense, np.where(open_, -1.0, 0.0)[:, None]])
        right = np.where(open_, 0.0, np.nan_to_num(rating) + 1e-10)
        result = linprog(cost, upper, right, equal, [1.0], bounds, method="highs", options=options)
        if result.status != 0:
            raise NotConverged(f"deviation_ratings: {result.message}")
        multipliers = np.where(open_, -result.ineqlin.marginals, 0.0)
        settled = multipliers > 1e-7
        settled[int(multipliers.argmax())] = True
        rating[settled] = float(result.x[-1])
    rating = np.where(np.abs(rating) < 1e-9, 0.0, rating) * largest
    return [
        np.array([r for r, name in zip(rating, names, strict=True) if name[0] == i]) for i in range(game.num_players)
    ]
