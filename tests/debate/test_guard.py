"""The guard: catches forgetting, keeps its false-alarm rate, and says which task fell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.league.guard import compare
from judges.statistics.multiplicity import holm


def test_holm_by_hand() -> None:
    """Sorted .005, .01, .03, .04 times 4, 3, 2, 1, made monotone: .02, .03, .06, .06 (Holm 1979)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with pytest.raises(ValueError, match=r"p-values in \[0, 1\]"):
        holm([0.5, float("nan")])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_raw_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-12).all()
    assert (adjusted <= np.minimum(1.0, len(p) * np.array(p)) + 1e-12).all()


def test_the_same_checkpoint_passes() -> None:
    scores = {"old": [0.0, 1.0, 1.0, 0.0], "new": [0.3, 0.9, 0.1, 0.5]}
    report = compare(scores, scores)
    assert report.outcome == "pass"
    assert [t.p for t in report.tasks] == [1.0, 1.0]


def test_forgetting_is_rolled_back_and_named() -> None:
    rng = np.random.default_rng(0)
    before = {name: (rng.random(200) < 0.8).astype(float) for name in ("arithmetic", "reading")}
    after = {**before, "reading": (rng.random(200) < 0.5).astype(float)}
    report = compare(before, after)
    assert report.outcome == "roll_back"
    assert "reading" in report.words() and "roll back" in report.words()
    reading = next(t for t in report.tasks if t.task == "reading")
    assert reading.low <= reading.change <= reading.high < 0


def test_a_fall_that_only_one_test_sees_is_a_warning() -> None:
    """p about .03 alone; five tasks make it about .15."""
    before = {f"task {k}": np.zeros(100) for k in range(5)}
    moved = np.concatenate([np.full(10, -1.0), np.full(3, 1.0), np.zeros(87)])
    report = compare(before, {**before, "task 0": moved})
    assert report.outcome == "warn"
    assert 0.005 < report.tasks[0].p < 0.05 < report.tasks[0].adjusted


def test_a_margin_tolerates_small_falls() -> None:
    before, after = {"t": np.ones(500)}, {"t": np.concatenate([np.zeros(25), np.ones(475)])}
    assert compare(before, after).outcome == "roll_back"
    assert compare(before, after, margin=0.1).outcome == "pass"


def test_gains_never_alarm() -> None:
    assert compare({"t": np.zeros(50)}, {"t": np.ones(50)}).outcome == "pass"


def test_false_alarms_stay_at_their_level() -> None:
    """Two draws of one policy on four tasks, 1,000 times: rolled back in at most α = .05 (three standard errors)."""
    rng = np.random.default_rng(1)
    alarms = 0
    for run in range(1_000):
        before = {k: (rng.random(60) < 0.7).astype(float) for k in "abcd"}
        after = {k: (rng.random(60) < 0.7).astype(float) for k in "abcd"}
        alarms += compare(before, after, resamples=400, seed=run).outcome == "roll_back"
    assert alarms / 1_000 <= 0.05 + 3 * (0.05 * 0.95 / 1_000) ** 0.5


def test_unknown_scores_are_left_out_on_both_sides() -> None:
    report = compare({"t": [1.0, np.nan, 0.0]}, {"t": [1.0, 0.0, np.nan]})
    assert report.tasks[0].items == 1


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"a": [1.0]}, {"b": [1.0]}, "same tasks"),
        ({"a": [1.0]}, {"a": [1.0, 0.0]}, "same items"),
        ({"a": [np.nan]}, {"a": [1.0]}, "no item"),
        ({}, {}, "same tasks"),
    ],
)
def test_what_cannot_be_compared(before: dict[str, list[float]], after: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(before, after)
