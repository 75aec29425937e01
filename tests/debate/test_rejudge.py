"""Stored debates before another judge: nothing is played, the old verdicts stay, the rewards follow."""

from __future__ import annotations

import json

import pytest

from debate.cli import main
from debate.rejudge import Comparison, compare
from debate.run.folder import RunFolder
from judges.judges.scripted import ScriptedJudge

RECIPE = """\
name: cup
agents:
  greedy: {kind: scripted, script: greedy_evidence}
  random: {kind: scripted, script: random_legal}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    judge: naive_evidence
    data: {adapter: evidence, n: 6, limit: 8}
tournament: {format: round_robin, questions: 8, resamples: 20}
"""


@pytest.fixture
def cup(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cup.yaml").write_text(RECIPE)
    assert main(["tournament", "cup.yaml", "--out", "cup"]) == 0
    capsys.readouterr()
    return tmp_path / "cup"


def wrong(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


def test_new_verdicts_stand_beside_the_old_and_agreement_beside_the_constant_judge(cup, capsys):
    with RunFolder.open(cup).store(read_only=True) as store:
        before = {e.match.id: e for e in store.episodes()}
    assert main(["judge", str(cup), "--judge", "naive_evidence", "--as", "again"]) == 0
    out = capsys.readouterr().out
    assert "16 cases judged by again: 0 failed" in out
    table = json.loads((cup / "judged" / "again.json").read_text())
    assert table["agreement"]["value"] == 1.0
    assert table["accuracy"]["old"] == table["accuracy"]["new"]
    assert all(row["old"] == row["new"] for row in table["rewards"])
    assert main(["judge", str(cup), "--judge", "constant"]) == 0
    out = capsys.readouterr().out
    assert "constant  0.500" in out
    table = json.loads((cup / "judged" / "constant.json").read_text())
    assert table["accuracy"]["new"]["value"] == 0.5
    assert table["agreement"] == table["constant_agreement"]
    assert {row["new"] for row in table["rewards"] if row["criterion"] == "win"} == {0.0}
    with RunFolder.open(cup).store(read_only=True) as store:
        for match_id, episode in before.items():
            now = store.get(match_id)
            assert now.verdicts == episode.verdicts
            assert now.rewards.values.tolist() == episode.rewards.values.tolist()
            assert [(judge, repeat) for judge, repeat, _ in store.verdicts(match_id)] == [
                ("again", 0),
                ("constant", 0),
                ("naive_evidence", 0),
            ]
    assert len(RunFolder.open(cup).manifest["sessions"]) == 3


def test_what_was_judged_is_read_and_a_stopped_judging_goes_on(cup, capsys, monkeypatch):
    asked = []

    def counting(case):
        asked.append(case)
        if len(asked) == 10:
            raise KeyboardInterrupt
        return 0

    import debate.rejudge as module

    monkeypatch.setattr(module, "PAGE", 4)
    monkeypatch.setattr(module, "_judge", lambda name, path, settings: ScriptedJudge(counting, name))
    assert main(["judge", str(cup), "--judge", "one"]) == 130
    assert main(["judge", str(cup), "--judge", "one"]) == 0
    assert len(asked) == 10 + 8, "of the page under way two were asked twice, the two pages before were kept"
    assert main(["judge", str(cup), "--judge", "one"]) == 0
    assert len(asked) == 18
    table = json.loads((cup / "judged" / "one.json").read_text())
    assert table["cases"] == 16


def test_a_judge_that_fails_gives_no_reward(cup, capsys, monkeypatch):
    import debate.rejudge as module

    monkeypatch.setattr(module, "_judge", lambda name, path, settings: ScriptedJudge(lambda case: 1 / 0, name))
    assert main(["judge", str(cup), "--judge", "broken", "--out", "new"]) == 0
    table = json.loads((cup.parent / "new" / "judged" / "broken.json").read_text())
    assert table["failed"] == 16
    assert table["agreement"]["value"] is None and table["accuracy"]["new"]["value"] is None
    assert all(row["new"] is None for row in table["rewards"] if row["criterion"] != "validity")
    with RunFolder.open(cup.parent / "new").store(read_only=True) as store:
        assert all(e.failure.kind == "verdict" for e in store.episodes())


def test_a_new_folder_has_the_new_rewards_and_is_solved_and_reported(cup, capsys):
    assert main(["judge", str(cup), "--judge", "constant", "--out", "new"]) == 0
    assert main(["tournament", "new"]) == 0
    summary = json.loads((cup.parent / "new" / "summary.json").read_text())
    assert {row["score"] for row in summary["tournament"]["entrants"].values()} == {0.5}
    assert main(["report", "new"]) == 0
    assert "is there already" in wrong(capsys, "judge", cup, "--judge", "constant", "--out", "new")
    manifest = json.loads((cup.parent / "new" / "manifest.json").read_text())
    assert manifest["judged_by"] == ["constant"]


def test_nothing_is_played_under_verdicts_of_another_judge(cup, capsys):
    assert main(["judge", str(cup), "--judge", "constant", "--out", "new", "--matches", "tour/debate/greedy"]) == 0
    assert "judged again by constant" in wrong(capsys, "tournament", "new")


def test_mistakes_are_told(cup, capsys, monkeypatch):
    assert "give --as NAME" in wrong(capsys, "judge", cup, "--judge", "naive_evidence")
    assert "names one judge" in wrong(capsys, "judge", cup, "--judge", "constant", "--judge", "human", "--as", "x")
    assert "no run there" in wrong(capsys, "judge", cup.parent, "--judge", "constant")
    assert "a judge is" in wrong(capsys, "judge", cup, "--judge", "nobody")
    import debate.rejudge as module

    assert main(["judge", str(cup), "--judge", "constant", "--as", "one"]) == 0
    monkeypatch.setattr(module, "_judge", lambda name, path, settings: ScriptedJudge(0, name))
    assert "another judge of that name" in wrong(capsys, "judge", cup, "--judge", "one")


def test_agreement_by_hand():
    rows = [
        ("q1", 0, 2, 0, 0),
        ("q1", 0, 2, 0, 1),
        ("q2", 1, 2, 1, "tie"),
        ("q3", 1, 2, 1, None),
        ("q3", None, 2, 0, 0),
    ]
    table = compare(Comparison(rows=rows), "new")
    assert table["agreement"]["value"] == 0.5
    assert table["agreement"]["n"] == 4
    assert table["accuracy"]["old"]["value"] == 1.0
    assert table["accuracy"]["new"]["value"] == 0.5  # right, wrong, undecided
    # Observed 1/2; by chance 3/4 · 2/4 + 1/4 · 1/4 = 7/16.
    assert table["kappa"] == pytest.approx(1 / 9)
