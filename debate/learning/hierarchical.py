"""Two-level credit for plans (HiPER): which plan to follow, and how to carry it out.

A segment starts at a switch and lasts d turns. Low level: GAE within the segment; its last turn bootstraps on V_high at
the next boundary, and the trace is reset there. High level, over segments k:

    δ_k = Σ_{j<d} γ^j r_{start+j} + γ^d V_high(next start) − V_high(start),   A_k = δ_k + γ^d λ_seg A_{k+1}.

Letters: H turns, K segments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from debate.learning.gae import turn_gae

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HierarchicalAdvantage:
    """Advantages of both levels.

    Attributes:
        low: [H] for the words of each turn.
        high: [K] for the choice of each plan.
        starts: [K] turn at which each segment starts.
    """

    low: Array
    high: Array
    starts: NDArray[np.int64]


def hierarchical_advantage(
    rewards: ArrayLike,
    low_values: ArrayLike,
    high_values: ArrayLike,
    switches: ArrayLike,
    gamma: float = 1.0,
    lam: float = 0.9,
    lam_segment: float = 0.9,
) -> HierarchicalAdvantage:
    """Advantages of turns and plans in one episode.

    Args:
        rewards: [H] reward that follows each turn.
        low_values: [H] V_low before each turn, given the plan.
        high_values: [H + 1] V_high before each turn and after the last (0 where it ended); only boundaries count.
        switches: [H] whether a plan is chosen before the turn; the first must be.
        gamma: discount of a turn.
        lam: trace within segments.
        lam_segment: trace over segments.

    Raises:
        ValueError: shapes that do not fit, no turns, or no plan at the first turn.
    """
    r, low = np.asarray(rewards, dtype=np.float64), np.asarray(low_values, dtype=np.float64)
    high, switch = np.asarray(high_values, dtype=np.float64), np.asarray(switches, dtype=bool)
    turns = len(r)
    if r.ndim != 1 or low.shape != (turns,) or high.shape != (turns + 1,) or switch.shape != (turns,):
        raise ValueError(
            f"expected rewards [H], low values [H], high values [H + 1], switches [H]; "
            f"got {r.shape}, {low.shape}, {high.shape}, {switch.shape}"
        )
    if not turns or not switch[0]:
        raise ValueError("a plan must be chosen before the first turn")
    if not 0 <= lam_segment <= 1:
        raise ValueError(f"lam_segment: expected a number in [0, 1], got {lam_segment}")
    starts = np.flatnonzero(switch)
    ends = np.append(starts[1:], turns)

    # 1. Low level: each segment is an episode of its own that ends in the value of the next boundary.
    parts = [turn_gae(r[a:b], np.append(low[a:b], high[b]), gamma, lam) for a, b in zip(starts, ends, strict=True)]

    # 2. High level: a segment is one action of a semi-Markov process.
    advantage = np.zeros(len(starts))
    following = 0.0
    for k in range(len(starts) - 1, -1, -1):
        a, b = int(starts[k]), int(ends[k])
        discount = gamma ** (b - a)
        delta = float(gamma ** np.arange(b - a) @ r[a:b]) + discount * high[b] - high[a]
        following = delta + discount * lam_segment * following
        advantage[k] = following
    return HierarchicalAdvantage(np.concatenate(parts), advantage, starts.astype(np.int64))
