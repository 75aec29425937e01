"""Two-player constant-sum games by linear programming.

von Neumann (1928); Dantzig (1951), "A proof of the equivalence of the programming problem and the game problem". One
program gives both strategies: the row player's are its variables, the column player's its multipliers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from games.equilibria.verification import TOLERANCE, verify
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame


def solve_zero_sum(game: NormalFormGame, *, select: str | None = None, tol: float = TOLERANCE) -> list[Equilibrium]:
    """One equilibrium of a two-player constant-sum game.

    Args:
        game: scalar, two players, constant sum.
        select: None for a vertex of the optimal set, "max_entropy" for the unique most mixed equilibrium.
        tol: allowed regret, relative to the range of payoffs.

    Raises:
        ValueError: the game has not two players or is not constant-sum.
        NotConverged: the program failed, or its answer did not verify.
    """
    payoff = game.scalar()
    if game.num_players != 2:
        raise ValueError(f'method "lp": expected two players, got {game.num_players}')
    if not game.is_constant_sum():
        raise ValueError('method "lp": expected a constant-sum game; use "lemke_howson" or "enumerate"')
    if select not in (None, "max_entropy"):
        raise ValueError(f'method "lp": expected select None or "max_entropy", got {select!r}')
    # 1. A positive affine change maps payoffs to [0, 1] without changing the equilibria.
    low, high = float(payoff[0].min()), float(payoff[0].max())
    unit = (payoff[0] - low) / (high - low) if high > low else np.zeros_like(payoff[0])
    x, y, value = optimal_strategies(unit)
    details: Mapping[str, Any] = {"value": low + (high - low) * value}
    if select == "max_entropy":
        from games.equilibria.entropy import max_entropy_point

        x = max_entropy_point(-unit.T, np.full(unit.shape[1], -value))
        y = max_entropy_point(unit, np.full(unit.shape[0], value))
        details = {**details, "select": select}
    return [verify(game, (x, y), "lp", tol=tol, details=details)]


def optimal_strategies(unit: Array) -> tuple[Array, Array, float]:
    """Maximin x [k_0], minimax y [k_1] and the value of the matrix game `unit` [k_0, k_1] with entries near [0, 1].

    Raises:
        NotConverged: the linear program failed.
    """
    from scipy.optimize import linprog

    rows, columns = unit.shape
    # 2. max v subject to Σ_i x_i unit[i, j] ≥ v for every column j, x in the simplex.
    cost = np.append(np.zeros(rows), -1.0)
    upper = np.hstack([-unit.T, np.ones((columns, 1))])
    equality = np.append(np.ones(rows), 0.0)[None]
    bounds = [(0, None)] * rows + [(None, None)]
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = linprog(cost, upper, np.zeros(columns), equality, [1.0], bounds, method="highs", options=options)
    if result.status != 0:
        raise NotConverged(f"lp: {result.message}")
    x = np.clip(result.x[:rows], 0.0, None)
    # 3. The multipliers of the columns' constraints are the column player's optimal strategy.
    y = np.clip(-result.ineqlin.marginals, 0.0, None)
    return x / x.sum(), y / y.sum(), float(result.x[-1])
