"""The run folder says how it was made, belongs to one recipe, and is never half written."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from debate.errors import UserError
from debate.run import files
from debate.run.folder import RunFolder, finished
from debate.run.manifest import (
    clean_command,
    differing_keys,
    flat_recipe,
    git_commit,
    hash_file,
    recipe_hash,
    without_secrets,
)

RECIPE = """
# a comment
name: demo
agents:
  - {name: alice, model: nano, lr: 0.003}
  - {name: bob, model: nano}
train: {updates: 4}
"""


def test_a_new_folder_says_how_it_was_made(tmp_path: Path) -> None:
    folder = RunFolder.create(
        tmp_path / "runs" / "demo", RECIPE, 7, argv=["debate", "train"], models={"nano": "ab"}, data={"q.jsonl": "cd"}
    )
    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert manifest["recipe"] == RECIPE
    assert manifest["recipe_hash"] == recipe_hash(RECIPE, 7)
    assert (manifest["seed"], manifest["models"], manifest["data"]) == (7, {"nano": "ab"}, {"q.jsonl": "cd"})
    (session,) = manifest["sessions"]
    assert session["command"] == ["debate", "train"]
    assert session["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"numpy", "torch", "transformers"} <= session["packages"].keys()
    assert {"started", "git_commit", "threads", "thread_settings", "cpus", "platform", "machine"} <= session.keys()
    assert RunFolder.open(folder.path).manifest == manifest


def test_making_a_manifest_loads_no_torch() -> None:
    code = "import sys, debate.run.folder as f; f.make_manifest('a: 1', 0, []); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], timeout=60).returncode == 0


def test_an_existing_run_is_only_gone_on_with_when_asked(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", RECIPE, 7, argv=["one"])
    with pytest.raises(UserError, match="a run is there already; give --resume"):
        RunFolder.create(tmp_path / "run", RECIPE, 7)
    again = RunFolder.create(tmp_path / "run", RECIPE.replace("# a comment", "# another"), 7, resume=True, argv=["two"])
    assert [s["command"] for s in again.manifest["sessions"]] == [["one"], ["two"]]
    again.add_session(["three"])
    assert len(RunFolder.open(tmp_path / "run").manifest["sessions"]) == 3
    assert RunFolder.create(tmp_path / "new", RECIPE, 7, resume=True).path.is_dir()


def test_a_folder_of_another_recipe_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", RECIPE, 7, models={"nano": "ab"})
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    other = RECIPE.replace("0.003", "0.01").replace("updates: 4", "updates: 4, group: 8")
    for resume in (False, True):
        with pytest.raises(UserError) as caught:
            RunFolder.create(tmp_path / "run", other, 8, resume=resume, models={"nano": "ff"})
        assert str(caught.value).splitlines()[1:] == [
            "  recipe, agents.0.lr: 0.003 there, 0.01 now",
            "  recipe, train.group: not set there, 8 now",
            "  seed: 7 there, 8 now",
            "  models, nano: ab there, ff now",
        ]
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(UserError, match=r"holds 'thesis.tex' but no run"):
        RunFolder.create(tmp_path, RECIPE, 7)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: cannot be written"):
        RunFolder.create(tmp_path / "file", RECIPE, 7)
    with pytest.raises(UserError, match="no run there"):
        RunFolder.open(tmp_path)
    with pytest.raises(UserError, match="recipe: not YAML"):
        RunFolder.create(tmp_path / "run", "a: [1", 7)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "damaged"), ("[]", "JSON object"), ('{"version": 9}', "version 9")]
)
def test_a_damaged_manifest_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=message):
        RunFolder.open(tmp_path)


def test_the_order_of_keys_and_comments_is_not_part_of_a_recipe() -> None:
    assert recipe_hash("a: 1\nb: {c: 2, d: [x]}", 0) == recipe_hash("# hi\nb:\n  d: [x]\n  c: 2\na: 1", 0)
    assert recipe_hash("a: 1", 0) != recipe_hash("a: 1", 1)
    assert recipe_hash("a: 1", 0) != recipe_hash("a: '1'", 0)
    assert flat_recipe("a: {}\nb: []\nc: null") == {"a": "{}", "b": "[]", "c": "null"}
    assert differing_keys("a: 1", "a: true") == ["a: 1 there, true now"]


SECRETS = ["sk-proj-abcdefghijklmnop1234", "hf_abcdefghijklmnopqrstuvwxyz123456", "plainvalue99"]


def test_secrets_never_reach_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "an-unremarkable-value")
    recipe = f"""
judge: {{api_key: plainvalue99, model: m}}
other:
  password: "plainvalue99"
  url: http://me:plainvalue99@host/v1
  text: use {SECRETS[0]} or {SECRETS[1]}
  echo: an-unremarkable-value
  api_key_env: MY_API_KEY
  api_key: ${{MY_API_KEY}}
  max_tokens: 128
  base: hf-internal-testing/tiny-random-LlamaForCausalLM
"""
    argv = ["debate", "train", "--api-key", "plainvalue99", "--hf-token=plainvalue99", "--max-tokens", "64", "--set"]
    argv += ["judge.api_key=plainvalue99", "an-unremarkable-value", "--set", "seed=3"]
    folder = RunFolder.create(tmp_path / "run", recipe, 1, argv=argv)
    text = (folder.path / "manifest.json").read_text()
    for secret in [*SECRETS, "an-unremarkable-value"]:
        assert secret not in text
    flat = flat_recipe(folder.manifest["recipe"])
    assert flat["other.api_key_env"] == '"MY_API_KEY"'
    assert flat["other.api_key"] == '"${MY_API_KEY}"'
    assert flat["other.max_tokens"] == "128"
    assert flat["other.base"] == '"hf-internal-testing/tiny-random-LlamaForCausalLM"'
    assert flat["judge.model"] == '"m"'
    assert folder.manifest["sessions"][0]["command"][5:7] == ["--max-tokens", "64"]
    assert folder.manifest["sessions"][0]["command"][-1] == "seed=3"
    assert RunFolder.create(tmp_path / "run", recipe, 1, resume=True).path == folder.path


def test_a_command_line_is_cleaned_word_by_word() -> None:
    argv = ["debate", "--token", "-x-y", "--password=p", "-n", "4", "Authorization: Bearer abc.def"]
    assert clean_command(argv) == [
        "debate",
        "--token",
        "[removed]",
        "--password=[removed]",
        "-n",
        "4",
        "Authorization: Bearer [removed]",
    ]
    assert without_secrets("nothing here: 12") == "nothing here: 12"


def test_the_log_survives_a_crash_and_is_cut_to_a_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", RECIPE, 7)
    assert list(folder.read_log()) == []
    folder.cut_log(3)
    rows = [{"update": u, "agent": a, "loss": 0.1 * u} for u in range(4) for a in ("alice", "bob")]
    folder.log(rows[:4])
    folder.log(rows[4:])
    with folder.log_path.open("a") as file:
        file.write('{"update": 4, "agent": "al')  # the power fails
    assert list(folder.read_log()) == rows
    folder.log([{"update": 4, "loss": math.nan}])
    assert list(folder.read_log()) == [*rows, {"update": 4, "loss": None}]
    folder.cut_log(1)
    assert list(folder.read_log()) == rows[:4]
    folder.log_path.write_text('{"update": 1}\nnonsense\n{"update": 2}\n')
    with pytest.raises(UserError, match=r"log.jsonl:2: not JSON"):
        list(folder.read_log())


def test_a_first_log_line_cut_off_leaves_an_empty_log(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", RECIPE, 7)
    folder.log_path.write_text('{"update": 0, ' + "x" * 9000)
    folder.log([{"update": 0}])
    assert list(folder.read_log()) == [{"update": 0}]


def test_the_summary_is_kept_and_what_is_unknown_is_null(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", RECIPE, 7)
    assert folder.read_summary() is None
    folder.write_summary({"judge_accuracy": {"before": math.nan, "after": 0.75}, "episodes": 3})
    assert folder.read_summary() == {"judge_accuracy": {"before": None, "after": 0.75}, "episodes": 3}
    assert folder.analysis.is_dir()
    with folder.store() as store:
        assert len(store) == 0


def test_a_run_is_finished_when_summary_and_report_are_there(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert finished(path, RECIPE, 7) is None
    folder = RunFolder.create(path, RECIPE, 7)
    assert finished(path, RECIPE, 7) is None
    folder.write_summary({"episodes": 3})
    assert finished(path, RECIPE, 7) is None
    folder.report_path.write_text("<html></html>")
    assert finished(path, RECIPE, 7) == {"episodes": 3}
    assert finished(path, RECIPE, 8) is None
    assert finished(path, RECIPE.replace("0.003", "0.01"), 7) is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "summary.json"
    files.write_atomic(place, "old")

    def broken(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic(place, "new")
    assert place.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_hashes_and_the_commit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: SHA-256 of "abc"
    assert hash_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert git_commit(tmp_path) is None
