"""Experiment (f): what credit makes of self-critique, where a second look helps.

The solver sees a first hint of the answer (one of K, right with probability `first`), answers, looks again (an
independent hint, right with probability `second`), says whether its answer is right, and answers again. Tabular softmax
policies of the three turns learn by policy gradient with a running baseline; what differs is what each turn is paid:

- `turns`: the first answer earns r1 alone; the critique whether its verdict is right plus r2 − r1; the revision
  r2 + α (r2 − r1);
- `leaking`: every turn earns r2 + α (r2 − r1), so the bonus for improving also pays for a worse first answer;
- `final`: every turn earns r2.

A policy that follows the better hint answers right with probability `second` at the end, whatever was said first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.experiments.runner import Job
from debate.seeds import generator

Array = NDArray[np.float64]
CREDIT = ("turns", "leaking", "final")


def play(job: Job) -> list[Mapping[str, float]]:
    """Rows of (episodes, first, final: accuracy of the two answers, fixed, broken: wrong→right and right→wrong)."""
    s = job.settings
    credit, alpha = str(s["credit"]), float(s["alpha"])
    if credit not in CREDIT:
        raise UserError(f"revision: no credit {credit!r}; expected one of {', '.join(CREDIT)}")
    group, updates, rate = int(s["group"]), int(s["updates"]), float(s["rate"])
    rng = generator(job.seed, "revision")
    turns = _Policies(int(s["options"]), float(s["first"]), float(s["second"]))
    rows: list[Mapping[str, float]] = [{"episodes": 0.0, **turns.measure(generator(job.seed, "measure"))}]
    every = max(1, updates // int(s["points"]))
    for update in range(1, updates + 1):
        played = turns.play(group, rng)
        turns.learn(played, _paid(played, credit, alpha), rate)
        if update % every == 0:
            rows.append({"episodes": float(update * group), **turns.measure(generator(job.seed, "measure"))})
    return rows


class _Played:
    """States and actions of the three turns [3, E], and whether answers and verdict were right [E]."""

    def __init__(self, states: NDArray[np.int64], actions: NDArray[np.int64], right: NDArray[np.bool_]) -> None:
        self.states, self.actions = states, actions
        self.r1, self.verdict, self.r2 = (row.astype(float) for row in right)


def _paid(played: _Played, credit: str, alpha: float) -> Array:
    """[3, E] what each turn earns."""
    bonus = played.r2 + alpha * (played.r2 - played.r1)
    if credit == "leaking":
        return np.stack([bonus] * 3)
    if credit == "final":
        return np.stack([played.r2] * 3)
    return np.stack([played.r1, played.verdict + played.r2 - played.r1, bonus])


class _Policies:
    """Softmax tables of the three turns.

    Turn 1 sees the first hint and answers: hint or another option (2 actions). Turn 2 sees whether the second hint
    agrees with its answer (2 states) and says right or wrong. Turn 3 sees both (4 states) and keeps its answer, takes
    the second hint, or goes back to the first (3 actions).
    """

    ACTIONS = (2, 2, 3)
    STATES = (1, 2, 4)

    def __init__(self, options: int, first: float, second: float) -> None:
        self.options, self.first, self.second = options, first, second
        self.logits = [np.zeros((n, a)) for n, a in zip(self.STATES, self.ACTIONS, strict=True)]
        self.logits[0][0, 0] = 1.0  # before training it mostly says what it sees
        self.baseline = [np.full(n, np.nan) for n in self.STATES]

    def play(self, count: int, rng: np.random.Generator) -> _Played:
        """Episodes with the current policies."""
        truth = rng.integers(self.options, size=count)
        hint1, hint2 = (self._hint(truth, share, rng) for share in (self.first, self.second))
        state1 = np.zeros(count, dtype=np.int64)
        act1 = self._act(0, state1, rng)
        other = (hint1 + rng.integers(1, self.options, size=count)) % self.options
        answer1 = np.where(act1 == 0, hint1, other)
        state2 = (hint2 == answer1).astype(np.int64)
        act2 = self._act(1, state2, rng)  # 1: "my answer is right"
        state3 = 2 * state2 + act2
        act3 = self._act(2, state3, rng)
        answer2 = np.choose(act3, [answer1, hint2, hint1])
        right = np.stack([answer1 == truth, (act2 == 1) == (answer1 == truth), answer2 == truth])
        return _Played(np.stack([state1, state2, state3]), np.stack([act1, act2, act3]), right)

    def learn(self, played: _Played, paid: Array, rate: float) -> None:
        """A policy-gradient step of every turn, against a running mean of each state, read before it is updated."""
        for turn, logits in enumerate(self.logits):
            states, actions, base = played.states[turn], played.actions[turn], self.baseline[turn]
            for state in np.unique(states):
                here = states == state
                mean = float(paid[turn, here].mean())
                known = mean if np.isnan(base[state]) else float(base[state])
                advantage = paid[turn, here] - known
                base[state] = 0.95 * known + 0.05 * mean
                p = _softmax(logits[state])
                taken = np.bincount(actions[here], advantage, len(p))
                logits[state] += rate * (taken - p * advantage.sum()) / here.sum()

    def measure(self, rng: np.random.Generator, count: int = 20_000) -> dict[str, float]:
        """Accuracies and changes over fresh episodes."""
        played = self.play(count, rng)
        return {
            "first": float(played.r1.mean()),
            "final": float(played.r2.mean()),
            "fixed": float(((played.r1 == 0) & (played.r2 == 1)).mean()),
            "broken": float(((played.r1 == 1) & (played.r2 == 0)).mean()),
        }

    def _hint(self, truth: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
        wrong = (truth + rng.integers(1, self.options, size=len(truth))) % self.options
        return np.asarray(np.where(rng.random(len(truth)) < share, truth, wrong))

    def _act(self, turn: int, states: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        cumulative = np.cumsum([_softmax(row) for row in self.logits[turn]], axis=1)[states]
        drawn = (rng.random(len(states))[:, None] >= cumulative).sum(axis=1)
        return np.asarray(np.minimum(drawn, self.ACTIONS[turn] - 1))


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())
