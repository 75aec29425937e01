"""Replicator dynamics, and projected replicator dynamics, to a rest point or time average that is an equilibrium.

Taylor & Jonker (1978): dx_ia/dt = x_ia (u_ia − u_i). Time averages of interior orbits of two-player zero-sum games
converge to equilibrium (Hofbauer, Sorin & Viossat 2009). Projected replicator dynamics keep every probability at least
floor / k_i (Lanctot et al. 2017, appendix on meta-strategy solvers).
"""

from __future__ import annotations

import numpy as np

from games.equilibria.polish import polished
from games.equilibria.verification import TOLERANCE, allowed_regret, measured, try_verify
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame, deviation_payoffs


def solve_replicator(
    game: NormalFormGame,
    *,
    floor: float = 0.0,
    step: float = 0.1,
    iterations: int = 20_000,
    tol: float = TOLERANCE,
    polish: bool = True,
    seed: int = 0,
) -> list[Equilibrium]:
    """One equilibrium to which the dynamics lead from a random interior point near the uniform profile.

    Args:
        game: scalar.
        floor: 0 for replicator dynamics; γ in (0, 1) keeps x_ia ≥ γ / k_i by projection.
        step: time step, for payoffs scaled to unit range.
        iterations: how many steps at most.
        tol: allowed regret, relative to the range of payoffs; without polishing, 1e-3 is a sensible aim.
        polish: solve the indifference equations on the support the dynamics point to.
        seed: of the starting point.

    Raises:
        ValueError: floor or step out of range.
        NotConverged: neither the state nor its time average led to a profile that verifies.
    """
    if not 0.0 <= floor < 1.0 or not step > 0:
        raise ValueError(f"replicator: expected 0 <= floor < 1 and step > 0, got {floor} and {step}")
    payoff = game.scalar()
    span = np.ptp(payoff.reshape(len(payoff), -1), axis=1)
    unit = payoff / np.where(span > 0, span, 1.0).reshape(-1, *[1] * (payoff.ndim - 1))
    rng = np.random.default_rng(seed)
    # Log-weights make the simplex invariant: x = softmax(y), dy/dt = u(x). A start off the uniform profile breaks
    # symmetry.
    y: list[Array] = [0.01 * rng.normal(size=k) for k in game.shape]
    averages: list[Array] = [np.zeros(k) for k in game.shape]
    check = 64
    for t in range(1, iterations + 1):
        y = _runge_kutta(unit, y, step)
        x = [_softmax(row) for row in y]
        if floor > 0:
            x = [project(row, floor / len(row)) for row in x]
            y = [np.log(row) for row in x]
        averages = [total + row for total, row in zip(averages, x, strict=True)]
        if t in (check, iterations):
            check *= 2
            mean = [row / row.sum() for row in averages]
            for profile in (x, mean):
                details = {"iterations": t, "floor": floor, "polished": False}
                found = try_verify(game, profile, "replicator", tol=tol, details=details)
                if found is not None:
                    return [found]
                for candidate in polished(game, profile) if polish else ():
                    found = try_verify(game, candidate, "replicator", tol=tol, details={**details, "polished": True})
                    if found is not None:
                        return [found]
    reached = measured(game, mean)[0]
    raise NotConverged(
        f"replicator: regrets {reached.tolist()} after {iterations} steps, allowed {allowed_regret(game, tol).tolist()}"
    )


def _softmax(row: Array) -> Array:
    weights = np.exp(row - row.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _field(unit: Array, y: list[Array]) -> list[Array]:
    x = [_softmax(row) for row in y]
    return [deviation_payoffs(unit[i], x, i) for i in range(len(x))]


def _runge_kutta(unit: Array, y: list[Array], step: float) -> list[Array]:
    """One classical fourth-order step."""
    a = _field(unit, y)
    b = _field(unit, [r + 0.5 * step * d for r, d in zip(y, a, strict=True)])
    c = _field(unit, [r + 0.5 * step * d for r, d in zip(y, b, strict=True)])
    d = _field(unit, [r + step * e for r, e in zip(y, c, strict=True)])
    moved = []
    for row, k1, k2, k3, k4 in zip(y, a, b, c, d, strict=True):
        new = row + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        moved.append(new - new.max())
    return moved


def project(row: Array, floor: float) -> Array:
    """Euclidean projection of [k] onto {x : Σ x = 1, x ≥ floor} (Held, Wolfe & Crowder 1974)."""
    room = 1.0 - floor * len(row)
    shifted = np.sort(row - floor)[::-1]
    level = (np.cumsum(shifted) - room) / np.arange(1, len(row) + 1)
    cut = level[np.flatnonzero(shifted > level)[-1]]
    return np.asarray(np.maximum(row - floor - cut, 0.0) + floor, dtype=np.float64)
