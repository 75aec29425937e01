"""One update of the embedded model: 32 groups of 8 rows with two picks each, as the quickstart makes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.learning._setup import alternate
from debate.engines.nano.model import load_model
from debate.learning.batch import TokenBatch
from debate.learning.layout import lay_out
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn


def samples(groups: int = 32, size: int = 8) -> list[Sample]:
    """Rows of a group have the first prompt in common; the second shows which of six answers the other side gave."""
    rng = np.random.default_rng(0)
    out = []
    for g in range(groups):
        question = tuple(rng.integers(0, 200, 16).tolist())
        choices = [tuple((int(x),) for x in rng.choice(12, count, replace=False)) for count in (9, 8)]
        for i in range(size):
            turns = []
            for slot in range(2):
                k = int(rng.integers(len(choices[slot])))
                heard = (200, int(rng.integers(6)), 201, 202, 203, 204)
                turns.append(
                    Turn("A", "debater", "pick", slot, "a-v0", "", option=k, tokens=choices[slot][k],
                         prompt_tokens=heard if slot else question, logprobs=(-2.0,), choices=choices[slot])
                )  # fmt: skip
            name = f"e{g:03d}{i}"
            out.append(Sample(name, "p", "d", "A", 0, f"g{g}", "a-v0", tuple(turns), ("win",), np.ones(1), ("ok",)))
    return out


def run(model: str, device: str, repeats: int) -> list[dict[str, Any]]:
    rows, advantages = samples(), np.random.default_rng(1).normal(size=256)
    ways = {
        "padded": LearnerConfig(loss=preset("reinforce")),
        "auto": LearnerConfig(loss=preset("reinforce"), layout="auto", layout_width=64),
    }
    learners = [PolicyGradientLearner(load_model(), Policy("a", 0, "nano"), way, device) for way in ways.values()]
    batch = TokenBatch.from_samples(rows, advantages)
    *updates, layout = alternate(
        [
            *(lambda one=learner: one.update(batch) and None for learner in learners),
            lambda: TokenBatch.from_samples(rows, advantages) and None,
        ],
        5 * repeats,
    )
    return [
        {
            "nano update": name,
            "seconds": spent,
            "tokens": lay_out(batch, way.layout, way.layout_width).tokens,
            "padded / this": updates[0] / spent,
            "rows from samples, seconds": layout,
        }
        for (name, way), spent in zip(ways.items(), updates, strict=True)
    ]
