"""Experiment (g): does the guard catch forgetting, and how often does it cry wolf?

A nano agent learns the evidence debate, and is then trained on while it is paid to lose: the more updates, the more of
its skill is gone. After each the battery (two tasks against a fixed opponent, fixed questions and seeds) is played and
compared with the one before forgetting began. The no-op condition instead makes checkpoints that differ from that start
by a relative noise of 1e-4 in every weight: nothing a user would call forgetting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker, find_script
from debate.cast import Cast
from debate.errors import UserError
from debate.experiments.runner import Job
from debate.league.guard import GuardReport, compare
from debate.learning.batch import TokenBatch
from debate.learning.samples import gather
from debate.play import Arena
from debate.play import play as play_matches
from debate.seeds import derive, generator
from debate.transcript import Match, Policy

Array = NDArray[np.float64]
TASKS = {"as A against a greedy opponent": ("A", "B"), "as B against a greedy opponent": ("B", "A")}


def play(job: Job) -> list[Mapping[str, float]]:
    """Rows of (updates, rolled_back, warned: 0 or 1; change: of the mean score over the tasks).

    For no-op checkpoints `updates` is their number, and the two alarms are running shares.
    """
    s = job.settings
    world = _World(job)
    for _ in range(int(s["lessons"])):
        world.learn(paid=1.0)
    world.remember()
    start = world.battery(world.now)
    rows: list[Mapping[str, float]] = []
    if s["checkpoints"] == "no-op":
        alarms: list[tuple[float, float]] = []
        for k in range(1, int(s["count"]) + 1):
            name = world.noisy(k, float(s["noise"]))
            report = world.compare(start, world.battery(name), k)
            alarms.append((float(report.outcome == "roll_back"), float(report.outcome != "pass")))
            back, any_ = np.mean(alarms, axis=0)
            rows.append(
                {"updates": float(k), "rolled_back": float(back), "warned": float(any_), "change": _change(report)}
            )
        return rows
    if s["checkpoints"] != "forgetting":
        raise UserError(f"guarding: expected checkpoints: forgetting or no-op, got {s['checkpoints']!r}")
    every = int(s["every"])
    for k in range(1, int(s["count"]) + 1):
        for _ in range(every):
            name = world.learn(paid=-1.0)
        report = world.compare(start, world.battery(name), k)
        flags = {"rolled_back": float(report.outcome == "roll_back"), "warned": float(report.outcome != "pass")}
        rows.append({"updates": float(k * every), **flags, "change": _change(report)})
    return rows


def _change(report: GuardReport) -> float:
    return float(np.mean([task.change for task in report.tasks]))


class _World:
    """The agent, its opponents and the tasks."""

    def __init__(self, job: Job) -> None:
        from debate.data import load_questions
        from debate.protocol.load import load_protocol
        from debate.recipe import read_recipe
        from judges.judges.evidence import NaiveEvidenceJudge
        from judges.rules import make_rule

        self.seed, s = job.seed, job.settings
        recipe = read_recipe(job.home / str(s["recipe"]), [], job.seed)
        self.cast = Cast(recipe)
        self.learner = self.cast.learners["pupil"]
        self.start = {name: tensor.clone() for name, tensor in self.learner.weights().items()}
        greedy = Policy("script:greedy_evidence", 0, "scripted")
        self.cast.add(Agent(greedy, ScriptedSpeaker(find_script("greedy_evidence"))))
        protocol = load_protocol("evidence_debate", {"k": 2})
        rules = {name: make_rule(name) for name in ("win", "validity")}
        items = {"adapter": "evidence", "n": 12}
        held_out = load_questions({**items, "split": "test", "limit": int(s["questions"])}, self.seed)
        train = load_questions({**items, "split": "train", "limit": 512}, self.seed)
        questions = {q.id: q for q in [*held_out, *train]}
        self.arena = Arena("guard", protocol, questions, (NaiveEvidenceJudge(),), rules)
        self.held_out, self.train = [q.id for q in held_out], [q.id for q in train]

    def battery(self, policy: str) -> dict[str, Array]:
        """Task → [N] scores: ½ (1 + win) where every pick was legal, else 0."""
        found = {}
        for task, (own, other) in TASKS.items():
            seats = {own: policy, other: "script:greedy_evidence-v0"}
            matches = [Match(f"guard/{task}/{q}", "guard", q, seats) for q in self.held_out]
            found[task] = self._scores(matches, own)
        return found

    def compare(self, before: Mapping[str, Array], after: Mapping[str, Array], k: int) -> GuardReport:
        return compare(before, after, seed=derive(self.seed, "guard", k))

    def noisy(self, k: int, scale: float) -> str:
        """A checkpoint that is the start with a little noise on every weight."""
        import torch

        rng = generator(self.seed, "noise", k)
        weights: dict[str, Any] = {
            n: w * (1.0 + scale * torch.from_numpy(rng.standard_normal(tuple(w.shape))).float())
            for n, w in self.start.items()
        }
        return self._publish(k, weights)

    def remember(self) -> None:
        """Makes the weights as they are now the start."""
        self.start = {name: tensor.clone() for name, tensor in self.learner.weights().items()}

    def learn(self, paid: float) -> str:
        """One more update of self-play in which winning pays `paid`."""
        k = self.learner.updates + 1
        rng = generator(self.seed, "learn", k)
        pair = {"A": self.now, "B": self.now}
        chosen = rng.choice(self.train, 8, replace=False)
        matches = [Match(f"{k}/{q}/{i}", "guard", str(q), pair, group=f"{k}/{q}") for q in chosen for i in range(8)]
        episodes = asyncio.run(play_matches(self.arena, matches, self.cast, derive(self.seed, "learn")))
        samples, _ = gather(episodes, self.now)
        earned = np.array([paid * sample.rewards[sample.criteria.index("win")] for sample in samples])
        seats = [sample.seat for sample in samples]
        for seat in set(seats):  # held against the seat's own mean
            here = np.array([other == seat for other in seats])
            earned[here] -= earned[here].mean()
        self.learner.update(TokenBatch.from_samples(samples, earned))
        return self._publish(1000 + k, self.learner.weights())

    @property
    def now(self) -> str:
        """The version that plays."""
        return self._now

    _now = "pupil-v0"

    def _publish(self, k: int, weights: Mapping[str, Any]) -> str:
        old = self.cast["pupil-v0"]
        policy = Policy("pupil", k, old.policy.base)
        self.cast._completer("pupil-v0").publish(policy.id, weights)
        self.cast.add(Agent(policy, old.speaker))
        self._now = policy.id
        return policy.id

    def _scores(self, matches: list[Match], seat: str) -> Array:
        episodes = asyncio.run(play_matches(self.arena, matches, self.cast, derive(self.seed, "battery")))
        values = []
        for episode in episodes:
            rewards = episode.rewards
            if rewards is None:
                values.append(np.nan)
                continue
            row = dict(zip(rewards.criteria, rewards.values[rewards.seats.index(seat)], strict=True))
            values.append(0.5 * (1.0 + row["win"]) if row["validity"] == 1.0 else 0.0)
        return np.array(values)
