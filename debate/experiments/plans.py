"""Experiment (e), first part: finding a rare best plan beside a decoy.

Sixteen plans; the decoy is worth .6 and has prior .5, the best is worth 1 and has prior .004, the others .3 (noise .1).
A softmax policy starts at that prior and learns from batches of pulls. Exploration is either in the gradient and the
tokens (entropy, bonuses, penalties, ε-mixing), or in the sampler, over plans, with a value memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.experiments.runner import Job
from debate.learning.puct import PlanMemory
from debate.seeds import generator

Array = NDArray[np.float64]
Plans = NDArray[np.int64]
PLANS, BEST, DECOY = 16, 11, 2
NOISE = 0.1


def play(job: Job) -> list[Mapping[str, float]]:
    """Rows of (pulls, reward: expected under the policy, best: its probability of the best plan, found: 0 or 1)."""
    s = job.settings
    pulls, batch, rate = int(s["pulls"]), int(s["batch"]), float(s["rate"])
    rng = generator(job.seed, "plans")
    prior, means = task()
    policy, memory = prior.copy(), PlanMemory(PLANS)
    method = str(s["method"])
    if method not in SAMPLERS:
        raise UserError(f"plans: no method {method!r}; expected one of {', '.join(SAMPLERS)}")
    found = 0.0
    rows: list[Mapping[str, float]] = [_row(0, policy, means, found)]
    for done in range(batch, pulls + 1, batch):
        chosen = SAMPLERS[method](policy, memory, batch, float(s.get("strength", 0.0)), rng, means)
        found = max(found, float(BEST in chosen.plans))
        policy = _towards(policy, chosen, rate)
        rows.append(_row(done, policy, means, found))
    return rows


def task() -> tuple[Array, Array]:
    """[A] prior and [A] mean rewards."""
    prior = np.full(PLANS, (1 - 0.5 - 0.004) / (PLANS - 2))
    prior[DECOY], prior[BEST] = 0.5, 0.004
    means = np.full(PLANS, 0.3)
    means[DECOY], means[BEST] = 0.6, 1.0
    return prior, means


class _Batch:
    """Plans that were followed, and what the policy learns: a gradient of the logits, or a target to move to."""

    def __init__(self, plans: Plans, gradient: Array | None = None, target: Array | None = None) -> None:
        self.plans, self.gradient, self.target = plans, gradient, target


def _towards(policy: Array, batch: _Batch, rate: float) -> Array:
    logits = np.log(policy)
    if batch.target is not None:  # one step of the cross-entropy to the target
        logits = logits + rate * (batch.target - policy)
    else:
        assert batch.gradient is not None
        logits = logits + rate * batch.gradient
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def _earn(plans: Plans, means: Array, rng: np.random.Generator) -> Array:
    return np.asarray(means[plans] + NOISE * rng.standard_normal(len(plans)))


def _policy_gradient(policy: Array, plans: Plans, rewards: Array, weights: Array | None = None) -> Array:
    """Mean of (one-hot − π) × advantage over the batch; the advantage is held against the batch's mean."""
    scale = rewards.std() or 1.0
    advantage = (rewards - rewards.mean()) / scale * (1.0 if weights is None else weights)
    gradient = np.bincount(plans, advantage, PLANS) - policy * advantage.sum()
    return np.asarray(gradient / len(plans))


Sampler = Callable[[Array, PlanMemory, int, float, np.random.Generator, Array], _Batch]


def _plain(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    plans = rng.choice(PLANS, size, p=policy)
    return _Batch(plans, _policy_gradient(policy, plans, _earn(plans, means, rng)))


def _entropy(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    batch = _plain(policy, memory, size, strength, rng, means)
    surprise = -np.log(policy)
    assert batch.gradient is not None
    return _Batch(batch.plans, batch.gradient + strength * policy * (surprise - policy @ surprise))


def _bonus(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    """A novelty bonus strength / √n(plan) in the reward (Strehl and Littman 2008)."""
    plans = rng.choice(PLANS, size, p=policy)
    rewards = _earn(plans, means, rng)
    for plan, reward in zip(plans, rewards, strict=True):
        memory.record(int(plan), float(reward))
    return _Batch(plans, _policy_gradient(policy, plans, rewards + strength / np.sqrt(memory.counts[plans])))


def _penalty(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    """A penalty on plans that the batch repeats."""
    plans = rng.choice(PLANS, size, p=policy)
    repeated = np.bincount(plans, minlength=PLANS)[plans] - 1
    return _Batch(plans, _policy_gradient(policy, plans, _earn(plans, means, rng) - strength * repeated / size))


def _mixing(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    """ε-mixing with the uniform policy, importance weights truncated at 1."""
    behaviour = (1 - strength) * policy + strength / PLANS
    plans = rng.choice(PLANS, size, p=behaviour)
    ratio = np.minimum(policy[plans] / behaviour[plans], 1.0)
    return _Batch(plans, _policy_gradient(policy, plans, _earn(plans, means, rng), ratio))


def _puct(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    prior, plans = task()[0], []
    for _ in range(size):
        plan = memory.choose(prior)
        memory.record(plan, float(_earn(np.array([plan]), means, rng)[0]))
        plans.append(plan)
    return _Batch(np.array(plans), target=memory.target(prior, strength))


def _without_replacement(
    policy: Array, memory: PlanMemory, size: int, strength: float, rng: np.random.Generator, means: Array
) -> _Batch:
    plans = rng.choice(PLANS, min(size, PLANS), replace=False, p=policy)
    for plan, reward in zip(plans, _earn(plans, means, rng), strict=True):
        memory.record(int(plan), float(reward))
    return _Batch(plans, target=memory.target(task()[0], strength))


SAMPLERS: dict[str, Sampler] = {
    "policy_gradient": _plain,
    "entropy": _entropy,
    "bonus": _bonus,
    "penalty": _penalty,
    "mixing": _mixing,
    "puct": _puct,
    "without_replacement": _without_replacement,
}


def _row(pulls: int, policy: Array, means: Array, found: float) -> Mapping[str, float]:
    return {"pulls": float(pulls), "reward": float(policy @ means), "best": float(policy[BEST]), "found": found}
