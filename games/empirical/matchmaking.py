"""Which matches to play next, so that NashConv is known to ±ε with the fewest.

Rules:

- "adaptive": optimism on both sides. Two players, constant sum: let U and L be the upper and lower ends of the
  confidence sequences, x an optimal row of U and y an optimal column of L. Then value(U) − value(L), the NashConv that
  the best profile can be certified to, is at most Σ x_i y_j (U_ij − L_ij), so narrowing those cells always closes it
  (the optimism of O'Donoghue, Lattimore & Osband 2021, "Matrix games with bandit feedback"). Other games: the cells in
  the gain of each player's most tempting deviation from the equilibrium of the means. A width falls as n^−½, so a
  budget is best spent with counts ∝ (weight · width · n^½)^⅔, filled up from the counts there are.
- "uniform": the cells played least.
- "response_graph_ucb": both ends of every edge of the response graph whose intervals still overlap (Rowland et al.
  2019, "Multiagent evaluation under incomplete information", uniform sampling); once all are apart, the cells played
  least.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from games.empirical.bounds import cell_intervals
from games.empirical.matrix_games import solve_matrix_games
from games.empirical.samples import EmpiricalGame, IntArray
from games.normal_form import Array, NormalFormGame, deviation_payoffs


def next_matches(
    empirical: EmpiricalGame,
    budget: int,
    rule: str = "adaptive",
    delta: float = 0.05,
    payoff_range: tuple[float, float] | None = None,
) -> IntArray:
    """Pure profiles to play next.

    Args:
        empirical: the matches played so far (one objective); failed ones do not count as played.
        budget: how many matches to plan; re-plan after each batch, small batches waste least.
        rule: "adaptive", "uniform" or "response_graph_ucb".
        delta: confidence level of the intervals behind the rule, as in `nash_conv_bounds`.
        payoff_range: as in `nash_conv_bounds`.

    Returns:
        [budget, P] strategy indices, a profile repeated as often as it is to be played. The plan is deterministic.

    Raises:
        ValueError: an unknown rule, a budget below 1, or samples `nash_conv_bounds` would refuse.
    """
    if budget < 1:
        raise ValueError(f"budget: expected at least one match, got {budget}")
    if rule not in _RULES:
        raise ValueError(f"rule: expected one of {sorted(_RULES)}, got {rule!r}")
    low, high = cell_intervals(empirical, delta, payoff_range)
    played = empirical.observed()[:, 0].min(axis=0).astype(np.float64)
    plan = whole_matches(_RULES[rule](low, high, played, budget), budget)
    cells = np.repeat(np.arange(plan.size), plan.reshape(-1))
    return np.stack(np.unravel_index(cells, empirical.shape), axis=1).astype(np.int64)


def certified_gap(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The profile whose NashConv can be certified lowest in zero-sum games known to lie in boxes.

    max_s (U y)_s − min_t (xᵀL)_t separates into two matrix games, so the best x is L's and the best y is U's.

    Args:
        low: [R, m, n] lower ends of player 0's payoffs.
        high: [R, m, n] upper ends.

    Returns:
        gap [R] = value(U) − value(L), rows [R, m], columns [R, n].
    """
    games = len(low)
    rows, columns, values, _ = solve_matrix_games(np.concatenate([high, low]))
    return values[:games] - values[games:], rows[games:], columns[:games]


def adaptive_zero_sum(low: Array, high: Array, played: Array, budget: Array) -> Array:
    """[R, m, n] matches to add (fractional), the rule "adaptive" for R zero-sum games at once."""
    games = len(low)
    rows, columns, _, _ = solve_matrix_games(np.concatenate([high, low]))
    # x and y of the cautious sides are added: the cells they cross are the ones the certified profile itself rests on.
    weight = (rows[:games] + rows[games:])[:, :, None] * (columns[:games] + columns[games:])[:, None, :]
    return fill(weight * (high - low), played, budget)


def fill(reach: Array, played: Array, budget: Array) -> Array:
    """[R, …] matches to add so that Σ reach · (played / (played + added))^½ is least, adding `budget` [R] in all.

    Lagrange: played + added = level · (reach · played^½)^⅔ where that exceeds what is played.
    """
    games = len(reach)
    n = np.maximum(played.reshape(games, -1), 1.0)
    wish = (reach.reshape(games, -1) * np.sqrt(n)) ** (2.0 / 3.0)
    wish = np.where(wish.max(axis=1, keepdims=True) > 0, wish, 1.0)
    have = np.where(wish > 0, played.reshape(games, -1) / np.maximum(wish, 1e-300), np.inf)
    # Cells join in the order of have/wish; the level that spends the budget on the first j of them is closed form.
    order = np.argsort(have, axis=1)
    wished = np.take_along_axis(wish, order, axis=1).cumsum(axis=1)
    held = np.take_along_axis(np.where(wish > 0, played.reshape(games, -1), 0.0), order, axis=1).cumsum(axis=1)
    level = ((budget[:, None] + held) / wished).min(axis=1, keepdims=True)
    return np.asarray(np.clip(level * wish - played.reshape(games, -1), 0.0, None)).reshape(reach.shape)


def evenly(played: Array, budget: Array) -> Array:
    """[R, …] matches to add so that the least played cells catch up: the rule "uniform"."""
    return fill(1.0 / np.sqrt(np.maximum(played, 1.0)), played, budget)


def open_edges(low: Array, high: Array) -> Array:
    """[R, k_0, …] whether a unilateral change of strategy leads to a cell whose interval overlaps.

    Args:
        low: [R, P or 1, k_0, …]; with 1 the payoffs are player 0's of a constant-sum game.
        high: likewise.
    """
    axes = low.ndim - 2
    out = np.zeros((low.shape[0], *low.shape[2:]), dtype=bool)
    for axis in range(axes):
        source = min(axis, low.shape[1] - 1)
        a, b = (np.moveaxis(v[:, source], axis + 1, -1) for v in (low, high))
        overlap = (a[..., :, None] <= b[..., None, :]) & (a[..., None, :] <= b[..., :, None])
        overlap &= ~np.eye(a.shape[-1], dtype=bool)
        out |= np.moveaxis(np.asarray(overlap.any(axis=-1)), -1, axis + 1)
    return out


def whole_matches(wanted: Array, budget: int) -> IntArray:
    """Rounds fractional matches to whole ones that add up to the budget: largest remainders first."""
    flat = wanted.reshape(-1)
    whole = np.floor(flat * budget / flat.sum()).astype(np.int64)
    rest = budget - int(whole.sum())
    whole[np.argsort(-(flat * budget / flat.sum() - whole), kind="stable")[:rest]] += 1
    return np.reshape(whole, wanted.shape)


def _adaptive(low: Array, high: Array, played: Array, budget: int) -> Array:
    spend = np.array([float(budget)])
    if low.shape[0] == 1:
        return np.asarray(adaptive_zero_sum(low, high, played[None], spend)[0])
    from games.equilibria.dispatch import solve

    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    profile = solve(NormalFormGame(middle[:, None]))[0].profile
    assert profile is not None  # a Nash equilibrium is a product profile
    reach = np.zeros(played.shape)
    for i, own in enumerate(profile):
        values, slack = deviation_payoffs(middle[i], profile, i), deviation_payoffs(half[i], profile, i)
        tempting = int((values - values @ own + slack * (1.0 - 2.0 * own) + slack @ own).argmax())
        change = np.abs(np.eye(len(own))[tempting] - own)
        weight = np.ones(())
        for j, p in enumerate(profile):
            weight = np.multiply.outer(weight, change if j == i else p)
        reach += weight * half[i]
    return np.asarray(fill(reach[None], played[None], spend)[0])


def _uniform(low: Array, high: Array, played: Array, budget: int) -> Array:
    return np.asarray(evenly(played[None], np.array([float(budget)]))[0])


def _response_graph_ucb(low: Array, high: Array, played: Array, budget: int) -> Array:
    graph = open_edges(low[None], high[None])[0]
    return graph * 1.0 if graph.any() else _uniform(low, high, played, budget)


_RULES: dict[str, Callable[[Array, Array, Array, int], Array]] = {
    "adaptive": _adaptive,
    "uniform": _uniform,
    "response_graph_ucb": _response_graph_ucb,
}
