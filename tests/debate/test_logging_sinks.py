"""Sinks: which numbers of a row they take, what they write, and what is said where one is not there."""

from __future__ import annotations

import math

import pytest

from debate.errors import UserError
from debate.logging import scalars, sinks
from debate.run.folder import RunFolder

ROW = {
    "update": 3,
    "arena": "debate",
    "seat": "A",
    "agent": "alice",
    "rewards": {"win": 0.5, "truth": math.nan},
    "excluded": {},
    "loss": 2,
    "kl": None,
    "note": "text",
    "done": True,
    "population": {"A": ["alice-v0"]},
}
NUMBERS = {"debate/alice/A/rewards/win": 0.5, "debate/alice/A/loss": 2.0}


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run", "name: x", 0)


def test_numbers_are_named_by_their_place_and_what_is_not_known_is_left_out():
    assert scalars(ROW) == NUMBERS
    assert scalars({"update": 1, "arena": "debate", "nash_conv": 0.25}) == {"debate/nash_conv": 0.25}
    assert scalars({"update": 1, "loss": math.inf}) == {}


def events(path):
    """(tag, step, value) of every scalar in a folder of event files, as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(path), size_guidance={"tensors": 0}).Reload()
    return sorted((tag, e.step, e.value) for tag in found.Tags()["scalars"] for e in found.Scalars(tag))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*")
def test_tensorboard_shows_each_update_once_even_after_a_resumption(folder):
    pytest.importorskip("tensorboard")
    (first,) = sinks(["jsonl", "tensorboard"], folder)
    first.log([{**ROW, "update": u} for u in (1, 2, 3)])
    first.close()
    (second,) = sinks(["tensorboard"], folder)
    second.log([{**ROW, "update": 2, "loss": 7}])
    second.close()
    second.close()
    assert events(folder.path / "tensorboard") == [
        ("debate/alice/A/loss", 1, 2.0),
        ("debate/alice/A/loss", 2, 7.0),
        ("debate/alice/A/rewards/win", 1, 0.5),
        ("debate/alice/A/rewards/win", 2, 0.5),
    ]


def test_a_sink_that_is_given_nothing_writes_nothing(folder):
    pytest.importorskip("tensorboard")
    (sink,) = sinks(["tensorboard"], folder)
    sink.log([])
    sink.close()
    assert not (folder.path / "tensorboard").exists()
    with pytest.raises(ValueError, match="its update"):
        sink.log([{"loss": 1.0}])


def test_wandb_keeps_an_offline_run_with_one_id_a_run_folder(folder, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (sink,) = sinks(["wandb"], folder)
    sink.log([ROW, {**ROW, "seat": "B", "loss": 1.0}])
    assert sink._run.offline and sink._run.project == "debate-trainer"
    summary = dict(sink._run.summary)
    assert summary["update"] == 3 and summary["debate/alice/A/loss"] == 2.0 and summary["debate/alice/B/loss"] == 1.0
    name = sink._run.id
    sink.close()
    sink.close()
    assert name and any(p.name.endswith(f"-{name}") for p in (folder.path / "wandb").iterdir())
    assert list((folder.path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb"))


def test_unknown_names_and_missing_packages_are_said_before_anything_is_opened(folder, monkeypatch):
    with pytest.raises(UserError, match="did you mean"):
        sinks(["tensorbord"], folder)
    with pytest.raises(UserError, match="named twice"):
        sinks(["wandb", "wandb"], folder)
    monkeypatch.setattr("debate.logging.sink.find_spec", lambda name: None)
    for name in ("tensorboard", "wandb"):
        with pytest.raises(UserError, match=f"pip install {name}"):
            sinks([name], folder)
    assert sinks(["jsonl"], folder) == sinks([], folder) == []
    assert not (folder.path / "wandb").exists()
