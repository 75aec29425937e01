"""A judge loses its certificate while a run trains under it: its criteria weigh 0, its rewards are in quarantine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from debate.cli import main
from debate.judging_tools.named import model_identity
from debate.learning.credit import assign_credit
from debate.learning.stored import stored_episodes
from debate.progress import Silent
from debate.recipe import read_recipe
from debate.run.folder import RunFolder
from debate.train import train
from debate.withdrawal import checkpoint_of, marks
from judges import Certificate, identify
from judges.charter.gates import Gates
from judges.judges.llm import LLMJudge

RECIPE = """
name: withdrawn
seed: 0
agents:
  alice: {kind: nano, weights: {win: 1, validity: 0.25}}
  bob: {kind: nano, weights: {win: 1, validity: 0.25}}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    seats: {A: alice, B: bob}
    judge: {kind: llm, model: TINY, certificate: judge.json}
    data: {adapter: evidence, n: 3, powers: [0, 1], train: {split: train, limit: 40}, test: {split: test, limit: 4}}
training: {updates: 4, groups: 4, group_size: 2, baseline: group}
league: {snapshot_every: 2, questions: 2}
evaluation: {questions: 2}
"""
TOURNAMENT = "tournament: {questions: 2, resamples: 10}\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch

    from debate.engines.tiny import save_tiny

    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("withdrawn") / "tiny"
    return save_tiny(place, 4096)


def certify(model: Path, path: Path, **changes: object) -> Certificate:
    """A certificate as `bless` would have written it for this model, whatever it is worth."""
    identity = identify(
        LLMJudge(lambda _: None, "Which answer is right?", name=str(model), model=model_identity(str(model), "float32"))
    )
    gates, today = Gates(), datetime.now(UTC).date()
    certificate = Certificate(
        format=2,
        judge=str(model),
        identity=asdict(identity),
        identity_hash=identity.hash,
        labels="0" * 64,
        domains={"all": {"items": 200, "agreements": 180, "lower": 0.85, "constant": 0.5}},
        checks=({"name": "panel", "status": "pass"},),
        attacks=({"attack": "empty", "cases": 149, "flips": 0, "failed": 0, "upper": 0.0199, "confidence": 0.95},),
        baselines={"experts": 0.97, "constant": 0.5, "agreement": 0.9},
        abstention=0.5,
        terms={
            k: getattr(gates, k)
            for k in ("agreement", "attack_rate", "confidence", "panel_agreement", "audit_rate", "audit_floor")
        },
        checkpoints=(0, 100),
        issued=today.isoformat(),
        expires=(today + timedelta(days=5)).isoformat(),
        tentative=False,
        simulated=False,
    )
    certificate = replace(certificate, **changes)
    certificate.save(path)
    return certificate


def withdraw(path: Path, first: int) -> None:
    """What `debate audit` does to the file of a certificate that it revokes."""
    data = json.loads(path.read_text())
    reasons = ["agreement with experts fell under 0.75"]
    path.write_text(json.dumps({"revoked": {"when": "now", "reasons": reasons, "quarantine": [first, 9]}, **data}))


class Revoking(Silent):
    """Revokes the certificate when so many updates are done, as an audit beside the run would."""

    def __init__(self, path: Path, after: int, first: int) -> None:
        self.path, self.after, self.first, self.done, self.said = path, after, first, 0, []

    def start(self, name, total):
        self.stage = name

    def advance(self, count=1, note=""):
        if self.stage == "train" and note:
            self.done += 1
            if self.done == self.after:
                withdraw(self.path, self.first)

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def place(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("TINY", str(model)))
    certify(model, tmp_path / "judge.json")
    return tmp_path


def rows_of(out):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder.open(out).read_log()]


def test_the_weight_freezes_the_rewards_are_quarantined_and_verifiers_go_on(place, monkeypatch, capsys):
    learned = []

    def watched(samples, scalariser, *more):
        learned.append(dict(scalariser.weights))
        return assign_credit(samples, scalariser, *more)

    monkeypatch.setattr("debate.learning.assigner.assign_credit", watched)
    recipe = read_recipe(place / "recipe.yaml")
    progress = Revoking(place / "judge.json", after=2, first=1)
    summary = train(recipe, place / "run", progress=progress)
    # Training went on to its end, and said what happened.
    assert summary["updates"] == 4 and summary["stopped"] is None
    assert any("may not pay any more" in text and "weigh 0 after update 2" in text for text in progress.said)
    assert learned == [{"win": 1.0, "validity": 0.25}] * 4 + [{"validity": 0.25}] * 4
    (gone,) = summary["withdrawn"]
    assert (set(gone["criteria"]), gone["first"], gone["update"]) == ({"win", "truth"}, 1, 2)
    # Rewards before checkpoint 1 are clean; the rest is marked, and whoever learns from the store does not see it.
    folder = RunFolder.open(place / "run")
    with folder.store(read_only=True) as store:
        assert [(one.first, one.update) for one in marks(store)] == [(1, 2)]
        stored = {e.match.id: e for e in store.episodes("train/")}
    hidden = 0
    for episode in stored_episodes(place / "run"):
        whole = stored[episode.match.id].rewards
        win, validity = whole.criteria.index("win"), whole.criteria.index("validity")
        assert episode.rewards.values[:, validity].tolist() == whole.values[:, validity].tolist()
        if checkpoint_of(episode) >= 1:
            hidden += 1
            assert np.isnan(episode.rewards.values[:, win]).all()
            assert {row[win] for row in episode.rewards.status} == {"abstain"}
            assert np.isfinite(whole.values[:, win]).all()  # what was acknowledged is kept
        else:
            assert episode.rewards.values.tolist() == whole.values.tolist()
    assert hidden == gone["quarantined_episodes"] == 3 * 8
    # The report and the terminal say it.
    page = folder.report_path.read_text()
    assert "lost its certificate after update 2" in page and "24 training episodes" in page
    assert main(["train", "recipe.yaml", "--out", "run", "--resume"]) == 0
    assert "lost its certificate after update 2" in capsys.readouterr().out


def test_resumed_equals_uninterrupted(place):
    recipe = read_recipe(place / "recipe.yaml")
    train(recipe, place / "whole", progress=Revoking(place / "judge.json", after=2, first=1))

    class Crash(Revoking):
        def advance(self, count=1, note=""):
            super().advance(count, note)
            if self.stage == "train" and note and self.done == 3:
                raise KeyboardInterrupt

    data = json.loads((place / "judge.json").read_text())
    data.pop("revoked")
    (place / "judge.json").write_text(json.dumps(data))
    with pytest.raises(KeyboardInterrupt):
        train(recipe, place / "parts", progress=Crash(place / "judge.json", after=2, first=1))
    train(recipe, place / "parts", resume=True)
    one, other = (RunFolder.open(place / name).read_summary() for name in ("whole", "parts"))
    for summary in (one, other):
        summary.pop("wall_seconds")
    assert one == other
    assert rows_of(place / "whole") == rows_of(place / "parts")


def test_out_of_range_is_withdrawn_too(model, place):
    certify(model, place / "judge.json", checkpoints=(0, 1))
    summary = train(read_recipe(place / "recipe.yaml"), place / "run")
    (gone,) = summary["withdrawn"]
    assert gone["update"] == 2 and gone["reasons"] == ("policy checkpoint 2 is outside 0 to 1",)
    assert gone["first"] == 0  # no audit ever found these rewards clean


def test_where_nothing_is_left_that_pays_training_stops(place, capsys):
    text = (place / "recipe.yaml").read_text().replace("win: 1, validity: 0.25", "win: 1")
    (place / "recipe.yaml").write_text(text + TOURNAMENT)
    progress = Revoking(place / "judge.json", after=1, first=0)
    summary = train(read_recipe(place / "recipe.yaml"), place / "run", progress=progress)
    assert summary["updates"] == 1
    assert summary["stopped"] == "after update 1: no judge that is left may pay any reward"
    assert "cares about was paid by a judge" in summary["left_out"]["equilibrium"]
    assert summary["nash_conv"] is None
    assert main(["train", "recipe.yaml", "--out", "run", "--resume"]) == 1
    assert "training stopped after update 1" in capsys.readouterr().out
    assert "Training stopped after update 1" in (place / "run" / "report.html").read_text()


def test_at_the_start_there_is_nothing_to_freeze(place, capsys):
    withdraw(place / "judge.json", 0)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 2
    assert "it was revoked" in capsys.readouterr().err


def test_the_certificates_threshold_is_kept_in_training(model, place):
    """Verdicts under it abstain: no reward, no failure."""
    train(read_recipe(place / "recipe.yaml", ["training.updates=1"]), place / "open")
    with RunFolder.open(place / "open").store(read_only=True) as store:
        sure = sorted(max(e.verdicts[0].probabilities) for e in store.episodes("train/"))
    threshold = next((a + b) / 2 for a, b in pairwise(sure) if b - a > 1e-6)
    certify(model, place / "judge.json", abstention=threshold)
    summary = train(read_recipe(place / "recipe.yaml", ["training.updates=1"]), place / "held")
    assert summary["failures"] == {}
    with RunFolder.open(place / "held").store(read_only=True) as store:
        episodes = list(store.episodes("train/"))
    unsure = [e for e in episodes if e.verdicts[0].status == "abstain"]
    assert len(unsure) == sum(p < threshold for p in sure) > 0
    for episode in episodes:
        win = episode.rewards.criteria.index("win")
        abstained = episode.verdicts[0].probabilities is None
        assert np.isnan(episode.rewards.values[:, win]).all() == abstained
        if abstained:
            assert f"is under the certificate's {threshold:.3f}" in episode.verdicts[0].rationale


def test_a_simulated_panel_is_not_taken_silently(model, place, capsys):
    certify(model, place / "judge.json", simulated=True)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert "its panel was SIMULATED" in said and "trust: simulated" in said
    for trust in ("simulated", "unblessed"):
        settings = ["--set", f"trust={trust}", "--set", "training.updates=1"]
        assert main(["train", "recipe.yaml", "--out", trust, *settings]) == 0
        assert "its panel was SIMULATED" in capsys.readouterr().out
        assert "its panel was SIMULATED" in (place / trust / "report.html").read_text()
    # Whatever else is wrong with it is not forgiven by that admission.
    certify(model, place / "judge.json", simulated=True, checkpoints=(5, 9))
    assert main(["train", "recipe.yaml", "--out", "early", "--set", "trust=simulated"]) == 2
    assert "policy checkpoint 0 is outside 5 to 9" in capsys.readouterr().err


def test_the_abstaining_judge_keeps_what_it_measured():
    from judges import AbstainingJudge, Case, ScriptedJudge

    judge = AbstainingJudge(ScriptedJudge(lambda case: [0.6, 0.4], "six"), 0.7)
    verdict = asyncio.run(judge(Case("?", ("a", "b"))))
    assert (verdict.judge, verdict.status, verdict.probabilities) == ("six", "abstain", None)
    assert verdict.scores["confidence"] == 0.6
    assert asyncio.run(AbstainingJudge(judge.judge, 0.6)(Case("?", ("a", "b")))).answer == 0
    with pytest.raises(ValueError, match="threshold"):
        AbstainingJudge(judge.judge, float("inf"))
