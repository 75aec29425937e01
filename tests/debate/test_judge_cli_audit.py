"""The audit of a run whose questions have no known answers: verdicts are drawn, labelled by people, and read."""

from __future__ import annotations

import builtins
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from debate.cli import main
from judges import Certificate, NaiveEvidenceJudge, identify

RECIPE = """
name: unlabelled
seed: 0
agents:
  reveals: {kind: scripted, script: greedy_evidence}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    seats: {A: reveals, B: reveals}
    judge: naive_evidence
    data: {train: {path: train.jsonl}, test: {path: test.jsonl}}
training: {updates: 3, groups: 20, group_size: 2, baseline: group}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of scripted debaters before the naive judge, and a certificate that lets much of it be audited."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("DEBATE_HOME", str(place / "home"))
        _make()
    return place


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of it."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DEBATE_HOME", str(tmp_path / "home"))
    return tmp_path / "copy"


def _make():
    for name, first in (("train", 0), ("test", 500)):
        rows = [
            {
                "id": f"q{i}",
                "question": f"Positive or negative, sum {i}?",
                "options": ["positive", "negative"],
                "items": ["+3", "-2" if i % 2 else "-4", "+1"],
            }
            for i in range(first, first + 40)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("recipe.yaml").write_text(RECIPE)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 0
    simulated = [{"id": f"s{i}", "question": f"s {i}", "options": ["yes", "no"], "label": i % 2} for i in range(160)]
    Path("cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in simulated))
    assert main(["label", "cases.jsonl", "--ledger", "panel.sqlite", "--simulate", "3"]) == 0
    gauge = ["gauge", "simulated:0.95", "--labels", "cases.jsonl", "--ratings", "panel.sqlite", "--blind"]
    gates = ["--no-own-texts", "--gate", "audit_rate=0.5", "--gate", "audit_floor=0.25"]
    assert main([*gauge, *gates, "--certificate", "judge.json"]) == 0
    # The naive judge is code, which is never gauged; a certificate in its name is written for this test.
    identity = identify(NaiveEvidenceJudge())
    given = replace(
        Certificate.load(Path("judge.json")),
        judge="naive_evidence",
        identity=asdict(identity),
        identity_hash=identity.hash,
    )
    given.save(Path("judge.json"))


def test_drawn_labelled_audited(run, monkeypatch, capsys):
    audit = ["audit", "judge.json", "run", "--judge", "naive_evidence", "--draw", "waiting.jsonl"]
    assert main(audit) == 0
    said = capsys.readouterr().out
    drawn, known = map(int, re.search(r"(\d+) verdicts drawn, (\d+) of them with a label", said).groups())
    assert 20 <= drawn <= 70  # of 120, a quarter for certain and half at most in the mean
    assert known == 0
    waiting = [json.loads(line) for line in Path("waiting.jsonl").read_text().splitlines()]
    assert len(waiting) == drawn
    assert all(row["label"] is None and row["case"]["statements"] for row in waiting)
    # The same draw again: what an audit looks at depends on the seed and the names alone.
    assert main(audit) == 0
    assert [json.loads(line)["id"] for line in Path("waiting.jsonl").read_text().splitlines()] == [
        row["id"] for row in waiting
    ]
    capsys.readouterr()

    # A person who always decides against the revealed sum.
    shown = []
    monkeypatch.setattr(builtins, "print", lambda *text, **_: shown.append(" ".join(map(str, text))))

    def against(question=""):
        numbers = [int(n) for n in re.findall(r"^> ([+-]\d+)$", shown[-1], re.MULTILINE)]
        positive = "A" if re.search(r"Option A:\n> positive", shown[-1]) else "B"
        return {"A": "B", "B": "A"}[positive] if sum(numbers) > 0 else positive

    monkeypatch.setattr(builtins, "input", against)
    assert main(["label", "waiting.jsonl", "--ledger", "audit.sqlite", "--expert", "ada", "--repeats", "0"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(run)
    assert main([*audit, "--ratings", "audit.sqlite", "--checkpoint", "3"]) == 1
    said = capsys.readouterr().out
    assert "agreement with experts fell under 0.75" in said
    assert "agreement 0.0%" in said
    assert "quarantined: rewards of policy checkpoints 0 to 3" in said  # no audit with evidence was ever clean


def test_the_debates_of_a_run_are_cases(run, capsys):
    assert main(["attack", "naive_evidence", "--labels", "run", "--limit", "30", "--attack", "instructions"]) == 0
    assert "| instructions | 30 | 0 | 0 |" in capsys.readouterr().out


def test_a_judge_that_did_not_judge_in_the_run(run, capsys):
    given = replace(Certificate.load(Path("judge.json")), judge="somebody")
    given.save(Path("judge.json"))
    assert main(["audit", "judge.json", "run"]) == 2
    assert "no verdict of 'somebody' in this run's training" in capsys.readouterr().err


def test_without_the_judge_its_identity_is_not_compared(run, capsys):
    assert main(["audit", "judge.json", "run"]) == 0
    assert "The judge's identity was not compared: name it with --judge." in capsys.readouterr().out
    assert main(["audit", "judge.json", "run", "--attacks"]) == 2
    assert "name the judge to attack with --judge" in capsys.readouterr().err


def test_a_damaged_log_of_audits(run, capsys):
    Path("judge.audits.jsonl").write_text("what?\n")
    assert main(["audit", "judge.json", "run", "--judge", "naive_evidence"]) == 2
    assert "judge.audits.jsonl, line 1: not the record of an audit" in capsys.readouterr().err
