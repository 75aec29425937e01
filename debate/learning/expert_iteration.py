"""Expert iteration: keep the best plays, imitate them, play again.

Anthony et al. 2017 (1705.08439); without tree search, filtered behaviour cloning as in ReST-EM (2312.06585) and STaR
(2203.14465): sample many plays a question, keep the best, fine-tune.

1. `best`: the best fraction of each group by the agent's own weights.
2. `imitate`: maximum likelihood of what they did, with any learner: REINFORCE with advantage 1. A pick is then scored
   over its choices, as it is played; `warm_start.sampled_rows` hands the same plays to TRL's `SFTTrainer` instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from debate.learning.batch import TokenBatch
from debate.learning.learner import Learner
from debate.learning.losses import Loss
from debate.learning.preferences import utility
from debate.learning.samples import Sample
from debate.seeds import derive

LIKELIHOOD = Loss(ratio="none", average="tokens")  # with advantage 1: the mean negative log-likelihood of a unit


def best(
    samples: Iterable[Sample], weights: Mapping[str, float], fraction: float = 0.25, least: float = -math.inf
) -> list[Sample]:
    """The best plays of every group (the same place and group), at least one where any qualifies.

    Ties at the cut are broken by a hash of the episode id: fixed, and no favour to the first played.

    Args:
        samples: of one policy.
        weights: criterion → weight; a play with an unknown criterion among them is never kept.
        fraction: of each group, rounded up.
        least: utility below which nothing is kept, however good it is among its group (for right-or-wrong rewards: 1).

    Returns:
        The kept ones, in the order (episode id, position).

    Raises:
        ValueError: a fraction outside (0, 1], or an unknown criterion.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"best: expected a fraction in (0, 1], got {fraction}")
    groups: dict[Any, list[tuple[float, int, Sample]]] = {}
    for sample in samples:
        value = utility(sample, weights)
        if math.isfinite(value):
            key = (sample.place, sample.group)
            groups.setdefault(key, []).append((-value, derive(0, sample.episode_id), sample))
    kept: list[Sample] = []
    for members in groups.values():
        members.sort(key=lambda member: member[:2])
        kept += [sample for loss, _, sample in members[: math.ceil(fraction * len(members))] if -loss >= least]
    return sorted(kept, key=lambda sample: (sample.episode_id, sample.position))


def imitation_batch(samples: Sequence[Sample], context: int = 0) -> TokenBatch:
    """Plays to imitate as a batch: advantage 1 everywhere.

    Raises:
        ValueError: samples of different policies or without ids, or a row longer than the context.
    """
    return TokenBatch.from_samples(samples, [[1.0] * len(sample.turns) for sample in samples], context)


def imitate(learner: Learner, samples: Sequence[Sample], context: int = 0) -> dict[str, float]:
    """One imitation update of a learner; returns its measurements.

    Args:
        learner: best with `LearnerConfig(loss=LIKELIHOOD)`. A loss with a ratio has the same first step; its clip then
            bounds how far one update goes.
        samples: what to imitate (`best`).
        context: longest row the model can read; 0 = no limit.

    Raises:
        ValueError: nothing to imitate.
    """
    if not samples:
        raise ValueError("imitate: no plays were kept; is `least` above what any play earned?")
    return learner.update(imitation_batch(samples, context))
