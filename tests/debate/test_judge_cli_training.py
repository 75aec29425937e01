"""From `debate gauge --certificate` to a training run that trusts it, and to the audit of that run that revokes it.

The judge is a tiny model that has learnt nothing: the labels it is gauged with are its own answers, so that it passes
every gate that can be passed without knowing anything, and the gates that need more are opened, which the certificate
shows. What is tested is who may pay rewards, not how well.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from debate.cli import main
from debate.judging_tools.named import JudgeSettings, named_judge
from judges import Case, Certificate, Label, Ledger
from judges.judges.asking import ask_many

RECIPE = """
name: certified
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
training: {updates: 2, groups: 16, group_size: 2, baseline: group}
trust: simulated
"""
OPEN = ["attack_rate=1", "swap_consistency=0", "first_position=0.5", "length_bias=1", "calibration_error=1"]
AUDITS = ["audit_rate=1", "audit_floor=1", "repeats=0", "checkpoints=0..5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model and 36 cases, labelled by a simulated panel with what the model itself says."""
    import torch

    from debate.engines.tiny import save_tiny

    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("trust")
    judge = named_judge(str(save_tiny(place / "tiny", 4096)), (), JudgeSettings())
    cases = [Case(f"{k}?", ("x" * (k % 7 + 1), "y" * (k % 5 + 9))) for k in range(80)]
    said = {0: [], 1: []}
    for case, verdict in zip(cases, asyncio.run(ask_many(judge, cases)), strict=True):
        assert verdict.answer is not None, verdict.rationale
        said[verdict.answer].append(case)
    assert min(map(len, said.values())) >= 18, "the model must say both, or a constant judge is as good"
    with Ledger(place / "panel.sqlite") as ledger, (place / "cases.jsonl").open("w") as file:
        for answer, chosen in said.items():
            for case in chosen[:18]:
                file.write(json.dumps({"id": case.question, "question": case.question, "options": case.options}) + "\n")
                ledger.extend(Label(case.question, f"simulated-{e}", answer) for e in (1, 2, 3))
    (place / "recipe.yaml").write_text(RECIPE.replace("TINY", str(place / "tiny")))
    return place


def test_only_a_certified_judge_pays_and_the_audit_of_its_run_revokes(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DEBATE_HOME", str(folder / "home"))
    train = ["train", "recipe.yaml", "--out"]
    # 1. No certificate: refused. Admitted: it runs, and says so.
    assert main([*train, "none"]) == 2
    assert "no readable certificate" in capsys.readouterr().err
    # 2. Gauged and blessed.
    gates = [part for gate in (*OPEN, *AUDITS, "shared_items=30") for part in ("--gate", gate)]
    tiny = str(folder / "tiny")
    gauge = ["gauge", tiny, "--labels", "cases.jsonl", "--ratings", "panel.sqlite", "--blind", "--no-own-texts"]
    assert main([*gauge, *gates, "--certificate", "judge.json"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "BLESSED" in said and "SIMULATED panel" in said
    certificate = Certificate.load(Path("judge.json"))
    assert certificate.terms["attack_rate"] == 1.0  # an open gate stands in the file
    # A simulated panel is no panel: without the recipe's admission the certificate is not enough.
    assert main([*train, "silent", "--set", "trust=blessed"]) == 2
    assert "its panel was SIMULATED: no person has rated anything" in capsys.readouterr().err
    # 3. Certified: it runs, from another folder as well.
    monkeypatch.chdir(folder.parent)
    assert main(["train", str(folder / "recipe.yaml"), "--out", str(folder / "run")]) == 0
    said = capsys.readouterr().out
    assert "unblessed" not in said and "is blessed by a simulation" in said
    monkeypatch.chdir(folder)
    # 5. The audit of the run: a judge that knows nothing is found out.
    assert main(["audit", "judge.json", "run", "--judge", tiny, "--draw", "waiting.jsonl"]) == 1
    said = capsys.readouterr().out
    assert "64 verdicts drawn, 64 of them with a label and an answer" in said
    assert "agreement with experts fell under 0.75" in said
    assert "of the best constant judge" in said
    assert Path("waiting.jsonl").read_text() == ""
    # 6. Revoked: it may not pay any more.
    assert main([*train, "after"]) == 2
    assert "it was revoked" in capsys.readouterr().err
    # 7. A person's admission still lets it pay, and every report says so.
    assert main([*train, "admitted", "--set", "trust=unblessed", "--set", "training.updates=1"]) == 0
    assert "is unblessed" in capsys.readouterr().out


def test_other_weights_under_the_same_name_are_not_certified(folder, monkeypatch, capsys):
    if not (folder / "judge.json").is_file():
        pytest.skip("the test that makes the certificate did not run")
    weights = folder / "tiny" / "model.safetensors"
    content = weights.read_bytes()
    row = json.loads((folder / "judge.json").read_text())
    row.pop("revoked")
    (folder / "whole.json").write_text(json.dumps(row))
    monkeypatch.chdir(folder)
    try:
        weights.write_bytes(content[:-4] + os.urandom(4))
        recipe = (folder / "recipe.yaml").read_text().replace("judge.json", "whole.json")
        (folder / "other.yaml").write_text(recipe)
        assert main(["train", "other.yaml", "--out", "other"]) == 2
        assert "the judge's model has changed" in capsys.readouterr().err
    finally:
        weights.write_bytes(content)
