"""The front experiment: both methods spend the same tokens, on one scale; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from debate.errors import UserError
from debate.experiments.fronts import play
from debate.experiments.runner import Job

RECIPE = """\
name: small
agents: {carol: {kind: nano, weights: {win: 1}}}
arenas:
  consultancy:
    protocol: evidence_consultancy
    parameters: {k: 1}
    seats: {consultant: carol}
    judge: naive_evidence
    data: {adapter: evidence, n: 4, train: {split: train, limit: 8}, test: {split: test, limit: 4}}
training: {updates: 2, groups: 2, group_size: 4, baseline: group}
evaluation: {questions: 4}
"""


def job(folder: Path, **changes: object) -> Job:
    (folder / "small.yaml").write_text(RECIPE)
    settings = {
        "recipe": "small.yaml",
        "agent": "carol",
        "learner": {"kind": "nano", "learning_rate": 0.001, "rows": 16},
        "range": {"win": [-1, 1], "truth": [0, 1]},
        "steps": 1,
        "updates": 2,
        **changes,
    }
    return Job(settings, 3, folder / "work", folder)


def test_both_methods_spend_the_same_tokens_on_one_scale(tmp_path: Path) -> None:
    told, apart = tmp_path / "told", tmp_path / "apart"
    told.mkdir()
    apart.mkdir()
    (one,) = play(job(told, method="conditioned"))
    (many,) = play(job(apart, method="separate"))
    assert one["tokens"] == many["tokens"] > 0
    assert len(list((apart / "work").iterdir())) == 2  # a run a weight
    for row in (one, many):
        assert 0.0 <= row["hypervolume"] <= row["best_win"] * row["best_truth"] <= 1.0
        assert row["points"] in (1.0, 2.0)
    assert list(play(job(apart, method="separate"))) == [many], "what is there is read, not played again"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"method": "both"}, "no method 'both'"), ({"method": "separate", "updates": 3}, "not shared evenly by 2")],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        play(job(tmp_path, **changes))
