"""How far a profile is from a Nash equilibrium: regrets, NashConv, and certificates in exact arithmetic.

NashConv(σ) = Σ_i [max_s u_i(s, σ_−i) − u_i(σ)] (Lanctot et al. 2017, "A unified game-theoretic approach to
multiagent reinforcement learning", eq. 1). Exploitability of a constant-sum game is NashConv / P.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from games import normal_form
from games.normal_form import Array, NormalFormGame

if TYPE_CHECKING:
    from games.equilibria.certificate import Certificate


def regrets(game: Any, profile: Any) -> Array:
    """What each player could gain by its best unilateral deviation.

    Args:
        game: a scalar `NormalFormGame`, or an `ExtensiveGame`.
        profile: P mixed strategies [k_i], or the behavioural policy of an extensive game.

    Returns:
        [P], never negative, in the units of the payoffs.

    Raises:
        ValueError: the game is not scalar, or the profile does not fit it.
    """
    if isinstance(game, NormalFormGame):
        return normal_form.regrets(game, profile)
    from games.extensive.best_response import regrets_tabular

    return np.asarray(regrets_tabular(game, profile), dtype=np.float64)


def nash_conv(game: Any, profile: Any) -> float:
    """Σ_i regret_i: zero exactly at Nash equilibria.

    Args:
        game: a scalar `NormalFormGame`, or an `ExtensiveGame`.
        profile: P mixed strategies [k_i], or the behavioural policy of an extensive game.

    Raises:
        ValueError: the game is not scalar, or the profile does not fit it.
    """
    if isinstance(game, NormalFormGame):
        return float(normal_form.regrets(game, profile).sum())
    from games.extensive.best_response import nash_conv_tabular

    return float(nash_conv_tabular(game, profile))


def is_nash(game: Any, profile: Any, tol: float = 1e-8) -> bool:
    """Whether no player gains more than `tol` (in the units of the payoffs) by deviating alone.

    Raises:
        ValueError: the game is not scalar, the profile does not fit it, or `tol` is negative or not finite.
    """
    if not (np.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol: expected a finite number >= 0, got {tol}")
    return bool(regrets(game, profile).max() <= tol)


def certify(game: NormalFormGame, profile: Sequence[ArrayLike]) -> Certificate:
    """Looks for an exactly rational equilibrium at a floating-point profile and measures it without rounding.

    Payoffs are converted exactly (a double is a rational number). Whatever profile the certificate holds, its
    regrets are exact; `Certificate.is_nash` says whether they are all zero.

    Args:
        game: a scalar game.
        profile: P mixed strategies [k_i] near an equilibrium.

    Raises:
        ValueError: the game is not scalar, or the profile does not fit it.
    """
    from games.equilibria.certificate import certify_profile

    return certify_profile(game, profile)
