"""The command line end to end, and how it tells a person what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from debate.cli import main

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "runs" / "quickstart.yaml")
TINY = """\
name: tiny
agents:
  ann: {kind: scripted, script: random_legal}
  bea: {kind: scripted, script: greedy_evidence}
arenas:
  debate:
    protocol: evidence_debate
    seats: {A: ann, B: bea}
    judge: naive_evidence
    data: {adapter: evidence, n: 6, limit: 8}
training: {updates: 0, groups: 1, group_size: 1, baseline: ema}
league: {questions: 4}
tournament: {questions: 4, resamples: 20}
evaluation: {questions: 8}
exact: {parameters: {k: 1}, data: {adapter: evidence, n: 4, split: test, limit: 24}}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def wrong(capsys, *arguments):
    """Runs a command that must fail as the user's mistake; returns what it said."""
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("debate: ") and "Traceback" not in captured.err
    return captured.err


def test_help_answers_without_loading_anything_heavy():
    code = (
        "import sys; from debate.cli import parser; parser().format_help();"
        "print([m for m in ('torch', 'numpy', 'yaml', 'rich', 'debate.recipe') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_scripted_run_from_recipe_to_report_and_every_stage_again(tiny, capsys):
    assert main(["train", str(tiny)]) == 0
    out = tiny.parent / "runs" / "out" / "tiny"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["exact_nash_conv"]["after"] > 0 and summary["failures"] == {}
    assert summary["judge_accuracy"]["consultancy"] is None
    assert "report:" in capsys.readouterr().out
    for stage, target in (("tournament", out), ("report", tiny)):
        (out / "report.html").unlink()
        assert main([stage, str(target)]) == 0
        assert (out / "report.html").is_file()
    again = json.loads((out / "summary.json").read_text())
    assert again["nash_conv"] == summary["nash_conv"]
    assert main(["train", str(tiny), "--resume"]) == 0


def test_an_existing_run_is_never_overwritten(tiny, capsys):
    assert main(["train", str(tiny)]) == 0
    assert "give --resume" in wrong(capsys, "train", tiny)
    told = wrong(capsys, "train", tiny, "--resume", "--set", "evaluation.questions=7")
    assert "belongs to another run" in told and "evaluation.questions" in told
    told = wrong(capsys, "train", tiny, "--resume", "--seed", "5")
    assert "seed" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("training: {updates", "trainig: {updates"), "field 'training' is missing"),
        (("updates: 0", "updats: 0"), "training: field 'updates' is missing"),
        (("baseline: ema", "baseline: ema, lr: 1"), "training.lr: unknown field"),
        (("seats: {A: ann, B: bea}", "seats: {A: ann, B: bee}"), 'did you mean "bea"'),
        (("seats: {A: ann, B: bea}", "seats: {A: ann, C: bea}"), "has no such seat"),
        (("protocol: evidence_debate", "protocol: evidence_debat"), 'did you mean "evidence_debate"'),
        (("updates: 0", "updates: many"), "training.updates: expected a whole number, got str 'many'"),
        (("updates: 0", "updates: -1"), "at least 0, got -1"),
        (("judge: naive_evidence", "judge: naive"), "arenas.debate.judge"),
        (("    judge: naive_evidence\n", ""), "is decided by a judge"),
        (("script: random_legal", "script: nobody"), "agents.ann.script: 'nobody' is not known"),
        (("kind: scripted, script: random_legal", "kind: nano"), "a learning agent needs a weight"),
        (
            ("kind: scripted, script: random_legal", "kind: nano, weights: {win: .nan}"),
            "expected a finite number, got nan",
        ),
        (
            ("kind: scripted, script: random_legal", "kind: nano, weights: {wine: 1}"),
            "no arena of this agent has that criterion",
        ),
        (("kind: scripted, script: random_legal", "kind: nano, learning_rate: .inf, weights: {win: 1}"), "finite"),
        (("adapter: evidence, n: 6", "adapter: evidense, n: 6"), 'did you mean "evidence"'),
        (("{adapter: evidence, n: 6, limit: 8}", "{path: nowhere.jsonl}"), "nowhere.jsonl"),
        (("group_size: 1, baseline: ema", "group_size: 1, baseline: group"), "a group of one has no baseline"),
    ],
)
def test_a_mistake_in_a_recipe_is_told_with_file_line_and_field(tiny, capsys, change, message):
    text = TINY.replace(*change)
    assert text != TINY
    tiny.write_text(text)
    told = wrong(capsys, "train", tiny)
    assert message in told
    assert not (tiny.parent / "runs").exists()


def test_other_mistakes(tiny, capsys):
    assert "no such file" in wrong(capsys, "train", "nowhere.yaml")
    assert "expected key=value" in wrong(capsys, "train", tiny, "--set", "updates")
    assert "no run there" in wrong(capsys, "report", tiny.parent)
    assert "no protocol 'deb'" in wrong(capsys, "protocols", "show", "deb")
    (tiny.parent / "bad.jsonl").write_text('{"id": "a", "question": "?"}\n{"id": "b"}\n')
    told = wrong(capsys, "play", "debate_simultaneous", "--data", "bad.jsonl", "--judge", "constant")
    assert "bad.jsonl:2: field 'question' is needed" in told


def test_a_language_model_judge_needs_a_certificate_and_another_family_or_an_admission(tiny, capsys):
    text = TINY.replace("judge: naive_evidence", "judge: {kind: llm, model: smollm2-135m}")
    tiny.write_text(text)
    assert "needs a certificate" in wrong(capsys, "train", tiny)
    text = text.replace("kind: scripted, script: random_legal", "kind: hf, model: smollm2-135m, weights: {win: 1}")
    tiny.write_text("trust: unblessed\n" + text)
    said = wrong(capsys, "train", tiny)
    assert "the judge is of the family 'smollm' that it grades" in said and "same_family" in said
    # Another size of the same family is the same family, also under the maker's name.
    tiny.write_text("trust: unblessed\n" + text.replace("llm, model: smollm2-135m", "llm, model: some/SmolLM3-3B"))
    assert "of the family 'smollm'" in wrong(capsys, "train", tiny)
    # What cannot be told is not independence, until the recipe says it.
    other = text.replace("llm, model: smollm2-135m", "llm, model: some/judge")
    tiny.write_text("trust: unblessed\n" + other)
    said = wrong(capsys, "train", tiny)
    assert "not all known" in said and "judge: some/judge" in said and "say family:" in said
    tiny.write_text("trust: unblessed\n" + other.replace("some/judge", "some/judge, family: SmolLM"))
    assert "of the family 'smollm'" in wrong(capsys, "train", tiny)
    for admitted in ("some/judge, family: granite", "some/Qwen2.5-7B-Instruct"):
        tiny.write_text("trust: unblessed\n" + other.replace("some/judge", admitted))
        assert main(["train", str(tiny), "--dry-run"]) == 0


def test_a_gpu_where_there_is_none_is_refused(tiny, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    tiny.write_text(TINY.replace("kind: scripted, script: random_legal", "kind: nano, device: cuda, weights: {win: 1}"))
    assert "cuda" in wrong(capsys, "train", tiny)


def test_dry_run_counts_and_runs_nothing(tiny, capsys):
    assert main(["train", QUICKSTART, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "10,240 matches" in out and "in all" in out
    assert not (tiny.parent / "runs").exists()


def test_play_shows_a_match(tiny, capsys):
    assert main(["play", "evidence_debate", "--seat", "A=greedy_evidence", "--set", "k=1"]) == 0
    out = capsys.readouterr().out
    assert "seat      A: greedy_evidence-v0" in out and "verdict   naive_evidence: ok" in out
    assert main(["play", "evidence_consultancy", "--agent", "nano"]) == 0
    assert "validity +1.000" in capsys.readouterr().out


def test_protocols_can_be_listed_shown_and_checked(tiny, capsys):
    assert main(["protocols", "list"]) == 0
    listed = capsys.readouterr().out
    assert main(["protocols"]) == 0
    assert capsys.readouterr().out == listed
    assert main(["protocols", "show", "debate_sequential"]) == 0
    assert main(["protocols", "check", str(ROOT / "debate/catalogue/direct.yaml")]) == 0
    out = capsys.readouterr().out
    assert "A and B speak at once, blind to each other" in out and "direct: valid" in out


def test_solving_files(tiny, capsys):
    import games

    games.write_nfg(games.NormalFormGame.bimatrix([[2, 0], [0, 1]], [[1, 0], [0, 2]]), "bos.nfg")
    assert main(["solve", "bos.nfg"]) == 0
    out = capsys.readouterr().out
    assert out.count("(enumerate") == 3 and "0.666667" in out
    folder = Path("runs/out/bos")
    assert {p.name for p in folder.iterdir()} >= {"game.nfg", "payoffs.csv", "equilibria.json", "heatmap.png"}
    assert main(["solve", str(folder / "payoffs.csv"), "--concept", "ce", "--out", "again"]) == 0
    assert "ce 1" in capsys.readouterr().out
    Path("bad.nfg").write_text('NFG 1 R "x" { "a" "b" } { 2 2 }\n1 2 3')
    assert "bad.nfg" in wrong(capsys, "solve", "bad.nfg")
    Path("bad.csv").write_text("strategy_a,strategy_b,player,mean\nx,y,c,1\n")
    assert "player 'c' has no strategy column" in wrong(capsys, "solve", "bad.csv")
