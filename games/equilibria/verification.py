"""The gate every Nash solver passes: a profile becomes an `Equilibrium` only after its regrets were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from games.equilibrium import Equilibrium, NotConverged, support_of
from games.normal_form import Array, NormalFormGame, deviation_payoffs

TOLERANCE = 1e-8


def allowed_regret(game: NormalFormGame, tol: float = TOLERANCE) -> Array:
    """[P] the regret that still counts as none: `tol` times the range of the player's payoffs, plus rounding."""
    payoff = game.scalar()
    axes = tuple(range(1, payoff.ndim))
    span = payoff.max(axis=axes) - payoff.min(axis=axes)
    rounding = 64 * np.finfo(np.float64).eps * np.abs(payoff).max(axis=axes)
    return np.asarray(tol * span + rounding, dtype=np.float64)


def cleaned(profile: Sequence[Array], floor: float = 1e-12) -> tuple[Array, ...]:
    """The profile with rounding residue (entries below `floor`, negative ones included) set to zero, renormalised."""
    rows = []
    for p in profile:
        q = np.where(p > floor, p, 0.0)
        total = q.sum()
        rows.append(q / total if total > 0 else np.full(len(p), 1.0 / len(p)))
    return tuple(rows)


def measured(game: NormalFormGame, profile: Sequence[Array]) -> tuple[Array, Array]:
    """([P] regrets, [P] payoffs) of mixed strategies that are already normalised."""
    payoff = game.scalar()
    gains, values = [], []
    for i, own in enumerate(profile):
        deviation = deviation_payoffs(payoff[i], profile, i)
        value = float(deviation @ own)
        values.append(value)
        gains.append(max(0.0, float(deviation.max()) - value))
    return np.array(gains), np.array(values)


def try_verify(
    game: NormalFormGame,
    profile: Sequence[Array],
    method: str,
    *,
    tol: float = TOLERANCE,
    exact: bool = False,
    details: Mapping[str, Any] | None = None,
) -> Equilibrium | None:
    """The profile as a Nash equilibrium, or None if a player could gain more than `allowed_regret`."""
    mixed = cleaned(profile)
    regret, payoffs = measured(game, mixed)
    if not np.isfinite(regret).all() or (regret > allowed_regret(game, tol)).any():
        return None
    return Equilibrium(
        concept="nash",
        method=method,
        regrets=regret,
        nash_conv=float(regret.sum()),
        profile=mixed,
        support=support_of(mixed),
        degenerate=is_degenerate_at(game, mixed),
        exact=exact,
        payoffs=payoffs[:, None],
        details=dict(details or {}),
    )


def verify(
    game: NormalFormGame,
    profile: Sequence[Array],
    method: str,
    *,
    tol: float = TOLERANCE,
    exact: bool = False,
    details: Mapping[str, Any] | None = None,
) -> Equilibrium:
    """The profile as a Nash equilibrium.

    Raises:
        NotConverged: a player could gain more than `allowed_regret`.
    """
    found = try_verify(game, profile, method, tol=tol, exact=exact, details=details)
    if found is None:
        reached = measured(game, cleaned(profile))[0]
        raise NotConverged(f"{method}: regrets {reached.tolist()} exceed {allowed_regret(game, tol).tolist()}")
    return found


def is_degenerate_at(game: NormalFormGame, profile: Sequence[Array], tol: float = 1e-7) -> bool:
    """Whether the game is degenerate at an equilibrium.

    True where some player has a best reply outside its support, two of its strategies pay everyone the same
    everywhere, or (two players) a strategy has more best replies than it mixes (von Stengel 2007, Definition 3.2).
    """
    payoff = game.scalar()
    slack = allowed_regret(game, tol)
    supports = support_of(profile)
    replies = []
    for i in range(game.num_players):
        deviation = deviation_payoffs(payoff[i], profile, i)
        replies.append(np.flatnonzero(deviation >= deviation.max() - slack[i]))
        if len(np.setdiff1d(replies[i], supports[i])):
            return True
    if len(profile) == 2 and any(len(replies[i]) > len(supports[1 - i]) for i in (0, 1)):
        return True
    return any(_has_clone(payoff, i, slack) for i in range(game.num_players))


def _has_clone(payoff: Array, player: int, slack: Array) -> bool:
    rows = np.moveaxis(payoff, player + 1, 1)  # [P, k_player, others…]
    flat = rows.reshape(rows.shape[0], rows.shape[1], -1)
    unit = np.where(slack > 0, slack, 1.0)[:, None, None]
    vectors = np.moveaxis(flat / unit, 1, 0).reshape(rows.shape[1], -1)
    # Sorting by a fixed generic projection brings clones next to each other.
    order = np.argsort(vectors @ np.cos(np.arange(vectors.shape[1]) + 1.0), kind="stable")
    near = vectors[order]
    return bool((np.abs(np.diff(near, axis=0)).max(axis=1) <= 1.0).any()) if len(near) > 1 else False
