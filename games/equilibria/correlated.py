"""Correlated and coarse correlated equilibria by convex programming over the joint distribution.

Aumann (1974, 1987); Moulin & Vial (1978) for the coarse kind. The selections are maximum welfare, maximum entropy
(Ortiz, Schapire & Kakade 2007) and maximum Gini impurity (Marris et al. 2021, "Multi-agent training beyond zero-sum
with correlated equilibrium meta-solvers").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from games.equilibria.verification import TOLERANCE, allowed_regret
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SELECTIONS = ("max_welfare", "max_entropy", "max_gini")


def solve_ce(game: NormalFormGame, *, select: str | None = None, tol: float = TOLERANCE) -> list[Equilibrium]:
    """One correlated equilibrium; see `solve_cce` for arguments, result and errors."""
    return [_solve(game, "ce", select, tol)]


def solve_cce(game: NormalFormGame, *, select: str | None = None, tol: float = TOLERANCE) -> list[Equilibrium]:
    """One coarse correlated equilibrium.

    Args:
        game: scalar, any number of players.
        select: "max_welfare" (also the meaning of None), "max_entropy" or "max_gini".
        tol: allowed incentive to deviate, relative to the range of a player's payoffs.

    Returns:
        One equilibrium whose `joint` [k_0, …] is the distribution; `regrets` [P] are the largest gains from disobeying
        (for "ce": one recommendation, weighted by its probability; for "cce": committing to one strategy beforehand).

    Raises:
        ValueError: unknown selection.
        NotConverged: the program failed or its answer did not verify.
    """
    return [_solve(game, "cce", select, tol)]


def _solve(game: NormalFormGame, concept: str, select: str | None, tol: float) -> Equilibrium:
    select = "max_welfare" if select is None else select
    if select not in SELECTIONS:
        raise ValueError(f"select: expected one of {SELECTIONS}, got {select!r}")
    payoff = game.scalar()
    # 1. Gains from deviations as a sparse matrix acting on the flattened joint distribution.
    gains, _ = deviation_matrix(game, concept)
    cells = int(np.prod(game.shape))
    welfare = payoff.sum(axis=0).ravel()
    if select == "max_welfare":
        joint = _max_welfare(gains, welfare)
    else:
        from games.equilibria.entropy import Objective, max_entropy_point

        objective: Objective = "entropy" if select == "max_entropy" else "gini"
        joint = max_entropy_point(gains.toarray(), np.zeros(gains.shape[0]), objective)
    joint = np.where(joint > 1e-13, joint, 0.0)
    joint = (joint / joint.sum()).reshape(game.shape)
    # 2. Verification from the payoffs themselves.
    regret = joint_regrets(game, joint, concept)
    if (regret > allowed_regret(game, tol)).any():
        raise NotConverged(
            f"{concept}: gains from deviating {regret.tolist()} exceed {allowed_regret(game, tol).tolist()}"
        )
    values = (payoff * joint).reshape(len(payoff), cells).sum(axis=1)
    support = tuple(
        tuple(int(a) for a in np.flatnonzero(np.moveaxis(joint, i, 0).reshape(k, -1).sum(axis=1) > 1e-9))
        for i, k in enumerate(game.shape)
    )
    return Equilibrium(
        concept=concept,
        method="lp" if select == "max_welfare" else "interior_point",
        regrets=regret,
        nash_conv=float(regret.sum()),
        joint=joint,
        support=support,
        payoffs=values[:, None],
        details={"select": select, "welfare": float(values.sum())},
    )


def _max_welfare(gains: csr_array, welfare: Array) -> Array:
    from scipy.optimize import linprog

    cost = -(welfare - welfare.min()) / (np.ptp(welfare) or 1.0)
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = linprog(
        cost,
        gains,
        np.zeros(gains.shape[0]),
        np.ones((1, len(cost))),
        [1.0],
        (0, None),
        method="highs",
        options=options,
    )
    if result.status != 0:
        raise NotConverged(f"max_welfare: {result.message}")
    return np.asarray(result.x, dtype=np.float64)


def deviation_matrix(game: NormalFormGame, concept: str) -> tuple[csr_array, list[tuple[int, ...]]]:
    """What each deviation gains in each pure profile, in units of the deviating player's payoff range.

    Args:
        game: scalar.
        concept: "ce" (deviations: player, recommended strategy, other strategy) or "cce" (player, strategy).

    Returns:
        Sparse [D, Π k_i], and the D deviations.
    """
    from scipy.sparse import csr_array

    payoff = game.scalar()
    cells = np.arange(int(np.prod(game.shape))).reshape(game.shape)
    span = np.ptp(payoff.reshape(len(payoff), -1), axis=1)
    rows, columns, values = [], [], []
    names: list[tuple[int, ...]] = []
    for i, k in enumerate(game.shape):
        u = np.moveaxis(payoff[i], i, 0).reshape(k, -1) / (span[i] or 1.0)  # [k_i, others]
        where = np.moveaxis(cells, i, 0).reshape(k, -1)
        for told in range(k) if concept == "ce" else [None]:
            for other in range(k):
                if told == other:
                    continue
                gain = (u[other] - u[told]) if told is not None else (u[other][None] - u).ravel()
                cell = where[told] if told is not None else where.ravel()
                rows.append(np.full(gain.size, len(names)))
                columns.append(cell)
                values.append(gain)
                names.append((i, other) if told is None else (i, told, other))
    if not names:
        return csr_array((0, cells.size)), names
    index = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(values), index), shape=(len(names), cells.size)), names


def joint_regrets(game: NormalFormGame, joint: Array, concept: str) -> Array:
    """[P] each player's largest gain from one deviation that the concept forbids, never negative."""
    payoff = game.scalar()
    worst = []
    for i, k in enumerate(game.shape):
        u = np.moveaxis(payoff[i], i, 0).reshape(k, -1)
        p = np.moveaxis(joint, i, 0).reshape(k, -1)
        told = p @ u.T  # [told, other]: payoff of `other` when told, weighted by the recommendation's probability
        kept = np.diag(told)
        gain = told - kept[:, None] if concept == "ce" else (told.sum(axis=0) - kept.sum())[None]
        worst.append(max(0.0, float(gain.max())))
    return np.array(worst)
