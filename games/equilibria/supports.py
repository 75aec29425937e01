"""Support enumeration for games of any number of players.

Dickhaut & Kaplan (1991); order by size and by balance after Porter, Nudelman & Shoham (2008), "Simple search methods
for finding a Nash equilibrium". Pure equilibria are found exactly. For three and more players the indifference
equations are
polynomials: they are solved from several random starts, so isolated mixed equilibria may be missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np

from games.equilibria.polish import Supports, indifferent_profile
from games.equilibria.verification import TOLERANCE, allowed_regret, try_verify
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame


def enumerate_supports(
    game: NormalFormGame,
    *,
    tol: float = TOLERANCE,
    seed: int = 0,
    starts: int = 4,
    max_supports: int = 5_000,
    stop_after: int | None = None,
) -> list[Equilibrium]:
    """Distinct verified equilibria, pure ones first.

    Args:
        game: scalar, any number of players.
        tol: allowed regret, relative to the range of payoffs.
        seed: of the random starts.
        starts: how many starting points for each support profile.
        max_supports: how many support profiles to try.
        stop_after: how many equilibria are enough; None looks for all.

    Raises:
        NotConverged: no equilibrium was found within `max_supports` support profiles.
    """
    rng = np.random.default_rng(seed)
    found: list[Equilibrium] = []
    for cell in pure_equilibria(game, tol):
        pure = tuple(np.eye(k)[a] for k, a in zip(game.shape, cell, strict=True))
        one = try_verify(game, pure, "enumerate", tol=tol, details={"supports_tried": 0})
        if one is not None:
            found.append(one)
        if stop_after is not None and len(found) >= stop_after:
            return found
    tried = 0
    for supports in _support_profiles(game):
        if tried >= max_supports:
            if found:
                break
            raise NotConverged(f"enumerate: no equilibrium among the first {max_supports} support profiles")
        tried += 1
        for attempt in range(starts if game.num_players > 2 else 1):
            start = [np.zeros(k) for k in game.shape]
            for row, own in zip(start, supports, strict=True):
                row[list(own)] = 1.0 / len(own) if attempt == 0 else rng.dirichlet(np.ones(len(own)))
            candidate = indifferent_profile(game, supports, start, steps=20)
            if candidate is None:
                continue
            one = try_verify(game, candidate, "enumerate", tol=tol, details={"supports_tried": tried})
            if one is not None and not any(_close(one, other) for other in found):
                found.append(one)
                if stop_after is not None and len(found) >= stop_after:
                    return found
    if not found:
        raise NotConverged(f"enumerate: no equilibrium among all {tried} support profiles")
    return found


def pure_equilibria(game: NormalFormGame, tol: float = TOLERANCE) -> list[tuple[int, ...]]:
    """All pure profiles at which no player gains by deviating."""
    payoff = game.scalar()
    slack = allowed_regret(game, tol)
    stable = np.ones(game.shape, dtype=bool)
    for i in range(game.num_players):
        stable &= payoff[i] >= payoff[i].max(axis=i, keepdims=True) - slack[i]
    return [tuple(int(a) for a in cell) for cell in np.argwhere(stable)]


def _support_profiles(game: NormalFormGame) -> Iterator[Supports]:
    """Mixed support profiles without conditionally dominated strategies, small and balanced ones first."""
    payoff = game.scalar()
    shapes = list(product(*(range(1, k + 1) for k in game.shape)))
    shapes.sort(key=lambda sizes: (sum(sizes), max(sizes) - min(sizes)))
    for sizes in shapes:
        # An isolated equilibrium has no more equations than the other players have freedom (McKelvey & McLennan 1997).
        if max(sizes) == 1 or any(k - 1 > sum(sizes) - k - (len(sizes) - 1) for k in sizes):
            continue
        choices = [list(combinations(range(k), size)) for k, size in zip(game.shape, sizes, strict=True)]
        for supports in product(*choices):
            if not any(_dominated_within(payoff[i], supports, i) for i in range(len(supports))):
                yield supports


def _dominated_within(payoff: Array, supports: Supports, player: int) -> bool:
    """Whether a strategy in the support is worse than some other strategy against everything the others may play."""
    others = [list(range(payoff.shape[player])) if i == player else list(own) for i, own in enumerate(supports)]
    rows = np.moveaxis(payoff[np.ix_(*others)], player, 0).reshape(payoff.shape[player], -1)
    return any(bool((rows > rows[a]).all(axis=1).any()) for a in supports[player])


def _close(one: Equilibrium, other: Equilibrium) -> bool:
    assert one.profile is not None and other.profile is not None
    return all(np.abs(p - q).max() < 1e-6 for p, q in zip(one.profile, other.profile, strict=True))
