"""Policy-space response oracles: grow populations by best responses to a solution of the game among them.

Lanctot et al. (2017), "A unified game-theoretic approach to multiagent reinforcement learning"; with a joint
meta-solver it is JPSRO (Marris et al. 2021). S below is whatever a strategy is: a number, a checkpoint's name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from games.empirical.meta_solvers import META_SOLVERS, as_joint
from games.equilibrium import Equilibrium, support_of
from games.normal_form import Array, NormalFormGame, regrets

S = TypeVar("S", bound=Hashable)
Mixture = Sequence[tuple[float, tuple[Any, ...]]]


class Oracle(Protocol[S]):
    """What PSRO plays with. Strategies are compared by ==."""

    @property
    def players(self) -> tuple[str, ...]:
        """P names."""
        ...

    def initial(self, player: int) -> S:
        """The strategy a player's population starts with."""
        ...

    def best_response(self, player: int, opponents: Mixture) -> S:
        """A strategy that does well against weighted profiles of the others; the player's own place in each is None."""
        ...

    def payoffs(self, profile: tuple[S, ...]) -> Sequence[float]:
        """[P] expected payoffs of a pure profile; asked once for each profile."""
        ...


@dataclass(frozen=True)
class MatrixOracle:
    """A normal-form game as an oracle: strategies are their indices, best responses are exact (ties to the lowest)."""

    game: NormalFormGame
    start: tuple[int, ...] | None = None

    @property
    def players(self) -> tuple[str, ...]:
        """Names of the game's players."""
        return self.game.players

    def initial(self, player: int) -> int:
        """The given start, else the first strategy."""
        return 0 if self.start is None else self.start[player]

    def best_response(self, player: int, opponents: Mixture) -> int:
        """The row of highest expected payoff."""
        table = self.game.scalar()[player]
        value = np.zeros(self.game.shape[player])
        for weight, profile in opponents:
            value += weight * table[tuple(slice(None) if k is None else k for k in profile)]
        # Rounding must not turn a tie into a new strategy.
        return int(np.flatnonzero(value >= value.max() - 1e-12 * max(1.0, float(np.abs(table).max())))[0])

    def payoffs(self, profile: tuple[int, ...]) -> Sequence[float]:
        """The cell."""
        return [float(table[profile]) for table in self.game.scalar()]


@dataclass(frozen=True, eq=False)
class Epoch:
    """One round of PSRO: population sizes [P], gains [P] of the best responses, their sum, the meta-distribution."""

    sizes: tuple[int, ...]
    gains: Array
    nash_conv: float
    joint: Array


@dataclass(frozen=True, eq=False)
class PSROResult(Generic[S]):
    """What PSRO found.

    Attributes:
        populations: for each player its strategies, in the order they came.
        game: the game among them.
        joint: [k_0, …] the meta-solver's last distribution over their profiles.
        trace: one entry a round; `nash_conv` is what the oracle's best responses gained (a lower bound on the true one
            when best responses are approximate; for a joint meta-solver, the gain from leaving the distribution).
        converged: no best response was new or gained anything.
        equilibrium: for a normal-form game, the meta-distribution in the full game, verified there: a product profile
            for "nash", "prd" and "uniform", a joint one for the others. None for other oracles.
    """

    populations: tuple[tuple[S, ...], ...]
    game: NormalFormGame
    joint: Array
    trace: tuple[Epoch, ...]
    converged: bool
    equilibrium: Equilibrium | None

    @property
    def profile(self) -> tuple[Array, ...]:
        """Each player's marginal over its population."""
        return _marginals(self.joint)


def psro(
    oracle: Oracle[Any] | NormalFormGame,
    meta_solver: str | Callable[[NormalFormGame], Any] = "nash",
    epochs: int = 50,
    tolerance: float = 1e-9,
) -> PSROResult[Any]:
    """Runs PSRO until nothing new is gained, or for `epochs` rounds.

    1. Evaluate the profiles of the populations that are new.
    2. Solve the game among them with the meta-solver.
    3. Ask for each player's best response to the others' distribution.
    4. Add the responses that are new; stop if there are none, or if none gains more than the tolerance.

    Args:
        oracle: see `Oracle`; a NormalFormGame stands for its `MatrixOracle`.
        meta_solver: "nash", "uniform", "alpharank", "prd", "cce", "ce", or a callable from the populations' game to
            an Equilibrium, P mixed strategies, or a joint distribution.
        epochs: rounds at most.
        tolerance: gain, in payoff units, that counts as one.

    Raises:
        ValueError: an unknown meta-solver, no rounds, or payoffs of the wrong length or not finite.
    """
    if isinstance(meta_solver, str) and meta_solver not in META_SOLVERS:
        raise ValueError(f"meta_solver: expected a callable or one of {sorted(META_SOLVERS)}, got {meta_solver!r}")
    if epochs < 1:
        raise ValueError(f"epochs: expected at least one, got {epochs}")
    solver = META_SOLVERS[meta_solver] if isinstance(meta_solver, str) else meta_solver
    full = oracle if isinstance(oracle, NormalFormGame) else None
    source: Oracle[Any] = oracle if full is None else MatrixOracle(full)  # type: ignore[assignment]
    count = len(source.players)
    populations: list[list[Any]] = [[source.initial(i)] for i in range(count)]
    known: dict[tuple[Any, ...], Array] = {}
    trace: list[Epoch] = []
    for epoch in range(epochs):
        game = _game(source, populations, known)
        joint = _distribution(solver, game)
        responses = [source.best_response(i, _opponents(joint, populations, i)) for i in range(count)]
        gains = np.array([_gain(source, populations, known, joint, i, responses[i]) for i in range(count)])
        trace.append(Epoch(game.shape, gains, float(gains.sum()), joint))
        new = [i for i in range(count) if responses[i] not in populations[i] and gains[i] > tolerance]
        converged = gains.max() <= tolerance
        # A response that is known and still gains is met by solvers that are no equilibrium, such as "uniform".
        if not new or epoch == epochs - 1:
            break
        for i in new:
            populations[i].append(responses[i])
    return PSROResult(
        populations=tuple(tuple(p) for p in populations),
        game=game,
        joint=joint,
        trace=tuple(trace),
        converged=bool(converged),
        equilibrium=None if full is None else _in_full_game(full, populations, joint, trace[-1]),
    )


def _payoffs(source: Oracle[Any], known: dict[tuple[Any, ...], Array], profile: tuple[Any, ...]) -> Array:
    if profile not in known:
        values = np.asarray(source.payoffs(profile), dtype=np.float64)
        if values.shape != (len(source.players),) or not np.isfinite(values).all():
            raise ValueError(f"oracle.payoffs{profile}: expected {len(source.players)} finite numbers, got {values}")
        known[profile] = values
    return known[profile]


def _game(source: Oracle[Any], populations: list[list[Any]], known: dict[tuple[Any, ...], Array]) -> NormalFormGame:
    shape = tuple(len(p) for p in populations)
    tensor = np.empty((len(shape), 1, *shape))
    for cell in np.ndindex(*shape):
        tensor[(slice(None), 0, *cell)] = _payoffs(
            source, known, tuple(p[k] for p, k in zip(populations, cell, strict=True))
        )
    return NormalFormGame(tensor, source.players, ("utility",), [[str(s) for s in p] for p in populations])


def _distribution(solver: Callable[[NormalFormGame], Any], game: NormalFormGame) -> Array:
    joint = as_joint(solver(game))
    if joint.shape != game.shape or not np.isfinite(joint).all() or joint.min() < -1e-9 or abs(joint.sum() - 1) > 1e-6:
        raise ValueError(f"meta-solver: expected a distribution of shape {game.shape}, got shape {joint.shape}")
    joint = np.clip(joint, 0.0, None)
    return np.asarray(joint / joint.sum())


def _opponents(joint: Array, populations: list[list[Any]], player: int) -> list[tuple[float, tuple[Any, ...]]]:
    """The others' marginal as weighted profiles, the player's own place None."""
    marginal = joint.sum(axis=player, keepdims=True)
    out = []
    for cell in np.argwhere(marginal > 1e-12):
        names = tuple(None if i == player else populations[i][k] for i, k in enumerate(cell))
        out.append((float(marginal[tuple(cell)]), names))
    return out


def _gain(
    source: Oracle[Any],
    populations: list[list[Any]],
    known: dict[tuple[Any, ...], Array],
    joint: Array,
    player: int,
    response: Any,
) -> float:
    """What the player gains by answering the others' marginal with the response instead of following the joint."""
    held = sum(
        float(joint[tuple(cell)])
        * _payoffs(source, known, tuple(populations[i][k] for i, k in enumerate(cell)))[player]
        for cell in np.argwhere(joint > 0)
    )
    answered = sum(
        weight * _payoffs(source, known, tuple(response if k is None else k for k in profile))[player]
        for weight, profile in _opponents(joint, populations, player)
    )
    return float(answered - held)


def _in_full_game(full: NormalFormGame, populations: list[list[int]], joint: Array, last: Epoch) -> Equilibrium:
    wide = np.zeros(full.shape)
    wide[np.ix_(*populations)] = joint
    profile = _marginals(wide)
    product = np.ones(())
    for p in profile:
        product = np.multiply.outer(product, p)
    details = {"epochs": last.sizes}
    if np.allclose(product, wide, atol=1e-9):
        gaps = regrets(full, profile)
        return Equilibrium(
            "nash", "psro", gaps, float(gaps.sum()), profile=profile, support=support_of(profile), details=details
        )
    gaps = np.maximum(0.0, last.gains)
    return Equilibrium("cce", "psro", gaps, float(gaps.sum()), joint=wide, support=support_of(profile), details=details)


def _marginals(joint: Array) -> tuple[Array, ...]:
    axes = range(joint.ndim)
    return tuple(np.asarray(joint.sum(axis=tuple(j for j in axes if j != i))) for i in axes)
