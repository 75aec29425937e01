"""Normal-form games with vector payoffs, and the deviation arithmetic every solver shares.

Axis letters: P players, C objectives (criteria), k_i strategies of player i.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Profile = Sequence[Array]


@dataclass(frozen=True, eq=False)
class NormalFormGame:
    """A finite game in normal form whose payoffs are vectors.

    Attributes:
        payoffs: [P, C, k_0, …, k_{P-1}] payoff of each player, objective and pure profile; C = 1 is a scalar game.
        players: P names.
        objectives: C names.
        strategies: for each player, its k_i names.
    """

    payoffs: Array
    players: tuple[str, ...]
    objectives: tuple[str, ...]
    strategies: tuple[tuple[str, ...], ...]

    def __init__(
        self,
        payoffs: ArrayLike,
        players: Iterable[str] | None = None,
        objectives: Iterable[str] | None = None,
        strategies: Iterable[Iterable[str]] | None = None,
    ) -> None:
        """Checks shapes and finiteness; names default to numbers.

        Raises:
            ValueError: payoffs are ragged, not finite, of the wrong rank, or a list of names has the wrong length.
        """
        try:
            tensor = np.array(payoffs, dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"payoffs: expected a rectangular array of numbers, got a ragged or non-numeric one ({error})"
            ) from None
        if tensor.ndim < 3:
            raise ValueError(f"payoffs: expected shape [P, C, k_0, …, k_P-1], got {tensor.ndim} axes {tensor.shape}")
        count = tensor.shape[0]
        if tensor.ndim != count + 2:
            raise ValueError(
                f"payoffs: the first axis says {count} players, so {count + 2} axes were expected, "
                f"got {tensor.ndim} {tensor.shape}"
            )
        if tensor.size == 0:
            raise ValueError(f"payoffs: every axis needs at least one entry, got shape {tensor.shape}")
        if not np.isfinite(tensor).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(tensor))[0])
            raise ValueError(
                f"payoffs: expected finite numbers, got {tensor[where]} at index {where} (player, objective, *profile)"
            )
        tensor.setflags(write=False)
        sizes = tensor.shape[2:]
        object.__setattr__(self, "payoffs", tensor)
        object.__setattr__(self, "players", _names(players, count, "players"))
        object.__setattr__(self, "objectives", _names(objectives, tensor.shape[1], "objectives"))
        rows = [None] * count if strategies is None else [tuple(row) for row in strategies]
        if len(rows) != count:
            raise ValueError(f"strategies: expected one list of names for each of {count} players, got {len(rows)}")
        labels = tuple(
            _names(row, size, f"strategies[{i}]") for i, (row, size) in enumerate(zip(rows, sizes, strict=True))
        )
        object.__setattr__(self, "strategies", labels)

    @classmethod
    def bimatrix(cls, row: ArrayLike, column: ArrayLike) -> NormalFormGame:
        """A two-player scalar game from the payoff matrices `row`, `column`, both [k_0, k_1]."""
        a, b = np.asarray(row, dtype=np.float64), np.asarray(column, dtype=np.float64)
        if a.ndim != 2 or a.shape != b.shape:
            raise ValueError(f"bimatrix: expected two matrices of one shape, got {a.shape} and {b.shape}")
        return cls(np.stack([a, b])[:, None])

    @classmethod
    def zero_sum(cls, row: ArrayLike) -> NormalFormGame:
        """A two-player zero-sum scalar game; `row` [k_0, k_1] is what player 0 receives."""
        a = np.asarray(row, dtype=np.float64)
        return cls.bimatrix(a, -a)

    @property
    def num_players(self) -> int:
        """P."""
        return int(self.payoffs.shape[0])

    @property
    def num_objectives(self) -> int:
        """C."""
        return int(self.payoffs.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """(k_0, …, k_{P-1})."""
        return tuple(int(k) for k in self.payoffs.shape[2:])

    def scalarise(self, weights: ArrayLike) -> NormalFormGame:
        """The scalar game in which player i receives Σ_c weights[i, c] · payoff[i, c].

        Args:
            weights: [C], the same for all players, or [P, C].

        Raises:
            ValueError: wrong shape or a weight that is not finite.
        """
        w = as_weights(weights, self.num_players, self.num_objectives)
        tensor = np.einsum("pc,pc...->p...", w, self.payoffs)[:, None]
        return NormalFormGame(tensor, self.players, ("utility",), self.strategies)

    def scalar(self) -> Array:
        """The payoffs of a scalar game without their objective axis: [P, k_0, …].

        Raises:
            ValueError: the game has more than one objective.
        """
        if self.num_objectives != 1:
            raise ValueError(
                f"this needs a scalar game, got {self.num_objectives} objectives {self.objectives}: "
                "call game.scalarise(weights) first"
            )
        return self.payoffs[:, 0]

    def is_constant_sum(self, tolerance: float = 1e-9) -> bool:
        """Whether the players' payoffs of a scalar game add up to one constant over all profiles."""
        total = self.scalar().sum(axis=0)
        return bool(np.ptp(total) <= tolerance * float(np.abs(self.payoffs).max()))


def _names(given: Iterable[str] | None, count: int, what: str) -> tuple[str, ...]:
    names = tuple(str(i) for i in range(count)) if given is None else tuple(str(name) for name in given)
    if len(names) != count:
        raise ValueError(f"{what}: expected {count} names, got {len(names)}: {names}")
    if len(set(names)) != count:
        raise ValueError(f"{what}: expected distinct names, got {names}")
    return names


def as_weights(weights: ArrayLike, players: int, objectives: int) -> Array:
    """[P, C] weights of every player on every objective, from [C] (the same for all) or [P, C].

    Raises:
        ValueError: wrong shape or a weight that is not finite.
    """
    w = np.asarray(weights, dtype=np.float64)
    wanted = (players, objectives)
    if w.shape not in (wanted, wanted[1:]):
        raise ValueError(f"weights: expected shape {wanted[1:]} or {wanted}, got {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError(f"weights: expected finite numbers, got {w.tolist()}")
    return np.broadcast_to(w, wanted)


def as_profile(game: NormalFormGame, profile: Sequence[ArrayLike], tolerance: float = 1e-6) -> tuple[Array, ...]:
    """A mixed profile as P probability vectors, checked against the game and renormalised.

    Raises:
        ValueError: wrong number of players or strategies, a negative entry, or a sum that is not 1 within `tolerance`.
    """
    if len(profile) != game.num_players:
        raise ValueError(f"profile: expected {game.num_players} strategies, one a player, got {len(profile)}")
    mixed = []
    for player, (given, size) in enumerate(zip(profile, game.shape, strict=True)):
        p = np.asarray(given, dtype=np.float64)
        if p.shape != (size,):
            raise ValueError(f"profile[{player}]: expected shape ({size},), got {p.shape}")
        if not np.isfinite(p).all() or p.min() < -tolerance or abs(p.sum() - 1.0) > tolerance:
            raise ValueError(f"profile[{player}]: expected probabilities that sum to 1, got {p.tolist()}")
        p = np.clip(p, 0.0, None)
        mixed.append(p / p.sum())
    return tuple(mixed)


def deviation_payoffs(payoff: Array, profile: Profile, player: int) -> Array:
    """What `player` gets from each own pure strategy while the others play `profile`.

    Args:
        payoff: [k_0, …] that player's payoff (leading axes such as objectives may stand before, they are kept).
        profile: P vectors [k_i]; the player's own is ignored.
        player: whose deviations.

    Returns:
        [..., k_player].
    """
    count = len(profile)
    value = payoff
    lead = payoff.ndim - count
    for other in range(count - 1, -1, -1):
        if other != player:
            value = np.tensordot(value, profile[other], axes=([lead + other], [0]))
    return value


def expected_payoffs(game: NormalFormGame, profile: Sequence[ArrayLike]) -> Array:
    """[P, C] expected payoff of every player and objective under a mixed profile."""
    mixed = as_profile(game, profile)
    return np.stack([deviation_payoffs(game.payoffs[i], mixed, i) @ mixed[i] for i in range(game.num_players)])


def regrets(game: NormalFormGame, profile: Sequence[ArrayLike]) -> Array:
    """[P] what each player could gain by its best unilateral deviation from a mixed profile; never negative.

    Raises:
        ValueError: the game is not scalar, or the profile does not fit it.
    """
    payoff = game.scalar()
    mixed = as_profile(game, profile)
    gains = []
    for i in range(game.num_players):
        values = deviation_payoffs(payoff[i], mixed, i)
        gains.append(max(0.0, float(values.max() - values @ mixed[i])))
    return np.array(gains)
