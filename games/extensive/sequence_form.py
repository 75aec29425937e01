"""Two-player zero-sum extensive games, solved exactly by one linear program.

D. Koller, N. Megiddo, B. von Stengel, "Fast algorithms for finding randomized strategies in game trees", STOC 1994.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from games.equilibrium import NotConverged
from games.extensive.best_response import regrets_tabular
from games.extensive.sequences import PlayerSequences
from games.extensive.tree import ExtensiveGame
from games.normal_form import Array


class SequenceFormSolution(NamedTuple):
    """An equilibrium of a two-player zero-sum game.

    Attributes:
        value: what player 0 receives.
        policy: [Q] behavioural policy of both players; uniform where a player's own moves never lead.
        regrets: [2] what each player could still gain by a best response, computed from the policy, not by the program.
    """

    value: float
    policy: Array
    regrets: Array


def sequence_form_lp(game: ExtensiveGame, tolerance: float = 1e-7) -> SequenceFormSolution:
    """Solves a two-player zero-sum game of perfect recall.

    With A the payoffs of player 0 by sequences, and Ex = e, Fy = f the realisation-plan constraints of the two players:

    1. maximise f·q over realisation plans x of player 0 and values q, subject to Fᵀq ≤ Aᵀx; player 1's plan is the
       dual solution.
    2. Turn both plans into behavioural policies and verify them with exact best responses.

    Args:
        game: scalar, two players.
        tolerance: largest NashConv accepted, relative to the largest payoff (at least 1).

    Raises:
        ValueError: not two players, not scalar, or not zero-sum.
        NotConverged: the program failed, or its answer is not an equilibrium within `tolerance`.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack

    payoff = game.scalar()
    if game.num_players != 2:
        raise ValueError(f"sequence_form_lp: expected two players, got {game.num_players}")
    scale = max(1.0, float(np.abs(payoff).max()))
    if np.abs(payoff.sum(axis=1)).max() > 1e-9 * scale:
        z = int(np.abs(payoff.sum(axis=1)).argmax())
        raise ValueError(
            f"sequence_form_lp: expected a zero-sum game, got payoffs {payoff[z].tolist()} at terminal {z}"
        )
    row, column = game.sequences
    a = csr_matrix(game.counterfactual_payoffs[0].matrix)
    constraints, other = _plan_constraints(row), _plan_constraints(column)
    n, m = a.shape[0], other.shape[0]
    answer = linprog(
        np.r_[np.zeros(n), -1.0, np.zeros(m - 1)],
        A_ub=hstack([-a.T, other.T], format="csr"),
        b_ub=np.zeros(a.shape[1]),
        A_eq=hstack([constraints, csr_matrix((constraints.shape[0], m))], format="csr"),
        b_eq=np.r_[1.0, np.zeros(constraints.shape[0] - 1)],
        bounds=[(0, None)] * n + [(None, None)] * m,
        method="highs",
    )
    if answer.status != 0:
        raise NotConverged(f"sequence_form_lp: {answer.message}")
    policy = np.concatenate([_behavioural(row, answer.x[:n]), _behavioural(column, -answer.ineqlin.marginals)])
    gaps = regrets_tabular(game, policy)
    if gaps.sum() > tolerance * scale:
        raise NotConverged(
            f"sequence_form_lp: NashConv {gaps.sum():.3g} of the answer is above {tolerance * scale:.3g}"
        )
    return SequenceFormSolution(float(game.expected_payoffs(policy)[0, 0]), policy, gaps)


def _plan_constraints(sequences: PlayerSequences) -> Any:
    """E of Ex = e: the empty sequence weighs 1; each information set passes on the weight of its parent sequence."""
    from scipy.sparse import csr_matrix

    count = len(sequences.owner)
    rows = [np.zeros(1, dtype=np.int64), sequences.owner + 1]
    columns = [np.zeros(1, dtype=np.int64), np.arange(count) + 1]
    signs = [np.ones(1 + count)]
    for level in sequences.levels:
        first = level.infosets
        rows.append(sequences.owner[level.low + first] + 1)
        columns.append(level.parent[first])
        signs.append(-np.ones(len(first)))
    entries = (np.concatenate(signs), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(entries, shape=(1 + len(sequences.first), 1 + count))


def _behavioural(sequences: PlayerSequences, plan: Array) -> Array:
    """[Q_i] the policy of a realisation plan; uniform where the plan never leads."""
    if not sequences.levels:
        return np.zeros(0)
    weights = np.clip(plan[1:], 0.0, None)
    weights[weights < 1e-12] = 0.0  # the solver's rounding, not a choice
    totals = np.add.reduceat(weights, sequences.first)[sequences.owner]
    sizes = np.bincount(sequences.owner)[sequences.owner]
    return np.asarray(np.divide(weights, totals, out=1.0 / sizes, where=totals > 0.0))
