"""How equilibria of a vector game move with the weights put on its objectives.

Axis letters: M weight vectors, P players, C objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from games.equilibria.dispatch import solve
from games.equilibrium import Equilibrium
from games.normal_form import Array, NormalFormGame, as_profile, deviation_payoffs


def preference_map(game: NormalFormGame, weights: ArrayLike, **options: Any) -> list[list[Equilibrium]]:
    """The equilibria of the scalarised game at each weight vector.

    Args:
        game: vector payoffs.
        weights: [M, C], the same for all players, or [M, P, C].
        options: handed to `solve`.

    Returns:
        M lists of equilibria, in the order of the weights.

    Raises:
        ValueError: weights of the wrong shape.
    """
    return [solve(game.scalarise(w), **options) for w in _weights(game, weights)]


def worst_regrets(game: NormalFormGame, profile: Sequence[ArrayLike], weights: ArrayLike) -> Array:
    """[P] each player's largest regret over all weights in the convex hull of the given ones.

    A player's regret max_s w·(u(s, σ_−i) − u(σ)) is a maximum of functions linear in w, hence convex, hence largest at
    one of the given weights: the answer is exact for the whole polytope, not for a grid.
    """
    mixed = as_profile(game, profile)
    out = np.zeros(game.num_players)
    given = _weights(game, weights)
    for i in range(game.num_players):
        vectors = deviation_payoffs(game.payoffs[i], mixed, i)
        gains = vectors - (vectors @ mixed[i])[:, None]
        out[i] = max(0.0, float((given[:, i] @ gains).max()))
    return out


def stable_profiles(game: NormalFormGame, weights: ArrayLike, epsilon: float, **options: Any) -> list[Equilibrium]:
    """Profiles that are ε-equilibria for every weight vector in the convex hull of the given ones.

    Candidates are the equilibria at the given weights and at their mean; an empty list says that none of those is
    stable, not that no profile is.

    Args:
        game: vector payoffs.
        weights: [M, C] or [M, P, C], the corners of the set of weights.
        epsilon: largest regret any player may have at any weight.
        options: handed to `solve`.

    Returns:
        Equilibria whose `regrets` are the worst over the set, the most stable first, without duplicates.
    """
    given = _weights(game, weights)
    candidates = [e for w in (*given, given.mean(axis=0)) for e in solve(game.scalarise(w), **options)]
    found: list[Equilibrium] = []
    for candidate in candidates:
        assert candidate.profile is not None  # Nash equilibria are product profiles
        worst = worst_regrets(game, candidate.profile, given)
        if worst.max() <= epsilon and not any(_same(candidate, other) for other in found):
            payoffs = np.stack(
                [deviation_payoffs(game.payoffs[i], candidate.profile, i) @ p for i, p in enumerate(candidate.profile)]
            )
            found.append(
                Equilibrium(
                    concept="nash",
                    method=f"{candidate.method}, over a set of weights",
                    regrets=worst,
                    nash_conv=float(worst.sum()),
                    profile=candidate.profile,
                    support=candidate.support,
                    payoffs=payoffs,
                    details={"epsilon": epsilon, "weights": given.tolist()},
                )
            )
    return sorted(found, key=lambda e: float(e.regrets.max()))


def simplex_grid(dimension: int, steps: int) -> Array:
    """[n, dimension] all points of the simplex whose coordinates are multiples of 1/steps."""
    bars = np.array(list(combinations(range(steps + dimension - 1), dimension - 1)), dtype=np.int64)
    ends = np.full((len(bars), 1), -1), np.full((len(bars), 1), steps + dimension - 1)
    return np.asarray((np.diff(np.hstack([ends[0], bars, ends[1]]), axis=1) - 1) / steps)


def _same(a: Equilibrium, b: Equilibrium) -> bool:
    assert a.profile is not None
    assert b.profile is not None
    return all(np.allclose(p, q, atol=1e-6) for p, q in zip(a.profile, b.profile, strict=True))


def _weights(game: NormalFormGame, weights: ArrayLike) -> Array:
    """[M, P, C]."""
    w = np.asarray(weights, dtype=np.float64)
    wanted = (game.num_players, game.num_objectives)
    if w.ndim == 2 and w.shape[1] == wanted[1]:
        w = np.repeat(w[:, None], wanted[0], axis=1)
    if w.ndim != 3 or w.shape[1:] != wanted or not len(w):
        raise ValueError(f"weights: expected shape [M, {wanted[1]}] or [M, {wanted[0]}, {wanted[1]}], got {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError("weights: expected finite numbers")
    return w
