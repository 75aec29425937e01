"""A run's folder says what it was made from: it can be read where its recipe's files are not, or not as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from debate.cli import main
from debate.protocol.load import find_protocol
from debate.run.folder import RunFolder
from debate.run_questions import recipe_of

AGENTS = "agents:\n  a: {kind: scripted, script: random_legal}\n  b: {kind: scripted, script: random_legal}\n"
ARENA = "arenas:\n  talk: {protocol: rules/own.yaml, %s judge: constant, data: {path: data.jsonl%s}}\n"
CUP = f"name: cup\n{AGENTS}{ARENA % ('', '')}tournament: {{format: round_robin, questions: 2, resamples: 10}}\n"
TALK = (
    f"name: talk\n{AGENTS}"
    + ARENA % ("seats: {A: a, B: b},", ", train: {limit: 1}, test: {limit: 2}")
    + "training: {updates: 0, groups: 1, group_size: 2}\nevaluation: {questions: 1}\n"
)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with recipes, a protocol of their own and questions; and we are somewhere else."""
    folder = tmp_path / "mine"
    (folder / "rules").mkdir(parents=True)
    rules = find_protocol("debate_simultaneous").read_text()
    (folder / "rules" / "own.yaml").write_text(rules.replace("rounds: 3", "rounds: 1"))
    rows = [{"id": f"q{k}", "question": f"Is {k} even?", "options": ["yes", "no"], "label": k % 2} for k in range(3)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "cup.yaml").write_text(CUP)
    (folder / "talk.yaml").write_text(TALK)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_run_is_read_without_the_protocol_file_it_was_played_by(mine, monkeypatch, capsys):
    assert main(["tournament", "mine/cup.yaml", "--out", "run"]) == 0
    (mine / "rules" / "own.yaml").unlink()
    (mine / "elsewhere").mkdir()
    monkeypatch.chdir(mine / "elsewhere")
    run = str(mine.parent / "run")
    assert main(["tournament", run]) == 0
    assert main(["judge", run, "--judge", "constant", "--as", "other"]) == 0
    assert main(["export", run, "--out", "cup.jsonl"]) == 0
    # Transcripts carry the protocol along: nothing of the other machine is needed.
    (mine / "data.jsonl").unlink()
    assert main(["import", "cup.jsonl", "--out", "again"]) == 0
    assert main(["tournament", "again"]) == 0
    assert capsys.readouterr().err == ""
    here, there = (RunFolder.open(path) for path in ("again", run))
    recipe = recipe_of(here)
    assert recipe.main.protocol == recipe_of(there).main.protocol and len(recipe.main.protocol.slots) == 1
    one, other = ((path.read_summary() or {})["tournament"]["entrants"] for path in (here, there))
    assert one == other


@pytest.mark.parametrize("command", ["tournament", "train"])
def test_a_run_does_not_go_on_by_other_rules(mine, capsys, command):
    recipe = {"tournament": "mine/cup.yaml", "train": "mine/talk.yaml"}[command]
    assert main([command, recipe, "--out", "run"]) == 0
    assert main([command, recipe, "--out", "run", "--resume"]) == 0
    rules = mine / "rules" / "own.yaml"
    rules.write_text(rules.read_text().replace("rounds: 1", "rounds: 2"))
    capsys.readouterr()
    assert main([command, recipe, "--out", "run", "--resume"]) == 2
    assert "protocol rules/own.yaml: the file's text is another one now" in capsys.readouterr().err


def test_an_exact_stage_without_a_protocol_takes_the_arenas_own_file(mine):
    from debate.recipe import read_recipe

    rules = find_protocol("evidence_debate").read_text()
    (mine / "rules" / "own.yaml").write_text(rules.replace("name: evidence_debate", "name: own"))
    data = "data: {adapter: evidence, n: 4, limit: 1}"
    (mine / "talk.yaml").write_text(TALK + f"exact: {{parameters: {{k: 1}}, {data}}}\n")
    recipe = read_recipe(Path("mine/talk.yaml"))
    assert recipe.exact.protocol.name == "own" and set(recipe.protocols) == {"rules/own.yaml"}
