"""Bounds, corrections and calibration against published values, exact coverage and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from judges.statistics.biases import length_bias, self_preference, swap_consistency
from judges.statistics.calibration import abstention_threshold, brier, ece, fit_temperature
from judges.statistics.labelling import expected_information, label_rate
from judges.statistics.prediction_powered import ppi_mean
from judges.statistics.proportions import clopper_pearson, rogan_gladen
from judges.statistics.sequential import agreement_bounds, drop_evidence, first_alarm, restarted_upper_bounds


@pytest.mark.parametrize(("k", "n", "bound"), [(45, 50, 0.8012), (90, 100, 0.8363), (180, 200, 0.8580)])
def test_clopper_pearson_values(k: int, n: int, bound: float) -> None:
    assert clopper_pearson(k, n) == pytest.approx(bound, abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 200), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_clopper_pearson_inverts_the_binomial_tail(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n, confidence), clopper_pearson(k, n, confidence, side="upper")
    if k > 0:
        assert stats.binom.sf(k - 1, n, low) == pytest.approx(1 - confidence, rel=1e-6)
    if k < n:
        assert stats.binom.cdf(k, n, high) == pytest.approx(1 - confidence, rel=1e-6)
    assert clopper_pearson(k, n, confidence) == pytest.approx(1 - clopper_pearson(n - k, n, confidence, side="upper"))
    assert 0 <= low <= k / n <= high <= 1
    exact = stats.binomtest(k, n).proportion_ci(confidence, "exact")
    assert clopper_pearson(k, n, confidence, side="both") == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_clopper_pearson_exact_coverage() -> None:
    n = 40
    lower = np.array([clopper_pearson(k, n) for k in range(n + 1)])
    for p in np.linspace(0.05, 0.95, 19):
        assert stats.binom.pmf(np.arange(n + 1), n, p)[lower <= p].sum() >= 0.95


def test_clopper_pearson_edges() -> None:
    assert (clopper_pearson(0, 9), clopper_pearson(9, 9, side="upper")) == (0.0, 1.0)
    assert clopper_pearson(0, 0, side="both") == (0.0, 1.0)
    assert clopper_pearson(0, 149, side="upper") <= 0.02 < clopper_pearson(0, 148, side="upper")  # the rule of 149
    for bad in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(ValueError, match="clopper_pearson"):
            clopper_pearson(*bad)
    with pytest.raises(ValueError, match="side"):
        clopper_pearson(1, 2, side="middle")  # type: ignore[call-overload]


def test_rogan_gladen_values() -> None:
    result = rogan_gladen(0.4, 1000, 0.7, 200, 0.9, 200)
    assert tuple(round(x, 4) for x in result) == (0.1667, 0.0564, 0.2627)
    perfect = rogan_gladen(0.3, 10_000, 1.0, 10**9, 1.0, 10**9)
    assert perfect.estimate == pytest.approx(0.3) and perfect.high - perfect.low < 0.02
    assert rogan_gladen(0.1, 100, 0.7, 50, 0.9, 50).estimate == 0.0  # clipped
    with pytest.raises(ValueError, match="chance"):
        rogan_gladen(0.4, 100, 0.5, 50, 0.5, 50)
    with pytest.raises(ValueError, match="shares"):
        rogan_gladen(1.4, 100, 0.9, 50, 0.9, 50)


def _rogan_coverage(runs: int) -> float:
    rng = np.random.default_rng(0)
    true, q0, q1 = 0.25, 0.8, 0.9
    covered = 0
    for _ in range(runs):
        p = rng.binomial(400, true * q1 + (1 - true) * (1 - q0)) / 400
        result = rogan_gladen(p, 400, rng.binomial(150, q0) / 150, 150, rng.binomial(150, q1) / 150, 150)
        covered += result.low <= true <= result.high
    return covered / runs


def test_rogan_gladen_coverage() -> None:
    assert _rogan_coverage(2_000) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 2_000)


def _ppi_coverage(runs: int, seed: int) -> tuple[float, float]:
    """Share of intervals that hold the true mean, and mean width against the classical interval's."""
    rng = np.random.default_rng(seed)
    covered, width, classical = 0, 0.0, 0.0
    for _ in range(runs):
        y_all = (rng.random(1_100) < 0.6).astype(float)
        f_all = np.clip(y_all + 0.2 + 0.3 * rng.normal(size=1_100), -0.5, 2.0)  # biased by design
        result = ppi_mean(y_all[:100], f_all[:100], f_all[100:])
        covered += result.low <= 0.6 <= result.high
        width += result.high - result.low
        classical += 2 * 1.959964 * y_all[:100].std(ddof=1) / 10
    return covered / runs, width / classical


def test_ppi_covers_and_is_narrower() -> None:
    coverage, width = _ppi_coverage(1_000, 0)
    assert coverage >= 0.95 - 0.01 - 3 * math.sqrt(0.95 * 0.05 / 1_000)  # the normal interval loses up to 1 %
    assert width < 0.7


@pytest.mark.slow
def test_coverage_long() -> None:
    assert abs(_ppi_coverage(40_000, 1)[0] - 0.95) < 0.01
    assert _rogan_coverage(40_000) >= 0.947


def test_ppi_formula() -> None:
    y, f, rest = np.array([0.0, 1, 1, 0, 1]), np.array([0.1, 0.8, 0.9, 0.3, 0.6]), np.array([0.5, 0.7, 0.2, 0.9])
    spread = np.var(np.concatenate([f, rest]), ddof=1)
    lam = min(1.0, np.cov(y, f)[0, 1] / ((1 + 5 / 4) * spread))
    result = ppi_mean(y, f, rest)
    assert result.lam == pytest.approx(lam)
    assert result.mean == pytest.approx(lam * rest.mean() + (y - lam * f).mean())
    classical = ppi_mean(y, f, [])
    assert classical.lam == 0.0 and classical.mean == pytest.approx(0.6)
    assert ppi_mean(y, np.ones(5), np.ones(3)).lam == 0.0  # constant predictions
    assert ppi_mean(y, -f, -rest).lam == 0.0  # contrary predictions are not used
    with pytest.raises(ValueError, match="ppi_mean"):
        ppi_mean([1.0], [1.0], [1.0])
    with pytest.raises(ValueError, match="finite"):
        ppi_mean([1.0, np.nan], [1.0, 1.0], [1.0])


def test_label_rate_and_information_values() -> None:
    assert label_rate(0.01, 20, 0.10, 0.25) == pytest.approx(0.0183, abs=5e-5)
    assert label_rate(1, 1, 0.3, 0.25) == 1.0
    assert label_rate(0, 1, 0.1, 0.25) == 0.0
    with pytest.raises(ValueError, match="label_rate"):
        label_rate(1, 0, 0.1, 0.2)
    for accuracy, bits in ((0.9, 0.531), (0.6, 0.029), (0.5, 0.0)):
        assert expected_information([0.5, 0.5], accuracy) == pytest.approx(bits, abs=5e-4)
    assert expected_information([1.0, 0.0], 0.9) == 0.0
    assert expected_information([0.25] * 4, np.eye(4)) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="sum to 1"):
        expected_information([0.5, 0.4], 0.9)


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.integers(0, 1000))
def test_information_is_the_expected_fall_in_entropy(weights: list[float], seed: int) -> None:
    prior = np.array(weights) / np.sum(weights)
    confusion = np.random.default_rng(seed).dirichlet(np.ones(3), size=len(prior))
    said = prior @ confusion
    after = sum(said[j] * stats.entropy(prior * confusion[:, j], base=2) for j in range(3) if said[j] > 0)
    assert expected_information(prior, confusion) == pytest.approx(stats.entropy(prior, base=2) - after, abs=1e-9)


def test_ece_and_brier_by_hand() -> None:
    # bins (.7, .8] with accuracy 1/2 and (.9, 1] with accuracy 1
    assert ece([0.8, 0.8, 1.0, 1.0], [1, 0, 1, 1]) == pytest.approx(0.5 * 0.3)
    assert ece([0.0], [0]) == 0.0
    assert brier([0.8, 0.3], [1, 0]) == pytest.approx((0.04 + 0.09) / 2)
    assert brier([[0.8, 0.2], [0.3, 0.7]], [0, 0]) == pytest.approx((0.08 + 0.98) / 2)
    for bad in (([0.5], [2]), ([1.5], [1]), ([], []), ([0.5, 0.5], [1])):
        with pytest.raises(ValueError, match="ece"):
            ece(*bad)
    with pytest.raises(ValueError, match="labels"):
        brier([[0.5, 0.5]], [2])


def test_brier_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p, y = rng.random(50), rng.integers(0, 2, 50)
    assert brier(p, y) == pytest.approx(metrics.brier_score_loss(y, p))


def test_temperature_is_recovered_and_minimises_the_likelihood() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((20_000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(logits * 3, labels) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(logits * 0.2, labels) == pytest.approx(0.2, rel=0.05)
    assert fit_temperature([[2.0, 0.0]] * 3, [0, 0, 0]) < 0.01  # always right: as sharp as it goes
    with pytest.raises(ValueError, match="finite"):
        fit_temperature([[np.inf, 0.0]], [0])


def test_abstention_keeps_its_promise() -> None:
    # Accuracy at confidence c is c itself; kept items at threshold t have accuracy (1 + t)/2. Wanted: .9, so t = .8.
    rng = np.random.default_rng(0)
    broken, chosen = 0, []
    for _ in range(200):
        confidence = rng.random(4_000)
        threshold = abstention_threshold(confidence, rng.random(4_000) < confidence, 0.9)
        chosen.append(threshold)
        broken += threshold < 0.8
    assert broken / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.isfinite(chosen).mean() > 0.5  # and it is of use


def test_abstention_on_everything_without_evidence() -> None:
    assert abstention_threshold([0.9] * 5, [1] * 5, 0.9) == math.inf
    assert abstention_threshold(np.linspace(0, 1, 200), np.zeros(200), 0.5) == math.inf
    assert abstention_threshold([0.9] * 500, [1] * 500, 0.9) == 0.9


def test_swap_consistency() -> None:
    steady = swap_consistency([0, 1, 0, 1], [0, 1, 0, 1])
    assert steady[:3] == (1.0, clopper_pearson(4, 4), 0.5)
    first = swap_consistency([0] * 10, [1] * 10)  # always the one shown first
    assert (first.consistency, first.first, first.n) == (0.0, 1.0, 10)
    assert swap_consistency([0, None, 1], [0, 1, None]).n == 1
    assert math.isnan(swap_consistency([None], [0]).consistency)
    with pytest.raises(ValueError, match="option"):
        swap_consistency([2], [0])
    with pytest.raises(ValueError, match="swapped"):
        swap_consistency([0], [])


def test_length_bias() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 500, size=(2_000, 2))
    longer = (lengths[:, 1] > lengths[:, 0]).astype(int)
    labels = rng.integers(0, 2, 2_000)
    biased = np.where(rng.random(2_000) < 0.3, longer, labels)
    found = length_bias(biased, lengths, labels)
    assert found.low <= 0.15 <= found.high and found.low > 0  # moved 30 % of the half that disagreed
    fair = length_bias(labels, lengths, labels)
    assert fair.bias == 0.0
    assert length_bias(longer, lengths).bias == pytest.approx(0.5)
    assert length_bias([0, 1], [[1, 1], [2, 2]]).n == 0
    with pytest.raises(ValueError, match="lengths"):
        length_bias([0], [[1, 2, 3]])


def test_self_preference() -> None:
    rng = np.random.default_rng(1)
    own, human = rng.integers(0, 2, 2_000), rng.integers(0, 2, 2_000)
    fair = np.where(rng.random(2_000) < 0.8, human, 1 - human)
    result = self_preference(fair, human, own)
    assert result.low <= 0 <= result.high
    partial = np.where(rng.random(2_000) < 0.3, own, fair)
    result = self_preference(partial, human, own)
    # own better: .7·.8 + .3; other better: .7·.8 → difference .3
    assert result.low <= 0.3 <= result.high and result.low > 0.2
    assert math.isnan(self_preference([0], [0], [0]).bias)
    with pytest.raises(ValueError, match="own"):
        self_preference([0], [0], [2])


# --- anytime-valid bounds ------------------------------------------------------------------------------------------


def _log_martingale(hits: np.ndarray, p: float) -> float:
    """By numerical integration, for one start."""
    q = (np.arange(200_000) + 0.5) / 200_000 * p
    k, n = hits.sum(), len(hits)
    return float(np.log(np.mean((q / p) ** k * ((1 - q) / (1 - p)) ** (n - k))))


def test_evidence_is_the_mixture_it_says() -> None:
    hits = (np.random.default_rng(0).random(25) < 0.6).astype(float)
    single = drop_evidence(hits, 0.75, every=1_000)
    assert single[-1] == pytest.approx(np.log(0.5 * np.exp(_log_martingale(hits, 0.75)) + 0.5), abs=1e-6)
    restarted = drop_evidence(hits, 0.75, every=10)
    parts = [np.exp(_log_martingale(hits[start:], 0.75)) / (s * (s + 1)) for s, start in enumerate((0, 10, 20), 1)]
    assert restarted[-1] == pytest.approx(np.log(sum(parts) + 1 / 4), abs=1e-6)


def test_evidence_has_mean_at_most_one_under_the_null() -> None:
    # Exactly, over all 2^12 sequences with P(agree) = .75.
    sequences = (np.arange(2**12)[:, None] >> np.arange(12)) & 1
    chance = 0.75 ** sequences.sum(axis=1) * 0.25 ** (12 - sequences.sum(axis=1))
    evidence = np.array([np.exp(drop_evidence(row, 0.75, every=5)[-1]) for row in sequences])
    assert float(chance @ evidence) == pytest.approx(1.0, abs=1e-9)


def _misses(rate: float, runs: int, items: int, seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(seed)
    above = below = alarms = 0
    for _ in range(runs):
        hits = rng.random(items) < rate
        bounds = agreement_bounds(hits)
        above += bool((bounds.upper < rate).any())
        below += bool((bounds.lower > rate).any())
        alarms += first_alarm(hits, rate) is not None
    return above / runs, below / runs, alarms / runs


@pytest.mark.parametrize("rate", [0.75, 0.95])
def test_bounds_hold_at_every_moment(rate: float) -> None:
    above, below, alarms = _misses(rate, 150, 300, 0)
    slack = 3 * math.sqrt(0.05 * 0.95 / 150)
    assert above + below <= 0.05 + slack and alarms <= 0.05 + slack


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.75, 0.95])
def test_bounds_hold_at_every_moment_long(rate: float) -> None:
    above, below, alarms = _misses(rate, 2_000, 1_000, 1)
    assert above + below <= 0.05 and alarms <= 0.05


def test_late_drift_is_seen_and_a_good_judge_is_kept() -> None:
    delays = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drifting = np.concatenate([rng.random(1_000) < 0.9, rng.random(300) < 0.5])
        alarm = first_alarm(drifting, 0.75)
        assert alarm is not None and alarm >= 1_000
        assert agreement_bounds(drifting).upper[alarm] > 0.8  # the whole past dilutes the drop
        delays.append(alarm - 1_000)
    assert np.mean(delays) < 100
    upper = restarted_upper_bounds(drifting)
    assert upper[alarm] < 0.75 <= upper[alarm - 1]  # the same statement, inverted


def test_a_lower_bound_under_the_threshold_is_no_alarm() -> None:
    fair = np.random.default_rng(0).random(300) < 0.78
    assert agreement_bounds(fair).lower[-1] < 0.75 and first_alarm(fair, 0.75) is None


def test_sequential_input() -> None:
    assert restarted_upper_bounds([]).shape == (0,) and first_alarm([], 0.5) is None
    assert agreement_bounds([1]).lower[0] < 0.5
    for call in (
        lambda: agreement_bounds([0.5]),
        lambda: agreement_bounds([1], confidence=1.0),
        lambda: drop_evidence([1], 1.0),
        lambda: restarted_upper_bounds([1], every=0),
    ):
        with pytest.raises(ValueError):
            call()
