"""What a judge's errors could do to an equilibrium: robust values, and the error rate at which a conclusion breaks.

Model. In each cell (pair of strategies) the judge calls a win of player 0 a loss with rate f and a loss a win with
rate e, both anywhere in [0, ρ]; cells differ as they like. A measured win probability q then comes from a true one p
with q = p (1 − f) + (1 − p) e, so p lies in [max(0, (q − ρ)/(1 − ρ)), min(1, q/(1 − ρ))] (ends: e = ρ, f = 0 and e = 0,
f = ρ). One common symmetric rate e = f only rescales payoffs around ½ (p − ½ = (q − ½)/(1 − 2e)) and changes no
equilibrium and no ranking: it is the differences between cells that hurt.

Payoffs are win probabilities: constant-sum 1 in [0, 1]. Payoffs that add up to 0 in [−1, 1] are mapped by (1 + u)/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.empirical.matrix_games import solve_matrix_games
from games.empirical.samples import EmpiricalGame
from games.empirical.support_slacks import changed_support
from games.normal_form import Array, NormalFormGame

_HALVINGS = 20  # rates to 5e-7


@dataclass(frozen=True, eq=False)
class JudgeNoise:
    """What `robust_to_judge` found; M flip rates, k_i strategies. All values are player 0's win probabilities.

    Attributes:
        flip_rates: [M].
        value: of the game as measured.
        value_low: [M] the least the value can truly be; what the robust row strategy guarantees.
        value_high: [M] the most it can truly be.
        robust: for each player [M, k_i] the strategy with the best guarantee over all errors within the rate.
        nash_conv: [M] the most NashConv of the measured equilibrium there can truly be.
        profile: the measured equilibrium examined.
        scores: for each player [k_i] mean win probability against uniform opponents; the ranking is by these.
        scores_low: for each player [M, k_i].
        scores_high: for each player [M, k_i].
        support_holds: [M] no error choice found changes the support of the equilibrium.
        ranking_holds: [M] no error choice changes the order of the scores (exact).
        support_breakdown: the least rate at which error choices were found that change the support: an upper bound on
            the true breakdown (a local search); exact for a pure equilibrium; None: none found below ½.
        ranking_breakdown: the least rate at which error choices change the ranking, exact; None: none below ½.
        breakdown_rate: the smaller of both; None where there is neither.
        witness: [k_0, k_1] true win probabilities, reachable at `support_breakdown`, whose support differs.
    """

    flip_rates: Array
    value: float
    value_low: Array
    value_high: Array
    robust: tuple[Array, Array]
    nash_conv: Array
    profile: tuple[Array, Array]
    scores: tuple[Array, Array]
    scores_low: tuple[Array, Array]
    scores_high: tuple[Array, Array]
    support_holds: NDArray[np.bool_]
    ranking_holds: NDArray[np.bool_]
    support_breakdown: float | None
    ranking_breakdown: float | None
    breakdown_rate: float | None
    witness: Array | None


def true_probabilities(measured: ArrayLike, rate: float) -> tuple[Array, Array]:
    """The interval of true win probabilities behind measured ones when both error rates lie in [0, rate].

    Raises:
        ValueError: a rate outside [0, ½).
    """
    if not 0.0 <= rate < 0.5:
        raise ValueError(f"flip rate: expected a number in [0, 0.5), got {rate}: from ½ on a verdict says nothing")
    q = np.asarray(measured, dtype=np.float64)
    return np.clip((q - rate) / (1.0 - rate), 0.0, 1.0), np.clip(q / (1.0 - rate), 0.0, 1.0)


def undo_common_rate(measured: ArrayLike, rate: float) -> Array:
    """True win probabilities if every cell had the same symmetric error rate: ½ + (q − ½)/(1 − 2·rate)."""
    if not 0.0 <= rate < 0.5:
        raise ValueError(f"flip rate: expected a number in [0, 0.5), got {rate}")
    return np.asarray(0.5 + (np.asarray(measured, dtype=np.float64) - 0.5) / (1.0 - 2.0 * rate))


def robust_to_judge(
    game: EmpiricalGame | NormalFormGame, flip_rates: float | Sequence[float] | Array = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
) -> JudgeNoise:
    """How a two-player debate game's conclusions stand up to a judge that errs differently in every cell.

    Args:
        game: two players, one objective, win probabilities (or ±1 payoffs), constant-sum.
        flip_rates: rates ρ in [0, ½) to report at; one or several.

    Raises:
        ValueError: another kind of game, an unplayed cell, or a rate outside [0, ½).
    """
    rates = np.atleast_1d(np.asarray(flip_rates, dtype=np.float64))
    q = win_probabilities(game.normal_form() if isinstance(game, EmpiricalGame) else game)
    x, y = (solution[0] for solution in solve_matrix_games(q[None])[:2])
    boxes = [true_probabilities(q, float(rate)) for rate in rates]
    low, high = np.stack([box[0] for box in boxes]), np.stack([box[1] for box in boxes])
    robust_rows, _, value_low, _ = solve_matrix_games(low)
    _, robust_columns, value_high, _ = solve_matrix_games(high)
    worst = [_worst_nash_conv(a, b, x, y) for a, b in boxes]
    support_rate, witness = _support_breakdown(q, x, y)
    ranking_rate = _ranking_breakdown(q)
    found = [rate for rate in (support_rate, ranking_rate) if rate is not None]
    return JudgeNoise(
        flip_rates=rates,
        value=float(x @ q @ y),
        value_low=value_low,
        value_high=value_high,
        robust=(robust_rows, robust_columns),
        nash_conv=np.array(worst),
        profile=(x, y),
        scores=(q.mean(axis=1), 1.0 - q.mean(axis=0)),
        scores_low=(low.mean(axis=2), 1.0 - high.mean(axis=1)),
        scores_high=(high.mean(axis=2), 1.0 - low.mean(axis=1)),
        support_holds=rates < (np.inf if support_rate is None else support_rate),
        ranking_holds=rates < (np.inf if ranking_rate is None else ranking_rate),
        support_breakdown=support_rate,
        ranking_breakdown=ranking_rate,
        breakdown_rate=min(found) if found else None,
        witness=witness,
    )


def win_probabilities(game: NormalFormGame) -> Array:
    """[k_0, k_1] player 0's win probabilities of a game that has them.

    Raises:
        ValueError: not two players, not constant-sum, or payoffs that are neither in [0, 1] with sum 1 nor in [−1, 1]
            with sum 0.
    """
    payoff = game.scalar()
    if game.num_players != 2 or not game.is_constant_sum():
        raise ValueError("robust_to_judge: expected a constant-sum game of two players, whose payoffs a judge decides")
    total = float(payoff.sum(axis=0).mean())
    if abs(total - 1.0) < 1e-6 and payoff.min() >= -1e-9 and payoff.max() <= 1 + 1e-9:
        return np.asarray(np.clip(payoff[0], 0.0, 1.0))
    if abs(total) < 1e-6 and np.abs(payoff).max() <= 1 + 1e-9:
        return np.asarray(np.clip(0.5 * (1.0 + payoff[0]), 0.0, 1.0))
    raise ValueError(
        "robust_to_judge: expected win probabilities that add up to 1, or payoffs in [−1, 1] that add up to 0; "
        f"got payoffs from {payoff.min():g} to {payoff.max():g} that add up to {total:g}"
    )


def _worst_nash_conv(low: Array, high: Array, x: Array, y: Array) -> float:
    from games.empirical.bounds import box_nash_conv_zero_sum

    return box_nash_conv_zero_sum(low, high, x, y)[1]


def _ranking_breakdown(q: Array) -> float | None:
    """Exact: cells err independently, so two rows change places once their score intervals touch (ties: at once)."""
    rates = [_first_rate(lambda rate, s=scores: _overlap(s, rate)) for scores in (q, 1.0 - q.T)]
    found = [rate for rate in rates if rate is not None]
    return min(found) if found else None


def _overlap(wins: Array, rate: float) -> bool:
    low, high = (bound.mean(axis=1) for bound in true_probabilities(wins, rate))
    order = np.argsort(-wins.mean(axis=1), kind="stable")
    return bool((low[order[:-1]] <= high[order[1:]] + 1e-12).any())


def _first_rate(broken: Any) -> float | None:
    """Least rate in [0, ½) at which a monotone condition holds, by bisection; None where it never does."""
    low, high = 0.0, 0.5 - 1e-9
    if broken(low):
        return 0.0
    if not broken(high):
        return None
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if broken(middle) else (middle, high)
    return high


def _support_breakdown(q: Array, x: Array, y: Array) -> tuple[float | None, Array | None]:
    """Least rate with a reachable game in which the support is another one, and that game."""
    best: list[Any] = [None]

    def broken(rate: float) -> bool:
        game = changed_support(q, x, y, *true_probabilities(q, rate))
        if game is not None:
            best[0] = game
        return game is not None

    return _first_rate(broken), best[0]
