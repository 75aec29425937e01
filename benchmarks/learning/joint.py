"""Joint multi-LoRA update of four agents against four updates one after another (`set_adapter`), same rows."""

from __future__ import annotations

from typing import Any

from benchmarks.learning._setup import NAMES, SHAPES, alternate, config, host_of, samples_of_agent
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.joint_learner import JointLearner
from debate.transcript import Policy


def run(model: str, device: str, repeats: int) -> list[dict[str, Any]]:
    out = []
    # The largest are left out for real models on a CPU: they would take minutes a round.
    shapes = ((1, 1), (2, 2), (4, 3), (16, 4)) if device != "cpu" or model in SHAPES else ((1, 1), (2, 2))
    for episodes, turns in shapes:
        batches = {
            name: TokenBatch.from_samples(*samples_of_agent(name, episodes, seed, turns))
            for seed, name in enumerate(NAMES)
        }
        one, many = host_of(model, device), host_of(model, device)
        weights = {name: one.first_state(seed) for seed, name in enumerate(NAMES)}
        joint = JointLearner(one, {name: (Policy(name, 0, model), config(), weights[name]) for name in NAMES})
        alone = {name: AdapterLearner(many, Policy(name, 0, model), config(), weights[name]) for name in NAMES}

        def together(joint: JointLearner = joint, batches: dict[str, TokenBatch] = batches) -> None:
            joint.update(batches)

        def in_turn(alone: dict[str, AdapterLearner] = alone, batches: dict[str, TokenBatch] = batches) -> None:
            for name, learner in alone.items():
                learner.update(batches[name])

        ours, peer = alternate([together, in_turn], repeats)
        shape = "x".join(map(str, next(iter(batches.values())).ids.shape))
        out.append({"joint, rows x tokens an agent": shape, "ours": ours, "sequential": peer, "ratio": peer / ours})
    return out
