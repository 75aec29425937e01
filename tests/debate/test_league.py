"""The league end to end on the embedded model: cells, intervals, look-ahead, guard, exploiters; all resume exactly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import debate.train
from debate.errors import UserError
from debate.league.exploiter import exploiter_recipe
from debate.league.matchmaking import moved_ahead
from debate.league.meta import prioritised
from debate.recipe import Recipe, read_recipe
from debate.run.folder import RunFolder
from debate.train import train
from debate.transcript import Match
from games.normal_form import NormalFormGame

RECIPE = """\
name: small_league
seed: 3
agents:
  alice: {kind: nano, rows: 16, learning_rate: 1e-3, weights: {win: 1}}
  bob: {kind: nano, rows: 16, learning_rate: 1e-3, weights: {win: 1}}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    seats: {A: alice, B: bob}
    judge: naive_evidence
    data: {adapter: evidence, n: 6, train: {split: train, limit: 64}, test: {split: test, limit: 32}}
training: {updates: 2, groups: 2, group_size: 4, baseline: group}
league: {snapshot_every: 1, self_play: 0.5, meta: nash, questions: 6, resamples: 50}
exact: {parameters: {k: 1}, criterion: win, data: {adapter: evidence, n: 4, split: test, limit: 2}}
"""


def recipe(tmp_path: Path, *settings: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return read_recipe(path, settings)


def contents(out: Path) -> tuple[Any, ...]:
    folder = RunFolder.open(out)
    with folder.store(read_only=True) as store:
        episodes = {
            e.match.id: (e.transcript, None if e.rewards is None else e.rewards.values.tolist())
            for e in store.episodes()
        }
    log = [{k: v for k, v in row.items() if k != "seconds"} for row in folder.read_log()]
    summary = {k: v for k, v in (folder.read_summary() or {}).items() if k != "wall_seconds"}
    return episodes, json.dumps(log), json.dumps(summary)


def interrupted(one: Recipe, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains, stops in the middle of the second update, and goes on in the same folder."""
    real = debate.train.update
    calls = []

    def stops(session: Any, spec: Any) -> Any:
        rows = real(session, spec)
        calls.append(session.update)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(debate.train, "update", stops)
    with pytest.raises(KeyboardInterrupt):
        train(one, out)
    monkeypatch.setattr(debate.train, "update", real)
    train(one, out, resume=True)


EVERYTHING = (
    "league.meta=prd",
    "league.first=2",
    "league.average=3",
    "league.self_play=0.0",
    "league.exploiter=1",
    "league.guard={questions: 4}",
    "agents.alice.lookahead=extragradient",
    "agents.bob.lookahead=optimistic",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("league")
    train(recipe(folder, *EVERYTHING), folder / "run")
    return folder / "run"


def test_the_log_has_nash_conv_with_its_interval(whole: Path) -> None:
    rows = [row for row in RunFolder.open(whole).read_log() if "mixture" in row]
    assert [row["update"] for row in rows] == [0, 1, 2]
    assert "meta_nash_conv" not in rows[0], "before the first update there is nobody to train against"
    for row in rows[1:]:
        for key in ("nash_conv", "meta_nash_conv"):
            low, high = row[f"{key}_interval"]
            assert 0 <= low <= high and row[key] >= 0
        # One more snapshot in the mixture cannot be better than an equilibrium, nor worse than every match lost.
        assert 0 <= row["exact_nash_conv"] <= 4 and 0 <= row["exact_meta_nash_conv"] <= 4
        for mixture in row["mixture"].values():
            assert sum(mixture) == pytest.approx(1.0) and min(mixture) > 0, "projected replicator dynamics explores"


def test_exploiters_bound_nash_conv_from_below(whole: Path) -> None:
    found = json.loads((whole / "summary.json").read_text())["exploiters"]
    assert set(found) == {"A", "B", "nash_conv_bound"}
    gains = [found[seat]["gain"] for seat in "AB"]
    assert found["nash_conv_bound"] == pytest.approx(sum(max(0.0, g) for g in gains))
    for seat in "AB":
        low, high = found[seat]["interval"]
        assert low <= found[seat]["gain"] <= high and found[seat]["updates"] == 1
    with RunFolder.open(whole / "exploiters" / "A").store(read_only=True) as store:
        seats = [e.match.seats for e in store.episodes() if e.match.id.startswith("train/")]
    assert seats and all(s["A"].startswith("alice.exploiter") and s["B"].startswith("bob-v") for s in seats)


def test_the_guard_reports_every_snapshot(whole: Path) -> None:
    rows = [row for row in RunFolder.open(whole).read_log() if row.get("guard")]
    assert [(row["update"], row["guard"]) for row in rows] == [(1, "alice"), (1, "bob"), (2, "alice"), (2, "bob")]
    for row in rows:
        assert row["outcome"] in ("pass", "warn", "roll_back")
        assert set(row["tasks"]) == {"debate"}
        assert row["kl_old_prompts"] >= 0 and row["kl_new_prompts"] >= 0


def test_the_report_shows_guard_and_exploiters(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    assert "KL, old prompts" in page and "Lower bound on NashConv of the meta-strategy" in page


def test_extragradient_learns_from_the_point_ahead(whole: Path) -> None:
    with RunFolder.open(whole).store(read_only=True) as store:
        ahead = [e.match for e in store.episodes() if e.match.id.endswith("/ahead")]
    assert ahead
    policies = {policy for match in ahead for policy in match.seats.values()}
    assert any(policy.startswith("alice.ahead-v") for policy in policies)
    assert not any(policy.startswith("bob.ahead") for policy in policies)
    rows = [r for r in RunFolder.open(whole).read_log() if r.get("agent") == "alice"]
    assert all(row["policy"].startswith("alice.ahead-v") for row in rows)


def test_all_of_it_resumes_exactly(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    interrupted(recipe(tmp_path, *EVERYTHING), out, monkeypatch)
    assert contents(out) == contents(whole)
    assert contents(out / "exploiters" / "B")[1] == contents(whole / "exploiters" / "B")[1]


def test_an_agent_that_forgets_is_rolled_back(tmp_path: Path) -> None:
    """A learning rate that destroys the policy: it then makes illegal picks, which the battery sees."""
    settings = (
        "arenas.debate.parameters.k=3",
        "arenas.debate.data.n=12",
        "agents.alice.learning_rate=0.3",
        "league.self_play=1.0",
        "training.groups=4",
        "agents.alice.weights={win: 1, validity: 5}",
        "league.guard={questions: 24}",
    )
    lines: list[str] = []

    class Heard:
        def start(self, stage: str, total: int) -> None: ...
        def advance(self, steps: int = 1, note: str = "") -> None: ...
        def say(self, line: str) -> None:
            lines.append(line)

    train(recipe(tmp_path, *settings), tmp_path / "run", progress=Heard())
    rows = [r for r in RunFolder.open(tmp_path / "run").read_log() if r.get("guard") == "alice"]
    first = rows[0]
    assert first["outcome"] == "roll_back" and first["rolled_back_to"] == "alice-v0"
    assert any("guard: roll back: debate" in line for line in lines)
    snapshots = RunFolder.open(tmp_path / "run").checkpoints
    back = snapshots.snapshot("alice-v2").arrays  # version 1 was the one that fell
    start = snapshots.snapshot("alice-v0").arrays
    assert all(np.array_equal(back[name], start[name]) for name in start)


def test_an_epoch_may_start_from_the_first_version_and_cells_are_filled_where_it_counts(tmp_path: Path) -> None:
    settings = ("league.start=first", "league.self_play=0", "league.first=2", "league.average=3")
    train(recipe(tmp_path, *settings), tmp_path / "run")
    with RunFolder.open(tmp_path / "run").store(read_only=True) as store:
        seats = [e.match.seats for e in store.episodes() if e.match.id.startswith("train/00001")]
    assert {s["A"] for s in seats} | {s["B"] for s in seats} <= {
        "alice-v0",
        "alice-v1",
        "alice-v2",
        "bob-v0",
        "bob-v1",
        "bob-v2",
    }
    with RunFolder.open(tmp_path / "run").store(read_only=True) as store:
        ids = [e.match.id for e in store.episodes() if e.match.id.startswith("cell/")]
    counts = Counter(name.rpartition("/")[0] for name in ids)
    assert len(counts) == 9 and min(counts.values()) >= 2 and max(counts.values()) <= 6
    assert len(set(counts.values())) > 1, "more was played where it narrows NashConv most"
    snapshots = RunFolder.open(tmp_path / "run").checkpoints
    assert snapshots.snapshots() == ["alice-v0", "alice-v1", "alice-v3", "bob-v0", "bob-v1", "bob-v3"]


def test_prioritised_opponents_are_the_hard_ones() -> None:
    """The newest row earns 1, 0, −1 against the columns; every row draws with the newest column or loses to it."""
    game = NormalFormGame.zero_sum([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0]])
    rows, columns = prioritised(game)
    assert columns == pytest.approx(np.array([0.0, 0.25, 1.0]) / 1.25)
    assert rows == pytest.approx([1.0, 0.0])
    assert prioritised(NormalFormGame.zero_sum(np.zeros((2, 2))))[0] == pytest.approx([0.5, 0.5])


def test_an_exploiter_learns_alone(tmp_path: Path) -> None:
    alone = exploiter_recipe(recipe(tmp_path, "league.exploiter=4"), "B")
    assert alone.learners(alone.main) == {"B": "bob.exploiter"}
    assert alone.training.updates == 4 and alone.league.self_play == 0.0


def test_a_match_ahead_has_its_own_name() -> None:
    match = Match("train/1", "debate", "q", {"A": "alice-v1@win=1", "B": "alice-v1"}, group="g")
    moved = moved_ahead(match, {"A": "alice-v1"}, {"A": "alice.ahead-v1"})
    assert moved.seats == {"A": "alice.ahead-v1@win=1", "B": "alice-v1"}
    assert (moved.id, moved.group) == ("train/1/ahead", "g/ahead")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("league.meta=best", "'best' is not known"),
        ("league.first=7", "at most questions"),
        ("league.guard={questions: 4, alpha: 2}", "between 0 and 1"),
        ("league.guard={questions: 4, tasks: [chess]}", "'chess' is not known"),
        ("league.alarms={window: 1}", "at least 2"),
        ("agents.alice={kind: nano, lookahead: extragradient, epochs: 2, weights: {win: 1}}", "one step an update"),
    ],
)
def test_what_is_refused(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(tmp_path, setting)
