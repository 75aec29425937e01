"""Whether a judge may stand in for human annotators: the alternative annotator test (alt-test)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SMALL = 30  # below this many shared items the signed-rank test replaces the t test


class AnnotatorTest(NamedTuple):
    """The comparison with one human.

    Attributes:
        judge_wins: share of items on which the judge agrees with the other humans at least as well as this human.
        human_wins: the same for the human; a tie is a win of both.
        p_value: of H0 "the human wins more often, by at least ε".
        rejected: whether H0 is rejected in the judge's favour, at the false discovery rate.
        items: how many items were compared.
    """

    judge_wins: float
    human_wins: float
    p_value: float
    rejected: bool
    items: int


class AltTest(NamedTuple):
    """The result: `omega` (share of humans whose H0 is rejected; pass at .5), `rho` (mean share of judge wins)."""

    omega: float
    rho: float
    per_annotator: dict[str, AnnotatorTest]


def alt_test(
    human: Mapping[str, Mapping[str, float]],
    llm: Mapping[str, float],
    epsilon: float,
    score: Literal["accuracy", "neg_rmse"] = "accuracy",
    *,
    false_discovery_rate: float = 0.05,
) -> AltTest:
    """The alternative annotator test: does the judge agree with the other humans as well as each human does?

    Args:
        human: annotator → {item: label}.
        llm: {item: label} of the judge.
        epsilon: what a human's label costs more than the judge's, as a win rate: .2 experts, .15 skilled, .1 crowd.
        score: agreement with the other humans: share of equal labels, or minus the root mean squared difference.
        false_discovery_rate: for the Benjamini-Yekutieli procedure over annotators.

    Raises:
        ValueError: fewer than three annotators, an annotator without an item that the judge and another human
            labelled too, labels that are not finite.

    Source: Calderon, Reichart & Dror (2025), "The alternative annotator test for LLM-as-a-judge", equations 1-4.
    """
    if len(human) < 3:
        raise ValueError(f"alt_test: expected three or more annotators, got {len(human)}")
    if score not in ("accuracy", "neg_rmse"):
        raise ValueError(f"alt_test: unknown score {score!r}; expected 'accuracy' or 'neg_rmse'")
    rows = {}
    for name in human:
        judge, own = _scores(name, human, llm, score)
        if not len(judge):
            raise ValueError(f"alt_test: {name!r} shares no item with the judge and another annotator")
        judge_wins, human_wins = (judge >= own).astype(float), (own >= judge).astype(float)
        rows[name] = (judge_wins.mean(), human_wins.mean(), _p_value(human_wins - judge_wins, epsilon), len(judge))
    rejected = _benjamini_yekutieli(np.array([row[2] for row in rows.values()]), false_discovery_rate)
    tests = {
        name: AnnotatorTest(float(w_f), float(w_h), float(p), bool(reject), n)
        for (name, (w_f, w_h, p, n)), reject in zip(rows.items(), rejected, strict=True)
    }
    return AltTest(float(rejected.mean()), float(np.mean([t.judge_wins for t in tests.values()])), tests)


def _scores(
    name: str, human: Mapping[str, Mapping[str, float]], llm: Mapping[str, float], score: str
) -> tuple[Array, Array]:
    """Agreement of the judge and of one human with the other humans, on each item that all of them labelled."""
    judge, own = [], []
    for item, label in human[name].items():
        others = np.array([labels[item] for other, labels in human.items() if other != name and item in labels], float)
        if item not in llm or not len(others):
            continue
        candidates = np.array([llm[item], label], dtype=float)
        if not (np.isfinite(candidates).all() and np.isfinite(others).all()):
            raise ValueError(f"alt_test: labels of item {item!r} are not finite numbers")
        if score == "accuracy":
            values = (candidates[:, None] == others).mean(axis=1)
        else:
            values = -np.sqrt(((candidates[:, None] - others) ** 2).mean(axis=1))
        judge.append(values[0])
        own.append(values[1])
    return np.array(judge), np.array(own)


def _p_value(differences: Array, epsilon: float) -> float:
    """One-sided p value of H0 mean(W^h − W^f) ≥ ε."""
    from scipy import stats

    shifted = differences - epsilon
    if np.ptp(shifted) == 0 and len(shifted) >= SMALL:  # no spread: the t statistic is ±infinite
        return 0.0 if shifted[0] < 0 else 1.0
    if len(shifted) >= SMALL:
        return float(stats.ttest_1samp(differences, epsilon, alternative="less").pvalue)
    if not shifted.any():
        return 1.0
    return float(stats.wilcoxon(shifted, alternative="less").pvalue)


def _benjamini_yekutieli(p_values: Array, rate: float) -> NDArray[np.bool_]:
    """Rejections that keep the false discovery rate under any dependence (Benjamini & Yekutieli 2001)."""
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    limits = rate * np.arange(1, m + 1) / (m * np.sum(1 / np.arange(1, m + 1)))
    below = np.flatnonzero(p_values[order] <= limits)
    rejected = np.zeros(m, dtype=bool)
    rejected[order[: below[-1] + 1 if len(below) else 0]] = True
    return rejected
