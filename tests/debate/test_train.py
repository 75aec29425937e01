"""Training end to end on the embedded model: resumed equals uninterrupted, killed anywhere loses nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from debate.recipe import read_recipe
from debate.run.folder import RunFolder
from debate.train import train

QUICKSTART = Path(__file__).parents[2] / "runs" / "quickstart.yaml"
SMALL = [
    "training.updates=3",
    "training.groups=4",
    "training.group_size=4",
    "league.snapshot_every=1",
    "league.questions=2",
    "tournament.questions=3",
    "tournament.resamples=20",
    "evaluation.questions=6",
    "exact.data.limit=2",
    "agents.alice.rows=16",
    "agents.bob.rows=16",
    "agents.carol.rows=16",
]
COMMAND = [sys.executable, "-m", "debate", "train", str(QUICKSTART), "--resume"]


def contents(out):
    """Everything a run holds that may not depend on when it was interrupted."""
    folder = RunFolder.open(out)
    with folder.store(read_only=True) as store:
        episodes = {
            e.match.id: (e.transcript, e.verdicts, None if e.rewards is None else e.rewards.values.tolist())
            for e in store.episodes()
        }
    summary = folder.read_summary()
    summary.pop("wall_seconds")
    log = [{k: v for k, v in row.items() if k != "seconds"} for row in folder.read_log()]
    return episodes, summary, log


def start(out, *settings):
    sets = [part for setting in [*SMALL, *settings] for part in ("--set", setting)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*COMMAND, "--out", str(out), *sets],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    process = start(out)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return out


def test_the_run_folder_is_complete(whole):
    for name in ("manifest.json", "store.sqlite", "log.jsonl", "summary.json", "report.html"):
        assert (whole / name).is_file(), name
    for name in ("game.nfg", "payoffs.csv", "payoffs.parquet", "equilibria.json", "manifest.json", "heatmap.svg"):
        assert (whole / "analysis" / name).is_file(), name
    summary = json.loads((whole / "summary.json").read_text())
    assert set(summary) >= {
        "judge_accuracy",
        "nash_conv",
        "exact_nash_conv",
        "rewards",
        "episodes",
        "sampled_tokens",
        "failures",
        "wall_seconds",
        "seed",
    }
    assert set(summary["judge_accuracy"]) >= {"before", "after", "optimal", "random_legal", "consultancy", "n"}
    assert summary["judge_accuracy"]["constant"] >= 0.5
    assert summary["judge_attacks"]["swapped_answers"] == "0 of 6, at most 0.393; constant judge: 6 of 6"
    page = (whole / "report.html").read_text()
    assert "the best constant judge" in page and "constant judge: 6 of 6" in page
    assert set(summary["rewards"]) == {"A", "B", "consultant"}
    low, high = summary["nash_conv"]["interval"]
    assert 0 <= low <= high


def test_every_match_was_planned_once_and_played_by_the_policies_it_names(whole):
    episodes, summary, _ = contents(whole)
    train_matches = [name for name in episodes if name.startswith("train/")]
    assert len(train_matches) == 3 * 2 * 16
    assert summary["episodes"] == len(train_matches) + 2 * (6 + 12) + 2 * 6 + 16 * 3
    for transcript, _, _ in episodes.values():
        for turn in transcript.turns:
            assert turn.policy == transcript.seats[turn.seat]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(whole, tmp_path):
    same = start(tmp_path / "same")
    text, _ = same.communicate(timeout=300)
    assert same.returncode == 0, text
    assert contents(tmp_path / "same") == contents(whole)
    other = start(tmp_path / "other", "seed=1")
    text, _ = other.communicate(timeout=300)
    assert other.returncode == 0, text
    assert contents(tmp_path / "other")[0] != contents(whole)[0]


def test_a_finished_run_is_left_alone(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}
    process = start(whole)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "judge accuracy" in text
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()} == before


def kill_and_resume(whole, out, moments):
    """Kills the run at each of the moments (seconds after its start), then lets it finish."""
    kills = 0
    for moment in moments:
        process = start(out)
        time.sleep(moment)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    last = start(out)
    text, _ = last.communicate(timeout=300)
    assert last.returncode == 0, text
    assert contents(out) == contents(whole)
    return kills


def test_killed_and_resumed_equals_uninterrupted(whole, tmp_path):
    seconds = json.loads((whole / "summary.json").read_text())["wall_seconds"]
    startup = 4.0
    assert kill_and_resume(whole, tmp_path / "killed", [startup + 0.4 * seconds, startup + 0.3 * seconds]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_points_and_resumed_equals_uninterrupted(whole, tmp_path, seed):
    rng = random.Random(seed)
    assert kill_and_resume(whole, tmp_path / "killed", [rng.uniform(2.0, 12.0) for _ in range(5)]) > 0


def test_interrupted_between_updates_in_process(tmp_path):
    """What a checkpoint brings back is all that the next update needs: weights, optimiser, baselines, league."""
    recipe = read_recipe(QUICKSTART, SMALL)
    train(recipe, tmp_path / "straight")

    class Stop(Exception):
        pass

    class Interrupts:
        """Stops the run when its second update is done."""

        def __init__(self):
            self.stage = ""

        def start(self, stage, total):
            self.stage, self.done = stage, 0

        def advance(self, steps=1, note=""):
            self.done += steps
            if self.stage == "train" and self.done == 2:
                raise Stop

        def say(self, line):
            pass

    with pytest.raises(Stop):
        train(recipe, tmp_path / "stopped", progress=Interrupts())
    train(recipe, tmp_path / "stopped", resume=True)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")


def test_one_agent_in_two_arenas_resumes_too(tmp_path):
    """Its version then grows by two an update, which nothing may take for the number of updates."""
    settings = [*SMALL, "training.updates=2", "arenas.consultancy.seats.consultant=alice"]
    recipe = read_recipe(QUICKSTART, settings)
    train(recipe, tmp_path / "straight")
    (tmp_path / "straight" / "report.html").unlink()
    before = contents(tmp_path / "straight")
    train(recipe, tmp_path / "straight", resume=True)
    assert contents(tmp_path / "straight") == before
    assert any("alice-v4" in policies for policies in before[1]["meta_equilibrium"]["profile"].values())
