"""Meta-solvers for PSRO: from the game among populations to the distribution the next best responses train against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from games.equilibrium import Equilibrium
from games.normal_form import Array, NormalFormGame, deviation_payoffs

MetaSolver = Callable[[NormalFormGame], Array]


def outer(profile: tuple[Array, ...]) -> Array:
    """[k_0, …] joint distribution of independent strategies."""
    joint = np.ones(())
    for p in profile:
        joint = np.multiply.outer(joint, p)
    return joint


def as_joint(answer: Equilibrium | tuple[Array, ...] | list[Array] | Array) -> Array:
    """What a meta-solver returned as a joint distribution: an Equilibrium, P strategies, or the joint itself."""
    if isinstance(answer, Equilibrium):
        return outer(answer.profile) if answer.profile is not None else np.asarray(answer.joint)
    return outer(tuple(answer)) if isinstance(answer, tuple | list) else np.asarray(answer, dtype=np.float64)


def nash(game: NormalFormGame) -> Array:
    """The first Nash equilibrium `solve` finds (double oracle: McMahan, Gordon & Blum 2003)."""
    from games.equilibria.dispatch import solve

    return as_joint(solve(game)[0])


def uniform(game: NormalFormGame) -> Array:
    """Every profile alike (fictitious self-play's average when populations grow by one a round)."""
    return np.full(game.shape, 1.0 / np.prod(game.shape))


def alpharank(game: NormalFormGame) -> Array:
    """α-rank's stationary masses (Muller et al. 2020), in the limit of strong selection."""
    from games.evaluation.alpharank import alpharank as rank

    return as_joint(rank(game, alpha=1e3 / max(float(np.ptp(game.payoffs)), 1e-12), population_size=50))


def max_entropy_cce(game: NormalFormGame) -> Array:
    """The maximum-entropy coarse correlated equilibrium (JPSRO: Marris et al. 2021)."""
    from games.equilibria.dispatch import solve

    return as_joint(solve(game, "cce", select="max_entropy")[0])


def max_entropy_ce(game: NormalFormGame) -> Array:
    """The maximum-entropy correlated equilibrium (JPSRO; best responses are still to the others' marginal)."""
    from games.equilibria.dispatch import solve

    return as_joint(solve(game, "ce", select="max_entropy")[0])


def projected_replicator(game: NormalFormGame, floor: float = 1e-3, steps: int = 10_000, rate: float = 0.1) -> Array:
    """Average play of projected replicator dynamics (Lanctot et al. 2017, sec. 3.2).

    1. Each player's strategies grow by their advantage, in units of the payoff range.
    2. Back onto the strategies that play everything with probability ≥ floor / (k + 1).

    Args:
        game: scalar.
        floor: the exploration γ.
        steps: how many Euler steps; the average is over the second half.
        rate: of a step.
    """
    payoff = game.scalar()
    scale = float(np.ptp(payoff)) or 1.0
    x = tuple(np.full(k, 1.0 / k) for k in game.shape)
    total = tuple(np.zeros(k) for k in game.shape)
    for step in range(steps):
        values = [deviation_payoffs(payoff[i], x, i) / scale for i in range(game.num_players)]
        x = tuple(project(p * (1.0 + rate * (v - v @ p)), floor / (len(p) + 1)) for p, v in zip(x, values, strict=True))
        if step >= steps // 2:
            total = tuple(t + p for t, p in zip(total, x, strict=True))
    return outer(tuple(t / t.sum() for t in total))


def project(point: Array, floor: float) -> Array:
    """Euclidean projection onto {p : p ≥ floor, Σ p = 1} (Duchi et al. 2008, after shifting by the floor)."""
    if point.min() >= floor and abs(point.sum() - 1.0) < 1e-12:
        return point
    room = 1.0 - floor * len(point)
    shifted = point - floor
    descending = np.sort(shifted)[::-1]
    excess = (np.cumsum(descending) - room) / np.arange(1, len(point) + 1)
    threshold = excess[np.flatnonzero(descending > excess)[-1]]
    return np.asarray(np.maximum(shifted - threshold, 0.0) + floor)


META_SOLVERS: dict[str, MetaSolver] = {
    "nash": nash,
    "uniform": uniform,
    "alpharank": alpharank,
    "prd": projected_replicator,
    "cce": max_entropy_cce,
    "ce": max_entropy_ce,
}
