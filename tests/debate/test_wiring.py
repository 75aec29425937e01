"""Every way of learning from a recipe: it runs, resumes exactly, and what it remembers matters."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from debate.dry_run import estimate
from debate.engines.nano.tokenizer import decode
from debate.learning.assigner import CreditAssigner
from debate.preference import base_id, preference_of
from debate.reader import override, parse_yaml
from debate.recipe import parse_recipe
from debate.run.folder import RunFolder
from debate.train import train
from judges.types import Cost

EVIDENCE = """\
name: tiny
agents:
  ann: {kind: nano, rows: 16, learning_rate: 3e-3, weights: {win: 1, validity: 0.5}}
  bob: {kind: nano, rows: 16, learning_rate: 3e-3, weights: {win: 1, validity: 0.5}}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 2}
    seats: {A: ann, B: bob}
    judge: naive_evidence
    data: {adapter: evidence, n: 6, train: {split: train, limit: 64}, test: {split: test, limit: 4}}
training: {updates: 3, groups: 2, group_size: 3, baseline: group}
league: {snapshot_every: 1, self_play: 0.7, meta: uniform, questions: 2}
"""
PLANNED = """\
name: planned
title: Speak by plan
parameters: {}
roles:
  debater:
    seats: [A, B]
    sees: [question, options, answer]
    answers: by_seat
    prompt: {chat: "{question} {answer}", compact: "{answer_index}"}
    options: {high: {chat: Say a lot., compact: "h"}, low: {chat: Say little., compact: "l"}, any: {compact: "a"}}
schedule:
  - {roles: A, phase: open, tokens: 5, options: true}
  - {roles: B, phase: answer, tokens: 5, options: true}
  - {roles: A, phase: close, tokens: 5, options: true}
decision: {by: judge, sees: [question, public]}
rewards:
  win: {rule: win, utility: zero_sum}
  brevity: {rule: brevity, budget: 12}
"""
ANCHOR = {"debater": {"high": 0.2, "low": 0.5, "any": 0.3}}
PLANS = [
    "arenas.debate.protocol=planned.yaml",
    "arenas.debate.parameters={}",
    "agents.ann.weights={brevity: 1}",
    "agents.bob.weights={brevity: 1}",
]
CHEBYSHEV = "{kind: chebyshev, mode: %s, ideal: {win: 1, validity: 1}}"
WAYS = {
    "turns": [
        "training.credit={level: turn, estimator: gae, lambda: 0.8}",
        "agents.ann.scalariser=" + CHEBYSHEV % "esr",
        "agents.bob.scalariser={kind: lagrangian, constraints: {truth: {floor: 1.5}}, rate: 0.5}",
    ],
    "plans": [
        "training.credit={level: plan}",
        "agents.ann.explore={kind: puct, visits: 8}",
        "agents.bob.explore={kind: pikl, prior: anchor.json}",
        *PLANS,
    ],
    "quantiles": ["training.credit={level: turn, estimator: gae, quantiles: 4}"],
    "branches": [
        "training.credit={level: turn, estimator: branch, candidates: 3, turns: 1}",
        "training.group_size=1",
        "training.baseline=leave_one_out",
        "agents.ann.preferences={over: [win, validity], grid: 2}",
        "evaluation={questions: 3}",
        "agents.ann.weights=",
        "agents.bob.scalariser={kind: lexicographic, order: [validity, win], thresholds: {validity: 1}}",
    ],
    "process": [
        "training.baseline=ema",
        "training.process={validity: {weight: 2, until: 2}}",
        "agents.ann.weights={win: 1}",
        "agents.ann.loss=rloo",
        "agents.bob.weights={win: 1, truth: 0.5}",
        "agents.bob.scalariser={kind: chebyshev, mode: ser, ideal: {win: 1, truth: 1}}",
    ],
}


class Stop(Exception):
    """A run interrupted between two updates."""


class Interrupts:
    """Stops the run when its second update is done."""

    def start(self, stage, total):
        self.stage, self.done = stage, 0

    def advance(self, steps=1, note=""):
        self.done += steps
        if self.stage == "train" and self.done == 2:
            raise Stop

    def say(self, line):
        pass


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wiring")
    (folder / "planned.yaml").write_text(PLANNED)
    (folder / "anchor.json").write_text(json.dumps(ANCHOR))
    return folder


def recipe(place, *settings):
    document = override(parse_yaml(EVIDENCE, "tiny.yaml"), settings)
    for agent in document.data["agents"].values():
        if agent.get("weights", 0) is None:
            del agent["weights"]
    return parse_recipe(document, place)


def log(out):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder.open(out).read_log()]


def state(out):
    """Everything the newest checkpoint holds, but the time, as text (so that NaN equals NaN)."""
    found = RunFolder.open(out).checkpoints.latest().checkpoint
    arrays = {name: array.tolist() for name, array in found.arrays.items()}
    return json.dumps([arrays, {k: v for k, v in found.state.items() if k != "seconds"}], sort_keys=True)


@pytest.fixture(scope="module")
def runs(place, tmp_path_factory):
    """A run of each way, made once."""
    made = {}

    def run(way):
        if way not in made:
            made[way] = tmp_path_factory.mktemp("runs") / "run"
            train(recipe(place, *WAYS[way]), made[way])
        return made[way]

    return run


@pytest.mark.parametrize("way", WAYS)
def test_resumed_equals_uninterrupted(way, place, runs, tmp_path):
    with pytest.raises(Stop):
        train(recipe(place, *WAYS[way]), tmp_path / "run", progress=Interrupts())
    train(recipe(place, *WAYS[way]), tmp_path / "run", resume=True)
    assert log(tmp_path / "run") == log(runs(way))
    assert state(tmp_path / "run") == state(runs(way))
    learned = [row for row in log(runs(way)) if row.get("rewards")]
    assert {row["agent"] for row in learned if row["grad_norm"] > 0} == {"ann", "bob"}


@pytest.mark.parametrize("way", ["turns", "plans"])
def test_what_credit_remembers_is_part_of_the_state(way, place, runs, tmp_path, monkeypatch):
    """Weights brought back but critics, multipliers and plan values forgotten: another run."""
    with pytest.raises(Stop):
        train(recipe(place, *WAYS[way]), tmp_path / "run", progress=Interrupts())
    monkeypatch.setattr(CreditAssigner, "load", lambda self, arrays, meta: None)
    train(recipe(place, *WAYS[way]), tmp_path / "run", resume=True)
    assert log(tmp_path / "run")[:-3] == log(runs(way))[:-3]
    assert log(tmp_path / "run") != log(runs(way))


def test_turns_are_credited_by_a_critic_that_is_stored_beside_the_weights(runs):
    rows = [row for row in log(runs("turns")) if row.get("rewards")]
    assert all(set(row["explained"]) == {"utility"} for row in rows if row["agent"] == "ann")
    assert all(set(row["explained"]) == {"win", "truth", "validity"} for row in rows if row["agent"] == "bob")
    kept = RunFolder.open(runs("turns")).checkpoints.snapshot("bob-v3").arrays
    assert kept["critic/evidence_debate/turn/weights"].shape == (65, 3)
    multipliers = [row["multiplier"]["truth"] for row in rows if row["agent"] == "bob"]
    truth = [row["rewards"]["truth"] for row in rows if row["agent"] == "bob"]
    expected = 0.0
    for mean, multiplier in zip(truth, multipliers, strict=True):  # a floor that nobody can reach: it only ever grows
        expected += 0.5 * (1.5 - mean)
        assert multiplier == pytest.approx(expected)


def test_a_critic_may_predict_quantiles(runs):
    kept = RunFolder.open(runs("quantiles")).checkpoints.snapshot("bob-v3").arrays
    assert kept["critic/evidence_debate/turn/weights"].shape == (3, 65, 4)


def test_process_weights_end_exactly_at_zero(runs):
    rows = [row for row in log(runs("process")) if row.get("rewards")]
    assert [row["process_weight"]["validity"] for row in rows if row["agent"] == "ann"] == [2.0, 1.0, 0.0]


def test_branches_share_their_beginning_and_are_not_paid_for_twice(runs):
    with RunFolder.open(runs("branches")).store(read_only=True) as store:
        episodes = {e.match.id: e for e in store.episodes("train/")}
    parents = {name: e for name, e in episodes.items() if name.count("/") == 4}
    forks = {name: e for name, e in episodes.items() if name.count("/") == 6}
    assert len(parents) == 3 * 2 and len(forks) >= 3 * 2 * 2
    for name, episode in forks.items():
        parent, seat_slot, _ = name.rsplit("/", 2)
        seat, slot = seat_slot[0], int(seat_slot[1:])
        own, theirs = episode.transcript.turns, parents[parent].transcript.turns
        begin = [t for t in theirs if t.slot < slot]
        assert [replace(t, cost=Cost()) for t in begin] == list(own[: len(begin)])
        assert all(t.cost.calls == 0 for t in own[: len(begin)]) and own[len(begin)].cost.calls == 1
        assert own[len(begin)].seat == seat


def test_a_dry_run_counts_branches_and_fronts(place):
    """Two learning seats, one turn each, three candidates: four forks a match. Three weights a side of the grid."""
    lines = list(estimate(recipe(place, *WAYS["branches"])))
    counted = {line.split()[0]: int(line[28:].split()[0]) for line in lines}
    assert counted["train"] == 3 * 2 and counted["branches"] == 3 * 2 * 2 * 2
    assert counted["preferences"] == 3 * 3 and counted["evaluate"] == 2 * 3


def test_preferences_are_drawn_told_and_recorded(runs):
    with RunFolder.open(runs("branches")).store(read_only=True) as store:
        episodes = list(store.episodes("train/"))
    told = {}
    for episode in episodes:
        policy = episode.match.seats["A"]
        weights = preference_of(policy)
        assert sum(weights.values()) == pytest.approx(1.0) and base_id(policy).startswith("ann-v")
        assert all(turn.policy == policy for turn in episode.transcript.turns if turn.seat == "A")
        told.setdefault(episode.match.group, set()).add(policy)
    assert all(len(policies) == 1 for policies in told.values())
    assert len({policy.partition("@")[2] for policies in told.values() for policy in policies}) > 3
    first = next(e for e in episodes if e.match.id.count("/") == 4).transcript
    turn = next(t for t in first.turns if t.seat == "A")
    (front,) = RunFolder.open(runs("branches")).read_summary()["fronts"]
    assert [p["weights"]["win"] for p in front["points"]] == [1.0, 0.5, 0.0] and front["questions"] == 3
    assert any(p["dominated"] is False for p in front["points"])
    assert "Told preferences" in (runs("branches") / "report.html").read_text()
    assert decode(turn.prompt_tokens).endswith(turn.policy.partition("@")[2])


def test_guides_remember_what_plans_earned(runs):
    rows = [row for row in log(runs("plans")) if row.get("rewards")]
    values = [row["plan_value"] for row in rows if row["agent"] == "ann"]
    assert set(values[-1]) == {f"debater/{slot}/{plan}" for slot in (0, 4) for plan in range(3)}
    saved = json.loads(state(runs("plans")))[1]["credit"]
    assert sum(saved["ann"]["guide"]["debater/0"]["counts"]) == sum(
        row["rows"] for row in rows if row["agent"] == "ann"
    )
    assert set(saved["ann"]["critics"]) == {"planned/turn", "planned/plan"}
