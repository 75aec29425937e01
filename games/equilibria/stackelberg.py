"""Optimal commitment of a leader in a two-player game: one linear program for each reply of the follower.

Conitzer & Sandholm (2006), "Computing the optimal strategy to commit to". The follower breaks ties in the leader's
favour (strong Stackelberg equilibrium).
"""

from __future__ import annotations

import numpy as np

from games.equilibria.verification import TOLERANCE, allowed_regret, cleaned
from games.equilibrium import Equilibrium, NotConverged, support_of
from games.normal_form import NormalFormGame, deviation_payoffs


def solve_stackelberg(game: NormalFormGame, *, leader: int = 0, tol: float = TOLERANCE) -> list[Equilibrium]:
    """The strong Stackelberg equilibrium.

    Args:
        game: scalar, two players.
        leader: the player who commits to a mixed strategy, 0 or 1.
        tol: allowed regret of the follower, relative to the range of its payoffs.

    Returns:
        One equilibrium of concept "stackelberg"; regrets are the follower's (the leader's entry is what it would gain
        from a better commitment: zero). `details` holds "leader", "reply" and "value" (of the leader).

    Raises:
        ValueError: the game has not two players, or there is no such leader.
        NotConverged: a linear program failed or its answer did not verify.
    """
    from scipy.optimize import linprog

    payoff = game.scalar()
    if game.num_players != 2:
        raise ValueError(f"stackelberg: expected two players, got {game.num_players}")
    if leader not in (0, 1):
        raise ValueError(f"leader: expected 0 or 1, got {leader!r}")
    follower = 1 - leader
    mine = payoff[leader] if leader == 0 else payoff[leader].T  # [k_leader, k_follower]
    theirs = payoff[follower] if leader == 0 else payoff[follower].T
    # 1. Unit ranges, so that tolerances mean the same in every game.
    low, span = float(theirs.min()), float(np.ptp(theirs))
    unit = (theirs - low) / (span or 1.0)
    k, replies = unit.shape
    best_value, best_commitment, best_reply = -np.inf, None, -1
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    scale = float(np.ptp(mine)) or 1.0
    for reply in range(replies):
        # 2. The best mixture against which `reply` is a best reply, if there is one.
        gains = (unit - unit[:, [reply]]).T
        result = linprog(
            -mine[:, reply] / scale,
            gains,
            np.zeros(replies),
            np.ones((1, k)),
            [1.0],
            (0, None),
            method="highs",
            options=options,
        )
        if result.status == 2:
            continue
        if result.status != 0:
            raise NotConverged(f"stackelberg: {result.message}")
        value = -float(result.fun) * scale
        # 3. The leader takes the best of them; among equals the first reply.
        if value > best_value + 1e-12 * scale:
            best_value, best_commitment, best_reply = value, result.x, reply
    if best_commitment is None:
        raise NotConverged("stackelberg: no reply is a best reply to any commitment")
    x, y = cleaned([best_commitment, np.eye(replies)[best_reply]])
    profile = (x, y) if leader == 0 else (y, x)
    deviation = deviation_payoffs(payoff[follower], profile, follower)
    regret = np.zeros(2)
    regret[follower] = max(0.0, float(deviation.max() - deviation[best_reply]))
    if regret[follower] > allowed_regret(game, tol)[follower]:
        raise NotConverged(f"stackelberg: the follower would gain {regret[follower]:.2e} from another reply")
    values = np.array([float(deviation_payoffs(payoff[i], profile, i) @ profile[i]) for i in (0, 1)])
    ties = int((deviation >= deviation.max() - allowed_regret(game, 1e-7)[follower]).sum())
    return [
        Equilibrium(
            concept="stackelberg",
            method="lp",
            regrets=regret,
            nash_conv=float(regret.sum()),
            profile=profile,
            support=support_of(profile),
            degenerate=ties > len(support_of(profile)[leader]),
            payoffs=values[:, None],
            details={"leader": leader, "reply": best_reply, "value": float(values[leader])},
        )
    ]
