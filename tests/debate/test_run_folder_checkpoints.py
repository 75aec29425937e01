"""Checkpoints are whole or not there."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from debate.run import checkpoint as module
from debate.run.checkpoint import Checkpoints, Damaged

ARRAYS = {
    "alice/weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "alice/steps": np.array(7, dtype=np.int64),
    "baseline": np.array([np.nan, -0.0, np.inf]),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 4), dtype=np.float16),
}
STATE = {"update": 3, "rng": [1 << 60, 2], "opponents": {"alice": ["alice-v1"]}}


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.latest().checkpoint is None
    path = checkpoints.save(3, ARRAYS, STATE)
    assert sorted(p.name for p in path.iterdir()) == ["arrays.safetensors", "complete.json", "state.json"]
    found = checkpoints.latest()
    assert found.warnings == ()
    assert found.checkpoint is not None
    assert (found.checkpoint.update, found.checkpoint.path, found.checkpoint.state) == (3, path, STATE)
    assert found.checkpoint.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        back = found.checkpoint.arrays[name]
        assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("name", ["arrays.safetensors", "state.json", "complete.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path, name: str, how: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, ARRAYS, {"update": 1})
    path = checkpoints.save(2, ARRAYS, {"update": 2}) / name
    content = bytearray(path.read_bytes())
    if how == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 0x10
        path.write_bytes(content if how == "flip" else content[:-3])
    found = checkpoints.latest()
    assert found.checkpoint is not None
    assert found.checkpoint.update == 1
    (warning,) = found.warnings
    assert warning.startswith("skipped ")
    assert "update-000002" in warning


def test_a_crash_at_any_file_operation_leaves_the_last_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash_at(n: int) -> None:
        left = n

        def counted(real):  # type: ignore[no-untyped-def]
            def call(*arguments, **named):  # type: ignore[no-untyped-def]
                nonlocal left
                left -= 1
                if left == 0:
                    raise Crash
                return real(*arguments, **named)

            return call

        monkeypatch.setattr(os, "fsync", counted(os.fsync))
        monkeypatch.setattr(os, "replace", counted(os.replace))
        monkeypatch.setattr(module.shutil, "rmtree", lambda *a, **k: None)  # a dead process tidies nothing up

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, ARRAYS, {"update": 1})
    crashes = 0
    for n in range(1, 20):
        crash_at(n)
        try:
            checkpoints.save(2, ARRAYS, {"update": 2})
        except Crash:
            crashes += 1
        monkeypatch.undo()
        found = checkpoints.latest()
        assert found.checkpoint is not None
        assert found.checkpoint.update == found.checkpoint.state["update"]
        assert found.warnings == ()
        shutil.rmtree(tmp_path / "update-000002", ignore_errors=True)
    assert 4 <= crashes < 19
    assert list(tmp_path.glob(".update-*")) != []
    checkpoints.prune()
    assert [p.name for p in tmp_path.iterdir()] == ["update-000001"]


def test_saving_the_same_again_changes_nothing_and_other_content_replaces(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(1, ARRAYS, {"a": 1})
    before = (path / "arrays.safetensors").stat().st_mtime_ns
    checkpoints.save(1, ARRAYS, {"a": 1})
    assert (path / "arrays.safetensors").stat().st_mtime_ns == before
    checkpoints.save(1, {}, {"a": 2})
    found = checkpoints.latest().checkpoint
    assert found is not None
    assert (found.arrays, found.state) == ({}, {"a": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["update-000001"]


def test_old_checkpoints_are_pruned_and_named_ones_and_snapshots_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for update in range(1, 8):
        checkpoints.save(update, {}, {"update": update})
    checkpoints.save_snapshot("alice-v3", {"w": np.ones(2)}, {"agent": "alice"})
    (tmp_path / "update-000006" / "complete.json").unlink()
    assert checkpoints.prune(keep=2, named={2}) == [1, 3, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "snapshots",
        "update-000002",
        "update-000005",
        "update-000006",  # damaged: newer than what is kept, left to be looked at
        "update-000007",
    ]
    assert checkpoints.snapshots() == ["alice-v3"]
    assert checkpoints.snapshot("alice-v3").arrays["w"].tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="keep: expected 1 or more"):
        checkpoints.prune(keep=0)


def test_what_is_not_there_or_no_name_is_told(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.snapshots() == []
    with pytest.raises(Damaged, match="alice-v9: not whole"):
        checkpoints.snapshot("alice-v9")
    for name in ("../alice", "", ".hidden", "a/b"):
        with pytest.raises(ValueError, match="expected a name"):
            checkpoints.snapshot(name)
    with pytest.raises(ValueError, match="update: expected 0 or more"):
        checkpoints.save(-1, {}, {})
    (tmp_path / "update-000001").mkdir()
    (tmp_path / "update-000001" / "complete.json").write_text(json.dumps({"version": 99}))
    (warning,) = checkpoints.latest().warnings
    assert "not of version 1" in warning


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        Checkpoints(tmp_path).save(1, {}, {"bad": object()})
    assert list(tmp_path.iterdir()) == []
