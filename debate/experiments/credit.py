"""Experiment (e), second part: two key turns in twelve.

An episode has twelve turns. At two of them (a plan is chosen there) one of four plans is right; the other turns are
carried out under it, each with two ways to put it that do not matter. The episode succeeds where both plans were
right; every turn also earns noise, as a judge's score of single turns does. What differs is the credit a turn gets:
the episode's return, GAE over turns with a learnt critic, or the hierarchical advantage with a value at each switch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.experiments.runner import Job
from debate.learning.gae import turn_gae
from debate.learning.hierarchical import hierarchical_advantage
from debate.seeds import generator

Array = NDArray[np.float64]
TURNS, KEYS, PLANS, WORDS = 12, (0, 6), 4, 2
RIGHT = (2, 1)
MASTERED = 0.9


def play(job: Job) -> list[Mapping[str, float]]:
    """Rows of (episodes, success: the exact probability that both plans are right, until: episodes until it is .9)."""
    s = job.settings
    episodes, group, rate, noise = int(s["episodes"]), int(s["group"]), float(s["rate"]), float(s["noise"])
    method = str(s["method"])
    if method not in CREDIT:
        raise UserError(f"credit: no method {method!r}; expected one of {', '.join(CREDIT)}")
    rng = generator(job.seed, "credit")
    logits = [np.zeros(PLANS if t in KEYS else WORDS) for t in range(TURNS)]
    critic = _Critic()
    rows: list[Mapping[str, float]] = [{"episodes": 0.0, "success": _success(logits)}]
    until = math.nan
    every = max(1, episodes // group // int(s["points"]))
    for update in range(1, episodes // group + 1):
        actions = np.stack([_draw(logits[t], group, rng) for t in range(TURNS)], axis=1)
        rewards = noise * rng.standard_normal((group, TURNS))
        right = np.all([actions[:, key] == plan for key, plan in zip(KEYS, RIGHT, strict=True)], axis=0)
        rewards[:, -1] += right
        advantages = CREDIT[method](rewards, actions, critic)
        critic.learn(rewards, actions)
        advantages = (advantages - advantages.mean(axis=0)) / (advantages.std() + 1e-4)
        for t in range(TURNS):
            p = _softmax(logits[t])
            taken = np.bincount(actions[:, t], advantages[:, t], len(p))
            logits[t] = logits[t] + rate * (taken - p * advantages[:, t].sum()) / group
        success = _success(logits)
        if success >= MASTERED and math.isnan(until):
            until = float(update * group)
        if update % every == 0:
            rows.append({"episodes": float(update * group), "success": success, "until": until})
    return rows


class _Critic:
    """Tabular values by running means. State before turn t: the turn, and whether the plans so far were right."""

    def __init__(self, decay: float = 0.95) -> None:
        self.decay = decay
        self.low = np.zeros((TURNS + 1, 3))  # by the number of right plans so far, the one of this turn included
        self.high = np.zeros((TURNS + 1, 3))  # before the plan of this turn is chosen

    def states(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[E, H + 1] how many plans were right before each turn, and with the turn's own plan included."""
        hits = np.zeros((len(actions), TURNS), dtype=np.int64)
        for key, plan in zip(KEYS, RIGHT, strict=True):
            hits[:, key] = actions[:, key] == plan
        after = np.cumsum(hits, axis=1)
        before = np.concatenate([np.zeros((len(actions), 1), dtype=np.int64), after], axis=1)
        return before, np.concatenate([after, after[:, -1:]], axis=1)

    def values(self, actions: NDArray[np.int64]) -> tuple[Array, Array]:
        """[E, H] V_low given the plan, [E, H + 1] V_high before each turn (0 at the end)."""
        before, after = self.states(actions)
        turns = np.arange(TURNS + 1)
        high = self.high[turns, before]
        high[:, -1] = 0.0
        return self.low[turns, after][:, :-1], high

    def learn(self, rewards: Array, actions: NDArray[np.int64]) -> None:
        """Moves every visited state's value to the mean return that followed it."""
        returns = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
        before, after = self.states(actions)
        for table, states in ((self.high, before), (self.low, after)):
            for t in range(TURNS):
                for state in np.unique(states[:, t]):
                    mean = returns[states[:, t] == state, t].mean()
                    table[t, state] = self.decay * table[t, state] + (1 - self.decay) * mean


def _episode(rewards: Array, actions: NDArray[np.int64], critic: _Critic) -> Array:
    return np.repeat(rewards.sum(axis=1, keepdims=True), TURNS, axis=1)


def _gae(rewards: Array, actions: NDArray[np.int64], critic: _Critic) -> Array:
    _, high = critic.values(actions)
    return np.stack([turn_gae(r, v, 1.0, 0.9) for r, v in zip(rewards, high, strict=True)])


def _hierarchical(rewards: Array, actions: NDArray[np.int64], critic: _Critic) -> Array:
    low, high = critic.values(actions)
    switches = np.isin(np.arange(TURNS), KEYS)
    out = np.empty_like(rewards)
    for e in range(len(rewards)):
        found = hierarchical_advantage(rewards[e], low[e], high[e], switches, 1.0, 0.9, 0.9)
        out[e] = found.low
        out[e, found.starts] = found.high  # at a switch the action is the plan
    return out


CREDIT: dict[str, Callable[[Array, NDArray[np.int64], _Critic], Array]] = {
    "episode": _episode,
    "turn_gae": _gae,
    "hierarchical": _hierarchical,
}


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def _draw(logits: Array, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice(len(logits), size, p=_softmax(logits))


def _success(logits: list[Array]) -> float:
    return float(np.prod([_softmax(logits[key])[plan] for key, plan in zip(KEYS, RIGHT, strict=True)]))
