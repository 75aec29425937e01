"""Regret matching⁺ in self-play with weighted averaging, for any number of players.

Hart & Mas-Colell (2000); the ⁺ variant and linear averaging are Tammelin (2014). In two-player constant-sum games the
average converges to equilibrium; in others it may not, and then the solver says so.
"""

from __future__ import annotations

import numpy as np

from games.equilibria.polish import polished
from games.equilibria.verification import TOLERANCE, allowed_regret, measured, try_verify
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame, deviation_payoffs


def solve_regret_matching(
    game: NormalFormGame, *, iterations: int = 20_000, tol: float = TOLERANCE, polish: bool = True
) -> list[Equilibrium]:
    """One equilibrium near the average or the current strategies of regret matching⁺.

    Args:
        game: scalar.
        iterations: how many at most.
        tol: allowed regret, relative to the range of payoffs. Without polishing, 1e-3 is a sensible aim.
        polish: solve the indifference equations on the support the dynamics point to.

    Raises:
        NotConverged: nothing verified within `iterations`.
    """
    payoff = game.scalar()
    count = game.num_players
    totals: list[Array] = [np.zeros(k) for k in game.shape]
    averages: list[Array] = [np.zeros(k) for k in game.shape]
    current: list[Array] = [np.full(k, 1.0 / k) for k in game.shape]
    check = 16
    for t in range(1, iterations + 1):
        # 1. Players update in turn, each against the others' latest strategies.
        for i in range(count):
            values = deviation_payoffs(payoff[i], current, i)
            # 2. Positive cumulative regrets; negative ones are forgotten.
            totals[i] = np.maximum(totals[i] + values - float(values @ current[i]), 0.0)
            mass = float(totals[i].sum())
            current[i] = totals[i] / mass if mass > 0 else current[i]
            # 3. The average weighs iteration t by t.
            averages[i] += t * current[i]
        if t in (check, iterations):
            check *= 2
            mean = [row / row.sum() for row in averages]
            for profile in (mean, current):
                found = _settle(game, profile, t, tol, polish)
                if found is not None:
                    return [found]
    reached, allowed = measured(game, mean)[0], allowed_regret(game, tol)
    raise NotConverged(
        f"regret_matching: regrets {reached.tolist()} after {iterations} iterations, allowed {allowed.tolist()}"
    )


def _settle(game: NormalFormGame, profile: list[Array], t: int, tol: float, polish: bool) -> Equilibrium | None:
    found = try_verify(game, profile, "regret_matching", tol=tol, details={"iterations": t, "polished": False})
    if found is not None or not polish:
        return found
    for candidate in polished(game, profile):
        found = try_verify(game, candidate, "regret_matching", tol=tol, details={"iterations": t, "polished": True})
        if found is not None:
            return found
    return None
