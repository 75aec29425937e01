"""Credit below the episode, with a vector-valued critic: turns (GAE), or plans and the turns they lead (HiPER).

The critic reads the policy's hidden state before each turn. Rewards arrive with the last turn. Letters: N episodes,
H_n turns of one seat, T turns in all, C criteria.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from debate.learning.baselines import codes
from debate.learning.gae import gae_columns, scale_by_place
from debate.learning.hierarchical import hierarchical_advantage
from debate.learning.samples import Sample
from debate.transcript import Turn

Array = NDArray[np.float64]
PLAN = "option"


def is_plan(turn: Turn) -> bool:
    """Whether a turn is a plan move: a pick that says what the next words are to do."""
    return turn.phase == PLAN and turn.option is not None


def plan_turns(turns: Sequence[Turn]) -> NDArray[np.bool_]:
    """[H] which turns choose a plan that a turn of words then carries out; a plan that nothing follows is a turn."""
    plans = [is_plan(turn) for turn in turns]
    return np.array([p and h + 1 < len(plans) and not plans[h + 1] for h, p in enumerate(plans)], dtype=bool)


@dataclass(frozen=True, eq=False)
class TurnColumns:
    """Advantages and the returns that a critic learns from, in the order of the turns.

    Attributes:
        advantages: [T, C], centred and scaled within each place and level; NaN where not known.
        returns: [T, C] discounted return after each turn; NaN where not known.
        plans: [T] which turns choose a plan (none at turn level).
    """

    advantages: Array
    returns: Array
    plans: NDArray[np.bool_]


def turn_columns(
    samples: Sequence[Sample],
    rewards: Array,
    values: Array,
    gamma: float,
    lam: float,
    lam_segment: float | None = None,
    epsilon: float = 1e-4,
) -> TurnColumns:
    """Advantages of all turns of N samples.

    Args:
        samples: N samples.
        rewards: [N, C].
        values: [T, C] before each turn; at plan level the turns that choose a plan have V_high there, all others V_low.
        gamma: discount of a turn of words.
        lam: trace over turns.
        lam_segment: trace over plans; None credits turns alone, plan moves being turns like any other.
        epsilon: added to every spread.
    """
    lengths = [len(sample.turns) for sample in samples]
    cuts = np.cumsum(lengths)[:-1]
    before = np.split(values, cuts)
    place = np.repeat(codes([sample.place for sample in samples]), lengths)
    if lam_segment is None:
        plans = np.zeros(len(values), dtype=bool)
        parts = gae_columns(rewards, before, gamma, lam)
    else:
        own = [plan_turns(sample.turns) for sample in samples]
        plans = np.concatenate(own)
        parts = [_plan_level(r, v, p, gamma, lam, lam_segment) for r, v, p in zip(rewards, before, own, strict=True)]
    returns = np.vstack([_returns(r, p, gamma) for r, p in zip(rewards, np.split(plans, cuts), strict=True)])
    return TurnColumns(scale_by_place(np.vstack(parts), 2 * place + plans, epsilon), returns, plans)


def _returns(reward: Array, plans: NDArray[np.bool_], gamma: float) -> Array:
    """[H, C] γ to the number of turns of words that still follow, times the final reward."""
    words = ~plans
    later = np.cumsum(words[::-1])[::-1] - 1
    result: Array = gamma ** later[:, None].astype(float) * reward
    return result


def _plan_level(
    reward: Array, values: Array, plans: NDArray[np.bool_], gamma: float, lam: float, lam_segment: float
) -> Array:
    """[H, C]: the high level's advantage where a plan is chosen, the low level's elsewhere."""
    words = np.flatnonzero(~plans)
    switches = np.array([h > 0 and plans[h - 1] for h in words])
    led = switches.copy()
    switches[0] = True  # words before any plan are a segment that nobody chose
    out = np.zeros_like(values)
    for c in range(len(reward)):
        low = values[words, c]
        # The boundary's value is read where the plan is chosen; where nobody chose one, at the words themselves.
        high = np.append(np.where(led, values[np.maximum(words - 1, 0), c], low), 0.0)
        arriving = np.zeros(len(words))
        arriving[-1] = reward[c]
        found = hierarchical_advantage(arriving, low, high, switches, gamma, lam, lam_segment)
        out[words, c] = found.low
        chosen = led[found.starts]
        out[words[found.starts[chosen]] - 1, c] = found.high[chosen]
    known: Array = np.where(np.isfinite(reward), out, np.nan)
    return known
