"""Nash equilibria of games whose players value payoff vectors by utility functions.

After Rădulescu, Mannion, Zhang, Roijers & Nowé (2020), "A utility-based analysis of equilibria in multi-objective
normal-form games". SER, scalarised expected returns: a player wants u(E[V]); mixed deviations matter, and there may be
no equilibrium at all. ESR, expected scalarised returns: a player wants E[u(V)]; an ordinary game, which has equilibria.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from games.equilibrium import Equilibrium, support_of
from games.normal_form import Array, NormalFormGame, Profile, expected_payoffs
from games.vector.deviations import Utility, best_deviation, evaluate, lattice

_STARTS = 12
_APART = 0.12  # largest difference of two probabilities between starts
_STEP = 1e-6


class EquilibriumList(list[Equilibrium]):
    """Equilibria found; an empty list says none was.

    Attributes:
        least_max_regret: the smallest, over the profiles searched, of the largest regret of any player; 0 up to the
            tolerance where there is an equilibrium.
        least_profile: where it was found.
    """

    def __init__(self, found: Sequence[Equilibrium], least_max_regret: float, least_profile: tuple[Array, ...]) -> None:
        super().__init__(found)
        self.least_max_regret = least_max_regret
        self.least_profile = least_profile


def esr_equilibria(game: NormalFormGame, utilities: Sequence[Utility], **options: Any) -> EquilibriumList:
    """Nash equilibria of the game of utilities u_i(V) (expected scalarised returns).

    Args:
        game: vector payoffs.
        utilities: one callable [..., C] → [...] a player.
        options: handed to `solve`.

    Returns:
        Equilibria with regrets in utility; `payoffs` are the expected payoff vectors.

    Raises:
        ValueError: not one utility a player, or a utility that does not return one finite number a vector.
    """
    from games.equilibria.dispatch import solve

    _checked(game, utilities)
    values = np.stack([evaluate(u, np.moveaxis(game.payoffs[i], 0, -1)) for i, u in enumerate(utilities)])
    scalar = NormalFormGame(values[:, None], game.players, ("utility",), game.strategies)
    found = [_answer(game, "esr", e.method, _product(e), e.regrets, e.degenerate) for e in solve(scalar, **options)]
    best = min(found, key=lambda e: float(e.regrets.max()))
    return EquilibriumList(found, float(best.regrets.max()), _product(best))


def ser_equilibria(
    game: NormalFormGame, utilities: Sequence[Utility], tolerance: float = 1e-6, seed: int = 0
) -> EquilibriumList:
    """Nash equilibria under u_i(E[V]) (scalarised expected returns), against every mixed deviation.

    1. Largest regrets of all pure profiles, and of a lattice and of random points of mixed profiles.
    2. From the best of them, sequential quadratic programming on: minimise t with every player's regret ≤ t.
    3. What ends with regret within the tolerance is an equilibrium; if nothing does, the least is reported.

    The search is global only up to its lattice: equilibria may be missed (never invented, since each is checked against
    the best deviation found), and where there is none the least maximal regret is the least found.

    Args:
        game: vector payoffs.
        utilities: one callable [..., C] → [...] a player, defined on the convex hull of its payoff vectors.
        tolerance: largest regret of an equilibrium, in units of each player's range of utility.
        seed: of the random starts.

    Raises:
        ValueError: not one utility a player, or a utility that does not return one finite number a vector.
    """
    _checked(game, utilities)
    scale = _scales(game, utilities)
    starts = _starts(game, seed)
    measured = _regrets(game, utilities, starts)
    order = np.argsort(measured.max(axis=1), kind="stable")
    pure = [n for n in order if all((p[n] > 1 - 1e-12).any() for p in starts)]
    candidates = [tuple(p[n] for p in starts) for n in pure]  # kept as they are: polishing would only blur them
    chosen: list[tuple[Array, ...]] = []
    for n in order:  # the best starts that are not all in one place
        start = tuple(p[n] for p in starts)
        if len(chosen) < _STARTS and all(_distance(start, other) > _APART for other in chosen):
            chosen.append(start)
    candidates += [_polish(game, utilities, start, float(scale.max())) for start in chosen]
    regret = np.array([_regrets(game, utilities, tuple(p[None] for p in c))[0] for c in candidates])
    largest = regret.max(axis=1)
    found: list[Equilibrium] = []
    for n in np.argsort(largest, kind="stable"):
        if (regret[n] / scale).max() <= tolerance and all(_distance(candidates[n], _product(e)) > 1e-3 for e in found):
            found.append(_answer(game, "ser", "lattice and sequential quadratic programming", candidates[n], regret[n]))
    least = int(largest.argmin())
    return EquilibriumList(found, float(largest[least]), candidates[least])


def ser_regrets(game: NormalFormGame, utilities: Sequence[Utility], profile: Profile) -> Array:
    """[P] each player's gain in u(E[V]) from its best mixed deviation."""
    return np.asarray(_regrets(game, utilities, tuple(np.asarray(p, dtype=np.float64)[None] for p in profile))[0])


def _regrets(game: NormalFormGame, utilities: Sequence[Utility], profiles: Profile) -> Array:
    """[B, P] for profiles [B, k_i] a player."""
    out = np.empty((len(profiles[0]), game.num_players))
    for i, utility in enumerate(utilities):
        vectors = _vectors(game, profiles, i)
        own = evaluate(utility, np.einsum("bk,bkc->bc", profiles[i], vectors))
        pure = evaluate(utility, vectors).max(axis=1)
        out[:, i] = np.maximum(0.0, np.maximum(best_deviation(utility, vectors)[0], pure) - own)
    return out


def _vectors(game: NormalFormGame, profiles: Profile, player: int) -> Array:
    """[B, k_i, C] payoff vector of each own strategy against the others' mixtures [B, k_j]."""
    count = game.num_players
    axes = list(range(2, 2 + count))
    operands: list[Any] = [game.payoffs[player], [1, *axes]]
    for j in range(count):
        if j != player:
            operands += [profiles[j], [0, axes[j]]]
    if count == 1:
        return np.broadcast_to(game.payoffs[0].T, (len(profiles[0]), *game.payoffs[0].T.shape))
    return np.asarray(np.einsum(*operands, [0, axes[player], 1], optimize=True))


def _starts(game: NormalFormGame, seed: int) -> tuple[Array, ...]:
    """Pure profiles, a coarse lattice of mixed ones and random ones: [B, k_i] a player."""
    pure = [np.array(p) for p in zip(*product(*(np.eye(k) for k in game.shape)), strict=True)]
    rng = np.random.default_rng(seed)
    grids = [lattice(k) for k in game.shape]
    # A full product of lattices for small games, a random sample of it beyond.
    few = [grid[:: max(1, len(grid) // 40)] for grid in grids]
    size = int(np.prod([len(grid) for grid in few]))
    if size <= 2000:
        index = np.stack([axis.reshape(-1) for axis in np.meshgrid(*(np.arange(len(g)) for g in few), indexing="ij")])
    else:
        index = np.stack([rng.integers(len(grid), size=1500) for grid in few])
    mixed = [grid[row] for grid, row in zip(few, index, strict=True)]
    drawn = [rng.dirichlet(np.ones(k), size=200) for k in game.shape]
    return tuple(np.concatenate(parts) for parts in zip(pure, mixed, drawn, strict=True))


def _polish(
    game: NormalFormGame, utilities: Sequence[Utility], start: tuple[Array, ...], scale: float
) -> tuple[Array, ...]:
    """Minimises the largest regret from one start; each player's pure deviations and best mixed one bound t separately.

    At a minimum several deviations are usually best at once; as separate constraints they keep the problem smooth.
    """
    from scipy.optimize import minimize

    sizes = game.shape
    cuts = np.cumsum(sizes)

    def split(z: Array) -> tuple[Array, ...]:
        parts = [np.clip(p, 0.0, None) for p in np.split(z[..., :-1], cuts[:-1], axis=-1)]
        return tuple(p / np.maximum(p.sum(axis=-1, keepdims=True), 1e-12) for p in parts)

    def gaps(z: Array) -> Array:
        """[B, constraints] for points [B, variables]."""
        profiles = split(z)
        out = []
        for i, utility in enumerate(utilities):
            vectors = _vectors(game, profiles, i)
            own = evaluate(utility, np.einsum("bk,bkc->bc", profiles[i], vectors))
            deviations = np.column_stack([evaluate(utility, vectors), best_deviation(utility, vectors)[0]])
            out.append(z[:, -1:] - (deviations - own[:, None]) / scale)
        return np.concatenate(out, axis=1)

    def slope(z: Array) -> Array:
        near = z + _STEP * np.vstack([np.eye(len(z)), -np.eye(len(z))])
        values = gaps(near)
        return np.asarray((values[: len(z)] - values[len(z) :]).T / (2.0 * _STEP))

    totals = np.zeros((len(sizes), cuts[-1] + 1))
    for i, (end, size) in enumerate(zip(cuts, sizes, strict=True)):
        totals[i, end - size : end] = 1.0
    first = np.concatenate([*start, [0.0]])
    first[-1] = -gaps(first[None]).min()
    answer = minimize(
        lambda z: z[-1],
        first,
        jac=lambda z: np.append(np.zeros(len(z) - 1), 1.0),
        bounds=[(0.0, 1.0)] * int(cuts[-1]) + [(0.0, None)],
        constraints=[
            {"type": "ineq", "fun": lambda z: gaps(z[None])[0], "jac": slope},
            {"type": "eq", "fun": lambda z: totals @ z - 1.0, "jac": lambda z: totals},
        ],
        method="SLSQP",
        options={"maxiter": 100, "ftol": 1e-13},
    )
    end = split(answer.x)
    points = np.stack([np.append(np.concatenate(p), 0.0) for p in (end, start)])
    worst = -gaps(points).min(axis=1)
    return end if worst[0] <= worst[1] else start


def _scales(game: NormalFormGame, utilities: Sequence[Utility]) -> Array:
    spread = [float(np.ptp(evaluate(u, np.moveaxis(game.payoffs[i], 0, -1)))) for i, u in enumerate(utilities)]
    return np.array([s if s > 0 else 1.0 for s in spread])


def _answer(
    game: NormalFormGame,
    concept: str,
    method: str,
    profile: tuple[Array, ...],
    regrets: Array,
    degenerate: bool | None = None,
) -> Equilibrium:
    return Equilibrium(
        concept=concept,
        method=method,
        regrets=regrets,
        nash_conv=float(regrets.sum()),
        profile=profile,
        support=support_of(profile, 1e-6),
        degenerate=degenerate,
        payoffs=expected_payoffs(game, profile),
    )


def _product(equilibrium: Equilibrium) -> tuple[Array, ...]:
    assert equilibrium.profile is not None  # Nash equilibria are product profiles
    return equilibrium.profile


def _distance(a: Profile, b: Profile) -> float:
    return max(float(np.abs(p - q).max()) for p, q in zip(a, b, strict=True))


def _checked(game: NormalFormGame, utilities: Sequence[Utility]) -> None:
    if len(utilities) != game.num_players or not all(callable(u) for u in utilities):
        raise ValueError(f"utilities: expected {game.num_players} callables [..., C] → [...], one a player")
