"""What goes wrong in training, planted in real runs: remedied or told clearly, and the last good state kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from debate.cast import Cast
from debate.engines.tiny import save_tiny
from debate.errors import UserError
from debate.learning import joint_learner, learner
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.joint_learner import Member
from debate.learning.learner import TrainingFailed
from debate.reader import override, parse_yaml
from debate.recipe import parse_recipe
from debate.run.folder import RunFolder
from debate.train import train

KINDS = ["joint", pytest.param("separate", marks=pytest.mark.slow)]
RECIPE = """\
name: tiny_hf
agents:
  ada: &debater {kind: hf, model: MODEL, learning_rate: 1e-2, lora_rank: 4, rows: 8, part_rows: 4, patience: 2,
                 weights: {brevity: 1}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {rounds: 1, words: 90, tokens: 32}
    seats: {A: ada, B: ben}
    judge: constant
    data: {path: questions.jsonl}
training: {updates: 2, groups: 2, group_size: 3, baseline: group}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("faults")
    save_tiny(place / "model")
    rows = [{"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2} for i in range(40)]
    (place / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def recipe(folder, *settings):
    text = RECIPE.replace("MODEL", str(folder / "model"))
    return parse_recipe(override(parse_yaml(text, "tiny_hf.yaml"), settings), folder)


def log(out):
    return [row for row in RunFolder.open(out).read_log() if row.get("rewards")]


def checkpoints(out):
    return sorted(path.name for path in (out / "checkpoints").glob("update-*"))


@pytest.mark.parametrize("kind", KINDS)
def test_agents_on_one_base_learn_together_or_apart_with_the_same_result(kind, folder, tmp_path):
    settings = [f"agents.{name}.learner={kind}" for name in ("ada", "ben")]
    cast = Cast(recipe(folder, *settings))
    assert len(cast.joint) == (1 if kind == "joint" else 0)
    assert {type(one) for one in cast.learners.values()} == {Member if kind == "joint" else AdapterLearner}
    train(recipe(folder, *settings), tmp_path / "run")
    train(recipe(folder), tmp_path / "auto")  # joint, of itself
    for one, other in zip(log(tmp_path / "run"), log(tmp_path / "auto"), strict=True):
        assert one["rewards"] == other["rewards"]
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
    for name in ("ada", "ben"):
        mine, theirs = (
            RunFolder.open(tmp_path / run).checkpoints.snapshot(f"{name}-v2").arrays for run in ("run", "auto")
        )
        assert all(np.abs(mine[key] - theirs[key]).max() < 1e-3 for key in theirs)


def test_a_joint_learner_that_is_not_possible_is_refused(folder):
    for settings, message in (
        (["agents.ada.learner=joint", "agents.ada.epochs=2"], "differ in epochs: 1, 2"),
        (["agents.ada.learner=joint", "agents.ben.learner=separate"], "ben, on the same base"),
        (["agents.ada.lora_rank=8"], "one shape"),
    ):
        with pytest.raises(UserError, match=message):
            Cast(recipe(folder, *settings))
    assert Cast(recipe(folder, "agents.ada.epochs=2")).joint == []  # of itself it learns apart then


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_not_finite_skips_the_step_and_then_stops_the_run(kind, folder, tmp_path, monkeypatch):
    settings = [f"agents.{name}.learner={kind}" for name in ("ada", "ben")] + ["training.updates=4"]
    original, calls = learner.policy_loss, []

    def broken(*arguments, **named):
        calls.append(1)
        result = original(*arguments, **named)
        return result if healthy() else type(result)(*(value * math.nan for value in vars_of(result)))

    def vars_of(result):
        return [getattr(result, name) for name in result.__dataclass_fields__]

    def healthy():
        return checkpoints(tmp_path / "run") == []  # the first update is well, what comes after it is not

    monkeypatch.setattr(learner, "policy_loss", broken)
    if hasattr(joint_learner, "policy_loss"):
        monkeypatch.setattr(joint_learner, "policy_loss", broken)
    with pytest.raises(TrainingFailed, match="2 steps in a row were skipped"):
        train(recipe(folder, *settings), tmp_path / "run")
    assert calls and checkpoints(tmp_path / "run") == ["update-000001", "update-000002"]
    rows = log(tmp_path / "run")
    assert [row["skipped"] for row in rows] == [0, 0, 1, 1]  # both agents, update by update
    run = RunFolder.open(tmp_path / "run").checkpoints
    arrays = run.latest().checkpoint.arrays
    assert all(np.isfinite(array).all() for array in arrays.values())
    monkeypatch.undo()
    summary = train(recipe(folder, *settings), tmp_path / "run", resume=True)  # the last good state goes on
    assert summary["updates"] == 4


def test_an_exploding_gradient_is_skipped_and_named(folder, tmp_path):
    with pytest.raises(TrainingFailed, match=r"gradient norm .* try a smaller lr"):
        train(recipe(folder, "agents.ada.spike=1e-9", "agents.ada.patience=1"), tmp_path / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_out_of_memory_halves_the_part_and_learns_the_same(kind, folder, tmp_path, monkeypatch):
    settings = [f"agents.{name}.learner={kind}" for name in ("ada", "ben")]
    train(recipe(folder, *settings), tmp_path / "whole")
    refused = []
    for module in (learner, joint_learner):
        original = module.unit_logprobs

        def small(model, tensors, *arguments, original=original, **named):
            rows = len(set(tensors.rows.tolist())) if hasattr(tensors, "rows") else 1
            if rows > 2:
                refused.append(rows)
                raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
            return original(model, tensors, *arguments, **named)

        monkeypatch.setattr(module, "unit_logprobs", small)
    train(recipe(folder, *settings), tmp_path / "small")
    assert refused
    for one, other in zip(log(tmp_path / "small"), log(tmp_path / "whole"), strict=True):
        assert one["rewards"] == other["rewards"]
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


def test_an_adapter_that_does_not_fit_is_told_before_a_match_is_played(folder, tmp_path):
    from debate.engines.adapters import AdapterSpec, save_adapter
    from debate.engines.hf import hf_completer

    state = hf_completer(str(folder / "model"), adapter=AdapterSpec(4, 32.0)).policies.first_state(1)
    wide = {name: np.zeros((*array.shape[:-1], array.shape[-1] + 1), np.float32) for name, array in state.items()}
    for name, adapter in (("wide", wide), ("empty", {})):
        import torch

        tensors = {key: torch.as_tensor(value) for key, value in adapter.items()}
        save_adapter(tmp_path / name, tensors, AdapterSpec(4, 32.0), "tiny")
        with pytest.raises(UserError, match="not an adapter of this model"):
            train(recipe(folder, f"agents.ada.start={tmp_path / name}"), tmp_path / f"run_{name}")
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        train(recipe(folder, f"agents.ada.start={tmp_path}"), tmp_path / "none")
