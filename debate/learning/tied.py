"""Credit of criteria that are tied to turns: what a turn did not earn takes no part in its advantage.

A first answer that shares in the bonus for improving it is paid for being wrong first (Kumar et al. 2024, Training
language models to self-correct via reinforcement learning, section 5.2). So a criterion may name the phases whose turns
earn it (`turns` in a protocol): every turn then gets an advantage of its own, from the criteria it earns.

Axis letters: N samples, H_n turns of a sample, C criteria.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from debate.learning.samples import Sample
from debate.protocol.spec import DebateProtocol

Array = NDArray[np.float64]
Mask = tuple[bool, ...]


def tied_criteria(protocol: DebateProtocol, weights: Mapping[str, float]) -> list[str]:
    """The criteria that belong to some turns only and weigh something."""
    return [c.name for c in protocol.rewards if c.turns and weights.get(c.name, 0.0) != 0.0]


def earned(
    samples: Sequence[Sample], protocols: Mapping[str, DebateProtocol], weighted: Collection[str]
) -> list[list[Mask]] | None:
    """For each sample and turn: which of the C criteria it earns; None where no weighted criterion is tied to turns.

    Args:
        samples: N samples.
        protocols: by name.
        weighted: criteria that weigh something.
    """
    phases = {
        name: {c.name: c.turns for c in protocol.rewards if c.turns and c.name in weighted}
        for name, protocol in protocols.items()
    }
    if not any(phases.get(sample.protocol) for sample in samples):
        return None
    found = []
    for sample in samples:
        tied = phases.get(sample.protocol, {})
        found.append(
            [tuple(turn.phase in tied.get(c, (turn.phase,)) for c in sample.criteria) for turn in sample.turns]
        )
    return found


def tied_advantages(
    normalised: Array, masks: Sequence[Sequence[Mask]], combine: Callable[[Array], Array]
) -> list[Array]:
    """N arrays [H_n]: each turn's advantage, from the criteria that it earns.

    Args:
        normalised: [N, C] every criterion against its baseline; NaN where not known.
        masks: for each sample and turn, which of the C criteria it earns.
        combine: from [N, C] (NaN: takes no part) to [N] advantages over the batch.

    A turn that nothing known belongs to gets 0: it teaches nothing, and its sample is still used. A sample of which
    nothing at all is known stays NaN.
    """
    distinct = sorted({mask for rows in masks for mask in rows})
    columns = {mask: combine(np.where(np.array(mask), normalised, np.nan)) for mask in distinct}
    result = []
    for n, rows in enumerate(masks):
        own = np.array([columns[mask][n] for mask in rows], dtype=np.float64)
        result.append(np.where(np.isfinite(own), own, 0.0) if np.isfinite(own).any() else own)
    return result
