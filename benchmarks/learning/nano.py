"""One update of the embedded model: 256 rows of 24 tokens with two picks each, and laying out the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.learning._setup import alternate
from debate.engines.nano.model import load_model
from debate.learning.batch import TokenBatch
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn


def samples(rows: int = 256) -> list[Sample]:
    rng = np.random.default_rng(0)
    out = []
    for n in range(rows):
        turns = []
        for slot in range(2):
            count = int(rng.integers(6, 10))
            choices = tuple((int(x),) for x in rng.choice(10, count, replace=False)) if count < 10 else ((1,),)
            k = int(rng.integers(count))
            prompt = tuple(rng.integers(0, 200, 16 if slot == 0 else 6).tolist())
            turns.append(
                Turn("A", "debater", "pick", slot, "a-v0", "", option=k, prompt_tokens=prompt, tokens=choices[k],
                     logprobs=(-2.0,), choices=choices)
            )  # fmt: skip
        out.append(Sample(f"e{n:04d}", "p", "d", "A", 0, "g", "a-v0", tuple(turns), ("win",), np.ones(1), ("ok",)))
    return out


def run(model: str, device: str, repeats: int) -> list[dict[str, Any]]:
    rows, advantages = samples(), np.random.default_rng(1).normal(size=256)
    learner = PolicyGradientLearner(load_model(), Policy("a", 0, "nano"), LearnerConfig(loss=preset("ppo")), device)
    batch = TokenBatch.from_samples(rows, advantages)
    update, layout = alternate(
        [lambda: learner.update(batch) and None, lambda: TokenBatch.from_samples(rows, advantages) and None],
        5 * repeats,
    )
    return [{"nano update, seconds": update, "layout, seconds": layout, "rows": batch.rows, "tokens": batch.ids.size}]
