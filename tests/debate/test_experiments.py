"""Experiments: fixed in advance, run once a job, the same curves whoever was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from debate.cli import main
from debate.errors import Failed, UserError
from debate.experiments.runner import run_experiment
from debate.experiments.spec import read_experiment, shipped
from debate.experiments.statistics import difference, estimate
from debate.progress import Silent

ROOT = Path(__file__).parents[2]
SMALL = """\
title: A small one
question: Does it run?
kind: dynamics
seeds: [0, 1, 2, 3, 4]
x: moves
x_label: sampled moves
measures: {nash_conv: {label: NashConv, log: true}}
settings: {moves: 2000, points: 4, episodes: 16, epoch: 200, evaluation: 32}
panels: {rps: {game: biased_rps}}
conditions:
  naive: {rule: naive}
  league: {rule: league}
contrasts: [[league, naive]]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_shipped_experiments_are_valid_and_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert shipped()
    for name in shipped():
        experiment = read_experiment(name)
        assert list(experiment.jobs())
        results = ROOT / "runs" / "experiments" / "results" / name
        for file in ("table.md", "points.csv", "figure.svg", "figure.png"):
            assert (results / file).is_file(), f"{name} has no published {file}"


def test_a_killed_run_goes_on_to_the_same_files(small: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(["experiment", str(small), "--out", str(whole)]) == 0
    assert main(["experiment", str(small), "--out", str(broken), "--workers", "2"]) == 0
    jobs = sorted((broken / "jobs").glob("*.json"))
    assert len(jobs) == 10
    kept = jobs[5].stat().st_mtime_ns
    for path in jobs[:5]:
        path.unlink()
    assert main(["experiment", str(small), "--out", str(broken)]) == 0
    assert jobs[5].stat().st_mtime_ns == kept, "a finished job is not run again"
    for file in ("table.md", "points.csv", "figure.svg", "figure.png"):
        assert (whole / file).read_bytes() == (broken / file).read_bytes(), file


def test_a_changed_setting_is_another_job(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run_experiment(read_experiment(str(small)), out, Silent())
    small.write_text(SMALL.replace("episodes: 16", "episodes: 8"))
    second = run_experiment(read_experiment(str(small)), out, Silent())
    assert [r.rows for r in first] != [r.rows for r in second]


def test_check_compares_with_the_published(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", str(small), "--out", str(tmp_path / "a"), "--check"]) == 1
    assert "no published results" in capsys.readouterr().err
    published = tmp_path / "results" / "small"
    assert main(["experiment", str(small), "--out", str(published)]) == 0
    assert main(["experiment", str(small), "--out", str(tmp_path / "a"), "--check"]) == 0
    (published / "points.csv").write_text("panel,condition\n")
    assert main(["experiment", str(small), "--out", str(tmp_path / "a"), "--check"]) == 1
    assert "differs from the published" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind: dynamics", "kind: dynamic"), "'dynamic' is not known"),
        (("[0, 1, 2, 3, 4]", "[0, 1]"), "expected at least 5"),
        (("[0, 1, 2, 3, 4]", "[0, 1, 2, 2, 4]"), "distinct whole numbers"),
        (("[[league, naive]]", "[[league, nave]]"), "expected pairs among naive, league"),
        (("x_label", "xlabel"), "xlabel: unknown field"),
        (("{rule: league}", "{rule: league, only: [kuhn]}"), "no panel 'kuhn'"),
    ],
)
def test_a_wrong_file_is_refused(small: Path, change: tuple[str, str], message: str) -> None:
    small.write_text(SMALL.replace(*change))
    with pytest.raises(UserError, match=message):
        read_experiment(str(small))


def test_an_unknown_experiment_names_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"did you mean 'league_dynamics'|in runs/experiments"):
        read_experiment("league_dynamic")


def test_a_wrong_setting_fails_before_anything_is_stored(small: Path, tmp_path: Path) -> None:
    small.write_text(SMALL.replace("biased_rps", "biased"))
    with pytest.raises(UserError, match="no game 'biased'"):
        run_experiment(read_experiment(str(small)), tmp_path / "out", Silent())
    assert not list((tmp_path / "out" / "jobs").glob("*.json"))


def test_student_intervals() -> None:
    """t(4, .975) = 2.776: half width 2.776 · 1.5811 / √5 = 1.963."""
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.low, found.high) == pytest.approx((3.0, 1.0368, 4.9632), abs=1e-4)
    assert estimate([1.0, float("nan")]).seeds == 1


def test_differences_are_paired_by_seed(small: Path, tmp_path: Path) -> None:
    results = run_experiment(read_experiment(str(small)), tmp_path / "out", Silent())
    both = difference(results, "rps", "naive", "naive", "nash_conv")
    assert (both.mean, both.low, both.high) == (0.0, 0.0, 0.0)


def test_a_job_without_rows_is_a_failure(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("debate.experiments.dynamics.play", lambda job: [])
    with pytest.raises(Failed, match="no rows"):
        run_experiment(read_experiment(str(small)), tmp_path / "out", Silent())
