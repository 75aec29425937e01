"""`debate learn`: from a run's store to weights that the next recipe starts from, through the command line."""

from __future__ import annotations

import json

import pytest

from debate.cli import main
from debate.engines.tiny import save_tiny
from debate.recipe import read_recipe
from debate.run.folder import RunFolder
from debate.train import train

NANO = """\
name: small
agents:
  ann: {kind: nano, rows: 16, weights: {win: 1}}
  bob: {kind: scripted, script: greedy_evidence}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    seats: {A: ann, B: bob}
    judge: naive_evidence
    data: {adapter: evidence, n: 4, train: {split: train, limit: 16}, test: {split: test, limit: 2}}
training: {updates: 2, groups: 4, group_size: 4, baseline: group}
"""


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    (folder / "small.yaml").write_text(NANO)
    train(read_recipe(folder / "small.yaml"), folder / "run")
    return folder


TINY = """\
name: tiny_hf
same_family: "a test"
trust: unblessed
agents:
  ada: &debater {{kind: hf, model: {folder}/model, learning_rate: 1e-3, lora_rank: 4, rows: 8, part_rows: 4,
                  weights: {{brevity: 1}}}}
  ben: *debater
arenas:
  debate:
    protocol: debate_simultaneous
    parameters: {{rounds: 1, words: 90, tokens: 48}}
    seats: {{A: ada, B: ben}}
    judge: constant
    data: {{path: "{folder}/questions.jsonl"}}
training: {{updates: 1, groups: 2, group_size: 3, baseline: group}}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A run of two tiny LoRA agents that are paid for brevity."""
    folder = tmp_path_factory.mktemp("learn_hf")
    save_tiny(folder / "model")
    rows = [
        {"id": f"q{i}", "question": f"Is {i} even?", "options": ["yes", "no"], "label": i % 2, "material": "abc"}
        for i in range(40)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tiny.yaml").write_text(TINY.format(folder=folder))
    train(read_recipe(folder / "tiny.yaml"), folder / "run")
    return folder


def record(out):
    return json.loads((out / "learn.json").read_text())


@pytest.mark.parametrize("way", [["expert", "--fraction", "0.5"], ["stored", "--level", "row", "--cap", "5"]])
def test_a_nano_agent_learns_from_its_store_and_a_recipe_starts_there(way, nano, tmp_path, capsys):
    before = {p: p.stat().st_mtime_ns for p in (nano / "run").rglob("*.json")}
    out = tmp_path / "out"
    command = ["learn", way[0], str(nano / "run"), "--agent", "ann", "--out", str(out), *way[1:]]
    assert main([*command, "--epochs", "2", "--lr", "0.002"]) == 0
    assert f"start: {out}" in capsys.readouterr().out
    assert len(record(out)["log"]) == 2 and record(out)["log"][0]["grad_norm"] > 0
    assert {p: p.stat().st_mtime_ns for p in (nano / "run").rglob("*.json")} == before
    summary = train(read_recipe(nano / "small.yaml", [f"agents.ann.start={out}"]), tmp_path / "next")
    assert summary["updates"] == 2
    first, old = (first_weights(folder) for folder in (tmp_path / "next", nano / "run"))
    assert any((first[name] != old[name]).any() for name in old)
    assert main(command) == 2 and "holds something already" in capsys.readouterr().err


def first_weights(folder):
    return RunFolder.open(folder).checkpoints.snapshot("ann-v0").arrays


def test_stored_debates_are_judged_again_where_asked(nano, tmp_path, capsys):
    """Under a judge that never decides every play is worth the same: there is nothing left to learn."""
    command = ["learn", "stored", str(nano / "run"), "--agent", "ann", "--judge", "constant", "--out"]
    assert main([*command, str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert record(tmp_path / "out")["log"][0]["grad_norm"] == pytest.approx(0.0, abs=1e-6)
    command[command.index("constant")] = "recipe"
    assert main([*command, str(tmp_path / "same")]) == 0
    assert record(tmp_path / "same")["log"][0]["grad_norm"] > 0


def test_mistakes_are_told(nano, tmp_path, capsys):
    run, out = str(nano / "run"), str(tmp_path / "out")
    for arguments, message in (
        (["expert", run, "--agent", "anne"], 'did you mean "ann"'),
        (["expert", run, "--agent", "bob"], "only nano and hf agents learn"),
        (["dpo", run, "--agent", "ann"], "use expert"),
        (["expert", run, "--agent", "ann", "--arena", "other"], "no arena 'other'"),
        (["expert", run, "--agent", "ann", "--start", "7"], "did not keep ann-v7"),
        (["expert", run, "--agent", "ann", "--start", "nowhere"], "no such folder"),
        (["expert", run, "--agent", "ann", "--least", "9"], "no play of ann was kept"),
        (["expert", run, "--agent", "ann", "--matches", "eval/"], "no debates"),
        (["expert", run, "--agent", "ann", "--fraction", "2"], "expected a number in (0, 1]"),
        (["expert", str(tmp_path / "none"), "--agent", "ann"], "none"),
    ):
        assert main(["learn", *arguments, "--out", out]) == 2, arguments
        assert message in capsys.readouterr().err, arguments
    recipe = ["train", str(nano / "small.yaml"), "--out", str(tmp_path / "x"), "--set", "agents.ann.start=/nowhere"]
    assert main(recipe) == 2 and "nano.safetensors" in capsys.readouterr().err


@pytest.mark.slow
def test_an_adapter_by_dpo_and_by_imitation_starts_the_next_run(tiny, tmp_path, capsys):
    pytest.importorskip("trl")
    run, common = str(tiny / "run"), ["--agent", "ada", "--steps", "1", "--rows", "2"]
    assert main(["learn", "dpo", run, *common, "--out", str(tmp_path / "dpo")]) == 0
    assert main(["learn", "sft", run, *common, "--out", str(tmp_path / "sft"), "--start", "first"]) == 0
    shown = capsys.readouterr().out
    assert "pairs" in shown and record(tmp_path / "dpo")["pairs"] >= 1 and record(tmp_path / "sft")["rows"] >= 1
    for out in (tmp_path / "dpo", tmp_path / "sft"):
        given = read_recipe(tiny / "tiny.yaml", [f"agents.ada.start={out}", "training.updates=0"])
        train(given, tmp_path / f"next_{out.name}")
    wrong = read_recipe(tiny / "tiny.yaml", [f"agents.ada.start={tmp_path / 'dpo'}", "agents.ada.lora_rank=2"])
    with pytest.raises(ValueError, match="lora_rank"):
        train(wrong, tmp_path / "wrong")


@pytest.mark.slow
def test_a_reward_model_judges_the_next_run(tiny, tmp_path, capsys):
    pytest.importorskip("trl")
    out = tmp_path / "judge"
    command = ["learn", "reward", str(tiny / "run"), "--model", str(tiny / "model"), "--steps", "1", "--out", str(out)]
    assert main(command) == 0 and "kind: learned" in capsys.readouterr().out
    judge = f"arenas.debate.judge={{kind: learned, model: {out}}}"
    summary = train(read_recipe(tiny / "tiny.yaml", [judge, "training.updates=1"]), tmp_path / "next")
    assert any("unblessed" in line for line in summary["admitted"])
