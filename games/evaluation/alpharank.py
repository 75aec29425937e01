"""α-rank: the stationary distribution of a noisy evolutionary process over pure profiles.

Omidshafiei et al. (2019), "α-Rank: multi-agent evaluation by evolution". A mutant with strategy r takes over a
population playing s with the Moran fixation probability ρ = (1 − e^−u) / (1 − e^−mu), u = α (f_r − f_s), and 1 / m at
u = 0; the chain moves s → r with probability η ρ, η = 1 / Σ (k_i − 1). Probabilities span thousands of orders of
magnitude when α is large, so they are kept as logarithms and the chain is solved without subtraction (Grassmann,
Taksar & Heyman 1985): every state keeps its relative accuracy, also where the chain falls into several nearly closed
classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from games.equilibria.correlated import joint_regrets
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame

MAX_STATES = 5_000
# Beyond this many e-foldings between the smallest payoff difference and none, the answer is the limit α → ∞.
_DECISIVE = 1e7


def alpharank(
    game: NormalFormGame | ArrayLike,
    alpha: float,
    population_size: int,
    selection: Literal["local", "global"] = "local",
) -> Equilibrium:
    """The α-rank distribution.

    Args:
        game: a scalar game (one population a player, states are pure profiles), or a square table A [k, k] of what
            the row strategy gets against the column strategy (one population, states are strategies).
        alpha: selection intensity ≥ 0, `inf` included (read as the limit).
        population_size: m ≥ 1 (one population: m ≥ 2).
        selection: one population only. "local": u = α (A_rs − A_sr). "global": fitness averages over the population,
            which for A + Aᵀ = c gives u = α m / (m − 1) (A_rs − c / 2).

    Returns:
        An `Equilibrium` of concept "alpharank". `joint` is [k_0, …], or [k] for one population. `regrets` is what fixed
        strategies would gain against it. `details` holds alpha, population_size, selection, and "residual" = max |π C
        − π|.

    Raises:
        ValueError: an argument is out of range, the table is not square, or there are more than 5,000 states.
        NotConverged: the distribution is not stationary to 1e-9.
    """
    m = int(population_size)
    if not alpha >= 0:
        raise ValueError(f"alpha: expected a number >= 0, got {alpha}")
    if m != population_size or m < 1:
        raise ValueError(f"population_size: expected a whole number >= 1, got {population_size}")
    if selection not in ("local", "global"):
        raise ValueError(f'selection: expected "local" or "global", got {selection!r}')
    if isinstance(game, NormalFormGame):
        shape = game.shape
        payoff = game.scalar()
        states = int(np.prod(shape))
        if states > MAX_STATES:
            raise ValueError(f"alpharank: expected at most {MAX_STATES} profiles, got {states}")
        log_rho, moves = _profile_chain(payoff, float(alpha), m), sum(k - 1 for k in shape)
    else:
        table = _square(game)
        shape = (len(table),)
        if m < 2:
            raise ValueError("population_size: expected at least 2 for one population, got 1")
        if len(table) > MAX_STATES:
            raise ValueError(f"alpharank: expected at most {MAX_STATES} strategies, got {len(table)}")
        log_rho, moves = _strategy_chain(table, float(alpha), m, selection), len(table) - 1
    pi = stationary(log_rho)
    # Verification in the linear domain: π C = π, with the diagonal of C left implicit.
    chain = np.exp(log_rho) / max(moves, 1)
    residual = float(np.abs(pi @ chain - pi * chain.sum(axis=1)).max())
    if not residual <= 1e-9:
        raise NotConverged(f"alpharank: the distribution misses stationarity by {residual:.2e}")
    details = {"alpha": float(alpha), "population_size": m, "selection": selection, "residual": residual}
    joint = pi.reshape(shape)
    if isinstance(game, NormalFormGame):
        regret = joint_regrets(game, joint, "cce")
        values = (payoff * joint).reshape(len(payoff), -1).sum(axis=1)
        marginals = [np.moveaxis(joint, i, 0).reshape(k, -1).sum(axis=1) for i, k in enumerate(shape)]
    else:
        fitness = table @ pi
        values = np.array([float(pi @ fitness)])
        regret, marginals = np.array([max(0.0, float(fitness.max() - values[0]))]), [pi]
    return Equilibrium(
        concept="alpharank",
        method="state_reduction",
        regrets=regret,
        nash_conv=float(regret.sum()),
        joint=joint,
        support=tuple(tuple(int(a) for a in np.flatnonzero(p > 1e-9)) for p in marginals),
        payoffs=values[:, None],
        details=details,
    )


def _square(table: ArrayLike) -> Array:
    a = np.asarray(table, dtype=np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.isfinite(a).all():
        raise ValueError(f"alpharank: expected a game or a finite square table, got shape {a.shape}")
    return a


def _strategy_chain(a: Array, alpha: float, m: int, selection: str) -> Array:
    """[k, k] log ρ of moving from the row strategy to the column strategy in one population; −∞ on the diagonal."""
    scale = float(np.abs(a).max())
    total = a + a.T
    constant = float(np.ptp(total)) <= 1e-12 * scale
    if selection == "local":
        log_rho = log_fixation(_settled(a.T - a, scale), alpha, m)  # row s, column r: f_r − f_s = A_rs − A_sr
    elif constant:
        advantage = _settled(a.T - float(total.mean()) / 2.0, scale)
        log_rho = log_fixation(advantage, alpha * (m / (m - 1)), m)
    else:
        log_rho = _log_fixation_global(a, alpha, m, scale)
    np.fill_diagonal(log_rho, -np.inf)
    return log_rho


def _log_fixation_global(a: Array, alpha: float, m: int, scale: float) -> Array:
    """Log fixation probabilities when fitness is the average payoff against the rest of the population.

    ρ = 1 / (1 + Σ_{l=1}^{m−1} Π_{p=1}^{l} e^{−α (f_r(p) − f_s(p))}) with p mutants; the exponents are quadratic in l.
    """
    # 1. Row s, column r. The exponent is −α (linear · l + square · l²) for l = 0 (the leading 1), …, m − 1.
    own, stay, met, meets = np.diag(a)[None, :], np.diag(a)[:, None], a.T, a
    square = _settled((own - met + stay - meets) / (2 * (m - 1)), scale)
    linear = _settled((-own / 2 + met * (m - 0.5) - stay * (m - 1.5) - meets / 2) / (m - 1), scale)
    strength = _capped(alpha, np.stack([square, linear]), 1e-3 * scale)
    size = np.arange(m, dtype=np.float64)
    powers = -strength * np.stack([size, size**2])
    # 2. In blocks of rows, which bounds the memory to about 16 MB.
    log_rho = np.empty_like(a)
    rows = max(1, int(2e6 // (len(a) * m)))
    for first in range(0, len(a), rows):
        block = slice(first, first + rows)
        exponent = np.stack([linear[block], square[block]], axis=-1) @ powers
        top = exponent.max(axis=-1)
        exponent -= top[..., None]
        log_rho[block] = -(top + np.log(np.exp(exponent, out=exponent).sum(axis=-1)))
    return log_rho


def _profile_chain(payoff: Array, alpha: float, m: int) -> Array:
    """[N, N] log ρ between the N pure profiles; −∞ where more than one player, or none, would change."""
    shape = payoff.shape[1:]
    count = int(np.prod(shape))
    cells = np.arange(count).reshape(shape)
    log_rho = np.full((count, count), -np.inf)
    scale = float(np.abs(payoff).max())
    for i in range(len(shape)):
        u = np.moveaxis(payoff[i], i, -1)  # [others…, k_i]
        where = np.moveaxis(cells, i, -1)
        rho = log_fixation(_settled(u[..., None, :] - u[..., :, None], scale), alpha, m)
        rho[..., range(shape[i]), range(shape[i])] = -np.inf
        start, end = np.broadcast_arrays(where[..., :, None], where[..., None, :])
        log_rho[start, end] = np.maximum(log_rho[start, end], rho)
    return log_rho


def _settled(difference: Array, scale: float) -> Array:
    """Differences that are nothing but rounding are ties; a large α must not amplify them."""
    return np.asarray(np.where(np.abs(difference) <= 1e-12 * scale, 0.0, difference), dtype=np.float64)


def _capped(alpha: float, difference: Array, scale: float) -> float:
    size = np.abs(difference)
    real = size[size > 1e-12 * scale]
    return min(alpha, _DECISIVE / float(real.min())) if real.size else 0.0


def log_fixation(advantage: Array, alpha: float, m: int) -> Array:
    """log[(1 − e^−u) / (1 − e^−mu)] for u = alpha · advantage, −log m at u = 0; safe for any size of u."""
    u = _capped(alpha, advantage, 0.0) * advantage
    size = np.abs(u)
    tiny = size < 1e-300
    safe = np.where(tiny, 1.0, size)
    # For u < 0 numerator and denominator are divided by e^|u| and e^m|u|: log ρ = −(m − 1) |u| + the same quotient.
    quotient = np.log(-np.expm1(-safe)) - np.log(-np.expm1(-m * safe))
    log_rho = np.where(tiny, -np.log(m), quotient - np.where(u < 0, (m - 1) * size, 0.0))
    return np.asarray(log_rho, dtype=np.float64)


def stationary(log_rates: Array) -> Array:
    """Stationary distribution [N] of an irreducible chain given the logarithms of its off-diagonal rates [N, N].

    State reduction (Grassmann, Taksar & Heyman 1985): remove states one at a time, keeping the chain watched only on
    the others. The linear domain serves while every departure rate stays far above underflow; else logarithms.
    """
    if len(log_rates) == 1:
        return np.ones(1)
    if not np.isneginf(log_rates).all(axis=1).any() and log_rates[np.isfinite(log_rates)].min() > -200.0:
        pi = _reduce_linear(np.exp(log_rates))
        if pi is not None:
            return pi
    return _reduce_log(log_rates.copy())


def _reduce_linear(rates: Array) -> Array | None:
    count = len(rates)
    departures = np.ones(count)
    for k in range(count - 1, 0, -1):
        out = float(rates[k, :k].sum())
        if not 1e-250 < out < np.inf:
            return None
        departures[k] = out
        rates[:k, :k] += rates[:k, k, None] * (rates[k, :k] / out)
    pi = np.zeros(count)
    pi[0] = 1.0
    for k in range(1, count):
        pi[k] = pi[:k] @ rates[:k, k] / departures[k]
        if pi[k] > 1e100:
            pi[: k + 1] /= pi[k]
    return np.asarray(pi / pi.sum(), dtype=np.float64)


def _reduce_log(rates: Array) -> Array:
    count = len(rates)
    departures = np.zeros(count)
    for k in range(count - 1, 0, -1):
        departures[k] = np.logaddexp.reduce(rates[k, :k])
        passing = rates[:k, k, None] + (rates[k, :k] - departures[k])
        rates[:k, :k] = np.logaddexp(rates[:k, :k], passing)
    log_pi = np.full(count, -np.inf)
    log_pi[0] = 0.0
    for k in range(1, count):
        log_pi[k] = np.logaddexp.reduce(log_pi[:k] + rates[:k, k]) - departures[k]
    pi = np.exp(log_pi - log_pi.max())
    return np.asarray(pi / pi.sum(), dtype=np.float64)
