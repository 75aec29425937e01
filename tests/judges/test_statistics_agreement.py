"""Agreement, latent classes and the alt-test against published values and independent implementations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from games.equilibrium import NotConverged
from judges.statistics.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, krippendorff_lower_bound
from judges.statistics.annotators import alt_test
from judges.statistics.latent_class import dawid_skene

_ = math.nan
# The worked example of the Wikipedia article "Krippendorff's alpha": 3 raters, 15 items.
WORKED = [
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
]
# The worked example of the Wikipedia article "Fleiss' kappa": 10 subjects, 5 categories, 14 raters.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
# Dawid & Skene (1979), table 1: 45 patients; observer 1 assessed each three times, observers 2-5 once.
ANAESTHETISTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343
1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222
1111111 1111111 2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343
2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222
"""


def anaesthetists() -> np.ndarray:
    counts = np.zeros((45, 5, 4))
    for i, row in enumerate(ANAESTHETISTS.split()):
        for rater, label in zip((0, 0, 0, 1, 2, 3, 4), row, strict=True):
            counts[i, rater, int(label) - 1] += 1
    return counts


def test_krippendorff_worked_example() -> None:
    assert krippendorff_alpha(WORKED, "nominal") == pytest.approx(0.691358, abs=1e-6)
    assert krippendorff_alpha(WORKED, "interval") == pytest.approx(0.810845, abs=1e-6)


ratings = st.lists(st.lists(st.sampled_from([_, 0, 1, 2, 5]), min_size=6, max_size=6), min_size=2, max_size=5)


@settings(deadline=None)
@given(ratings, st.sampled_from(["nominal", "ordinal", "interval", "ratio"]))
def test_krippendorff_agrees_with_the_krippendorff_package(data: list[list[float]], level: str) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    ours = krippendorff_alpha(data, level)  # type: ignore[arg-type]
    pairable = np.array(data)[:, np.sum(~np.isnan(data), axis=0) >= 2]
    if len(np.unique(pairable[~np.isnan(pairable)])) < 2:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(
            krippendorff.alpha(reliability_data=pairable, level_of_measurement=level), abs=1e-9
        )


def test_krippendorff_bounds() -> None:
    perfect = [[0, 1, 2, 1, 0, 2]] * 3
    assert krippendorff_alpha(perfect) == 1.0
    assert krippendorff_lower_bound(perfect) == 1.0
    low = krippendorff_lower_bound(WORKED, seed=1)
    assert low < krippendorff_alpha(WORKED) and low == krippendorff_lower_bound(WORKED, seed=1)
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]])) and math.isnan(krippendorff_lower_bound([[1, 1], [1, 1]]))
    with pytest.raises(ValueError, match="level"):
        krippendorff_alpha(WORKED, "cardinal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="raters"):
        krippendorff_alpha([1, 2, 3])


def _three_raters(rng: np.random.Generator, items: int) -> np.ndarray:
    truth = rng.integers(0, 2, items)
    return np.where(rng.random((3, items)) < 0.9, truth, 1 - truth).astype(float)


def test_krippendorff_lower_bound_covers_the_true_alpha() -> None:
    # Two balanced classes, accuracy .9: D_o = 2 (.9)(.1) = .18, D_e = .5, so α = .64.
    rng = np.random.default_rng(0)
    covered = [krippendorff_lower_bound(_three_raters(rng, 100), resamples=400, seed=s) <= 0.64 for s in range(200)]
    assert 0.90 <= np.mean(covered) <= 1.0  # nominal .95; binomial error .015


def test_fleiss_worked_example() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.209931, abs=1e-6)
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1.0
    assert math.isnan(fleiss_kappa([[3, 0], [3, 0]]))
    for bad in ([[1, 1], [2, 1]], [[1, 0]], [1, 2]):
        with pytest.raises(ValueError, match="fleiss_kappa"):
            fleiss_kappa(bad)


def test_cohen() -> None:
    assert cohen_kappa([[20, 5], [10, 15]]) == pytest.approx(0.4, abs=1e-12)
    assert math.isnan(cohen_kappa([[4, 0], [0, 0]]))
    for bad in ([[1, 2, 3]], [[0, 0], [0, 0]], [[1, -1], [0, 1]]):
        with pytest.raises(ValueError, match="cohen_kappa"):
            cohen_kappa(bad)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
def test_cohen_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    table = np.zeros((4, 4))
    for a, b in pairs:
        table[a, b] += 1
    ours = cohen_kappa(table)
    if not math.isnan(ours):
        first, second = zip(*pairs, strict=True)
        assert ours == pytest.approx(sklearn.cohen_kappa_score(first, second, labels=range(4)), abs=1e-12)


def test_dawid_skene_reproduces_the_paper() -> None:
    fit = dawid_skene(anaesthetists())
    assert fit.prior.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]  # table 4
    assert fit.confusion[0].round(2).tolist() == [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ]  # table 2, observer 1
    assert (fit.posterior.argmax(axis=1) + 1)[[0, 1, 7, 10, 11, 35]].tolist() == [1, 4, 3, 4, 3, 4]
    np.testing.assert_allclose(fit.prior, fit.posterior.mean(axis=0))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]))
def test_dawid_skene_is_a_fixed_point_and_a_distribution(seed: int, smoothing: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(1, [0.4, 0.3, 0.3], size=(12, 4)).astype(float)
    counts[rng.random((12, 4)) < 0.3] = 0
    counts[counts.sum(axis=(1, 2)) == 0, 0, 0] = 1
    fit = dawid_skene(counts, smoothing)
    np.testing.assert_allclose(fit.posterior.sum(axis=1), 1)
    np.testing.assert_allclose(fit.confusion.sum(axis=2), 1)
    likelihood = sum(
        math.log(sum(fit.prior[k] * np.prod(fit.confusion[:, k, :] ** counts[i]) for k in range(3))) for i in range(12)
    )
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-5)


def test_dawid_skene_recovers_the_truth_better_than_votes() -> None:
    rng = np.random.default_rng(3)
    accuracy = [0.95, 0.9, 0.55, 0.55, 0.55]
    truth = rng.integers(0, 2, 1_000)
    said = np.where(rng.random((1_000, 5)) < accuracy, truth[:, None], 1 - truth[:, None])
    counts = np.eye(2)[said]
    fit = dawid_skene(counts, smoothing=1.0)
    by_votes = (said.mean(axis=1) > 0.5) == truth
    by_model = fit.posterior.argmax(axis=1) == truth
    assert by_model.mean() > by_votes.mean() + 0.05
    np.testing.assert_allclose([fit.confusion[r, 1, 1] for r in range(5)], accuracy, atol=0.06)


def test_dawid_skene_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match="without any label"):
        dawid_skene(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="counts"):
        dawid_skene(np.ones((2, 2)))
    with pytest.raises(ValueError, match="smoothing"):
        dawid_skene(np.ones((2, 2, 2)), smoothing=-1)
    with pytest.raises(NotConverged):
        dawid_skene(anaesthetists(), max_iterations=1)


def _panel(accuracies: list[float], judge: float, items: int, seed: int) -> tuple[dict, dict]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, items)

    def labels(accuracy: float) -> dict[str, int]:
        noise = (truth + rng.integers(1, 3, items)) % 3
        return {f"i{i}": int(v) for i, v in enumerate(np.where(rng.random(items) < accuracy, truth, noise))}

    return {f"h{j}": labels(a) for j, a in enumerate(accuracies)}, labels(judge)


def test_alt_test_by_hand() -> None:
    human = {name: {f"i{i}": 0 for i in range(40)} for name in "abc"}
    human["c"] = {f"i{i}": int(i < 20) for i in range(40)}
    result = alt_test(human, {f"i{i}": 0 for i in range(40)}, epsilon=0.2)
    # Against a: the others are b (0) and c (1 on half): judge and a always agree alike, all ties.
    assert result.per_annotator["a"][:2] == (1.0, 1.0) and result.per_annotator["a"].p_value == 0.0
    # Against c: the judge wins all, c loses the 20 where it differs: W^h − W^f is −1 on 20, 0 on 20.
    c = result.per_annotator["c"]
    assert (c.judge_wins, c.human_wins, c.items) == (1.0, 0.5, 40)
    d = np.repeat([-1.0, 0.0], 20)
    t = (d.mean() - 0.2) / (d.std(ddof=1) / np.sqrt(40))
    assert c.p_value == pytest.approx(stats.t.cdf(t, 39), rel=1e-9)
    assert (result.omega, result.rho) == (1.0, 1.0)


def test_alt_test_tells_good_judges_from_bad() -> None:
    assert alt_test(*_panel([0.8] * 4, 0.95, 300, 0), epsilon=0.1).omega == 1.0
    bad = alt_test(*_panel([0.9] * 4, 0.4, 300, 0), epsilon=0.1)
    assert bad.omega == 0.0 and bad.rho < 0.6
    assert alt_test(*_panel([0.8] * 4, 0.95, 300, 0), epsilon=0.1, score="neg_rmse").omega == 1.0


def test_alt_test_below_thirty_items_uses_signed_ranks() -> None:
    human, judge = _panel([0.7] * 3, 1.0, 20, 5)
    result = alt_test(human, judge, epsilon=0.2)
    row = result.per_annotator["h0"]
    assert row.items == 20 and 0 <= row.p_value <= 1
    others = [human["h1"], human["h2"]]
    d = []
    for item in judge:
        f, h = (np.mean([labels[item] == x[item] for x in others]) for labels in (judge, human["h0"]))
        d.append(float(h >= f) - float(f >= h))
    assert row.p_value == pytest.approx(stats.wilcoxon(np.array(d) - 0.2, alternative="less").pvalue)


def test_alt_test_false_discoveries_are_bounded() -> None:
    # On the border of H0 (W^h − W^f has mean ε) each annotator is rejected at most at the nominal rate.
    rng = np.random.default_rng(0)
    rejected = 0
    for seed in range(200):
        # 3-point differences with mean exactly .2: human wins .4, judge wins .2, ties .4, made through two others
        kinds = rng.choice(3, size=60, p=[0.4, 0.2, 0.4])
        human = {"x": {}, "y": {}, "z": {}}
        judge = {}
        for i, kind in enumerate(kinds):
            human["y"][i] = human["z"][i] = 0
            human["x"][i] = 0 if kind in (0, 2) else 1
            judge[i] = 0 if kind in (1, 2) else 1
        rejected += alt_test(human, judge, epsilon=0.2).per_annotator["x"].p_value <= 0.05  # type: ignore[arg-type]
        del seed
    assert rejected / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_alt_test_refuses_bad_input() -> None:
    human, judge = _panel([0.8] * 3, 0.9, 40, 0)
    with pytest.raises(ValueError, match="three or more"):
        alt_test({"a": human["h0"], "b": human["h1"]}, judge, 0.2)
    with pytest.raises(ValueError, match="shares no item"):
        alt_test({**human, "d": {"elsewhere": 1}}, judge, 0.2)
    with pytest.raises(ValueError, match="score"):
        alt_test(human, judge, 0.2, score="f1")  # type: ignore[arg-type]
