"""Credit: theory values, baselines, scalarisers, process rewards."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.learning.baselines import EmaBaseline, GroupBaseline
from debate.learning.credit import CreditConfig, assign_credit
from debate.learning.samples import Sample
from debate.learning.scalarisers import (
    ChebyshevESR,
    ChebyshevSER,
    Constraint,
    Lagrangian,
    Lexicographic,
    Linear,
    weighted_sum,
)

EXACT = CreditConfig(epsilon=0.0)
RAW = CreditConfig(epsilon=0.0, batch="none")


def sample(n, rewards, group="g", role="debater", position=0, criteria=None):
    rewards = np.atleast_1d(np.asarray(rewards, dtype=float))
    names = criteria or tuple(f"c{i}" for i in range(len(rewards)))
    status = tuple("ok" if math.isfinite(r) else "abstain" for r in rewards)
    return Sample(f"e{n:03d}", "p", role, f"seat{position}", position, group, "alice-v0", (), names, rewards, status)


def samples_from(table, groups, **kind):
    return [sample(n, row, group=group, **kind) for n, (row, group) in enumerate(zip(table, groups, strict=True))]


def test_per_criterion_normalisation_gives_the_published_table():
    """GDPO (2601.05242), groups {(0,0),(1,0)} and {(0,0),(1,1)}, ddof = 1, before the batch step."""
    samples = samples_from([(0, 0), (1, 0), (0, 0), (1, 1)], "aabb")
    weights = {"c0": 1.0, "c1": 1.0}
    config = CreditConfig(epsilon=1e-12, batch="none")
    credit = assign_credit(samples, weights, GroupBaseline(), config)
    half = math.sqrt(0.5)
    np.testing.assert_allclose(credit.advantages, [-half, half, -2 * half, 2 * half], atol=1e-9)
    # Sum-then-normalise cannot tell the two groups apart.
    summed = samples_from([(0,), (1,), (0,), (2,)], "aabb")
    credit = assign_credit(summed, {"c0": 1.0}, GroupBaseline(), config)
    np.testing.assert_allclose(credit.advantages, [-half, half, -half, half], atol=1e-9)


def test_batch_step_normalises_within_each_place():
    rng = np.random.default_rng(0)
    left = samples_from(rng.normal(5, 3, (8, 1)), "aaaabbbb", position=0)
    right = samples_from(rng.normal(-2, 0.1, (8, 1)), "aaaabbbb", position=1)
    credit = assign_credit(left + right, {"c0": 1.0}, GroupBaseline(), EXACT)
    for part in (credit.advantages[:8], credit.advantages[8:]):
        assert part.mean() == pytest.approx(0, abs=1e-12)
        assert part.std(ddof=1) == pytest.approx(1)


def test_baselines_are_never_pooled_over_seats():
    """With win rates .9 and .1 only 36 % of the pooled second moment is signal."""
    win = [1.0] * 9 + [0.0]
    first = samples_from(win, "g" * 10, position=0)
    second = samples_from([1 - w for w in win], "g" * 10, position=1)
    centred = assign_credit(first + second, {"c0": 1.0}, GroupBaseline(), replace(RAW, scale="none")).advantages
    pooled = np.array(win + [1 - w for w in win]) - 0.5
    assert centred[:10].mean() == pytest.approx(0, abs=1e-12)
    assert (centred**2).mean() / (pooled**2).mean() == pytest.approx(0.36)


def test_leave_one_out_is_rloo():
    rewards = np.array([0.0, 1.0, 5.0, -2.0])
    credit = assign_credit(samples_from(rewards, "gggg"), {"c0": 1.0}, GroupBaseline(True), replace(RAW, scale="none"))
    expected = [r - np.delete(rewards, i).mean() for i, r in enumerate(rewards)]
    np.testing.assert_allclose(credit.advantages, expected)


def test_a_group_of_one_has_no_baseline_and_says_so():
    credit = assign_credit(samples_from([1.0, 0.0, 1.0], "aab"), {"c0": 1.0}, GroupBaseline(), EXACT)
    assert np.isnan(credit.advantages[2]) and credit.untrainable == 1
    assert credit.alone == {"c0": 1} and credit.excluded == {"c0": 0}


def test_unknown_criteria_are_excluded_not_zeroed():
    nan = math.nan
    samples = samples_from([(1, 3), (0, nan), (1, 1), (nan, nan)], "gggg")
    credit = assign_credit(samples, {"c0": 1.0, "c1": 1.0}, GroupBaseline(), replace(RAW, scale="none"))
    np.testing.assert_allclose(credit.advantages[:3], [1 / 3 + 1, -2 / 3, 1 / 3 - 1])
    assert np.isnan(credit.advantages[3])
    assert credit.excluded == {"c0": 1, "c1": 2} and credit.untrainable == 1


def test_spread_reports_the_mean_standard_deviation_inside_groups():
    credit = assign_credit(samples_from([0.0, 1.0, 3.0, 3.0], "aabb"), {"c0": 1.0}, GroupBaseline())
    assert credit.spread["c0"] == pytest.approx(math.sqrt(0.5) / 2)
    assert credit.advantages[2] == credit.advantages[3]


def test_ema_is_read_before_it_is_updated():
    """SPIRAL (2506.24119): advantage = R − b, then b ← .95 b + .05 R."""
    baseline = EmaBaseline(values={("p", "debater", 0, "c0"): 0.5})
    config = CreditConfig(scale="none", batch="none")
    credit = assign_credit(samples_from([1.0, 0.0], "ab"), {"c0": 1.0}, baseline, config)
    np.testing.assert_array_equal(credit.advantages, [0.5, -0.5])
    assert baseline.values["p", "debater", 0, "c0"] == pytest.approx(0.95 * (0.95 * 0.5 + 0.05))


def test_ema_without_history_compares_leave_one_out():
    baseline = EmaBaseline()
    config = CreditConfig(scale="none", batch="none")
    credit = assign_credit(samples_from([1.0, 0.0, 2.0], "abc"), {"c0": 1.0}, baseline, config)
    np.testing.assert_allclose(credit.advantages, [0, -1.5, 1.5])
    lone = assign_credit([sample(9, 1.0, role="critic")], {"c0": 1.0}, baseline, config)
    assert np.isnan(lone.advantages[0])
    assert baseline.values["p", "critic", 0, "c0"] == 1.0


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.integers(0, 2))
def test_ema_state_survives_json_bit_for_bit(rewards, position):
    whole, half = EmaBaseline(), EmaBaseline()
    batches = [samples_from(rewards, ["g"] * len(rewards), position=position)] * 2
    for baseline in (whole, half):
        assign_credit(batches[0], {"c0": 1.0}, baseline)
    resumed = EmaBaseline()
    resumed.load(json.loads(json.dumps(half.state())))
    for baseline in (whole, resumed):
        assign_credit(batches[1], {"c0": 1.0}, baseline)
    assert whole.state() == resumed.state()


def test_state_of_another_baseline_is_refused():
    with pytest.raises(ValueError, match="expected kind = 'ema', got 'group'"):
        EmaBaseline().load(GroupBaseline().state())


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=4, max_size=4),
    st.floats(0.1, 10),
    st.floats(-5, 5),
)
def test_advantages_ignore_scale_and_shift_of_a_criterion(table, scale, shift):
    table = np.round(np.array(table), 2)
    moved = table * [scale, 1.0] + [shift, 0.0]
    weights = {"c0": 0.7, "c1": 0.3}
    credits = [
        assign_credit(samples_from(t, "aabb"), weights, GroupBaseline(), CreditConfig(epsilon=1e-9))
        for t in (table, moved)
    ]
    if all(np.ptp(table[i : i + 2, 0]) > 1e-6 for i in (0, 2)):
        np.testing.assert_allclose(credits[0].advantages, credits[1].advantages, atol=1e-4)


# --- process rewards -------------------------------------------------------------------------------------------


def process_advantages(level, final=(1.0, 1.0, 1.0, 1.0)):
    table = np.stack([final, [0.0, 1.0, 2.0, 5.0]], axis=1)
    return assign_credit(samples_from(table, "gggg"), {"c0": 1.0}, GroupBaseline(), process={"c1": level}).advantages


def test_process_weight_stays_outside_every_normalisation():
    """Where final rewards tie, λ = 1 and λ = .001 must not give the same advantages."""
    np.testing.assert_allclose(process_advantages(1.0), 1000 * process_advantages(0.001), rtol=1e-9)
    assert np.abs(process_advantages(1.0)).max() > 0.5


def test_process_weight_zero_is_exactly_the_final_reward():
    final = (0.0, 1.0, 0.0, 1.0)
    only = assign_credit(samples_from(np.array(final), "gggg"), {"c0": 1.0}, GroupBaseline()).advantages
    np.testing.assert_array_equal(process_advantages(0.0, final), only)


def test_process_reward_is_added_to_the_normalised_final_one():
    final = (0.0, 1.0, 0.0, 1.0)
    both = process_advantages(0.5, final) - process_advantages(0.0, final)
    np.testing.assert_allclose(both, process_advantages(0.5), atol=1e-12)


@pytest.mark.parametrize("process", [{"c7": 1.0}, {"c1": -1.0}, {"c1": math.nan}])
def test_bad_process_settings_are_refused(process):
    with pytest.raises(ValueError, match="process reward"):
        assign_credit(samples_from([(1, 0), (0, 1)], "aa"), {"c0": 1.0}, GroupBaseline(), process=process)


# --- scalarisers -----------------------------------------------------------------------------------------------

NAMES = ("c0", "c1")


def test_weights_for_unknown_criteria_are_refused():
    with pytest.raises(ValueError, match="unknown criteria truth"):
        Linear({"truth": 1.0}).combine(np.zeros((1, 2)), np.zeros((1, 2)), NAMES)
    with pytest.raises(ValueError, match="at least one not 0"):
        Linear({"c0": 0.0}).combine(np.zeros((1, 2)), np.zeros((1, 2)), NAMES)


def test_weighted_sum_ignores_criteria_without_weight():
    got = weighted_sum(np.array([[1.0, math.nan], [math.nan, 2.0]]), np.array([2.0, 0.0]))
    assert got[0] == 2.0 and np.isnan(got[1])


def test_chebyshev_esr_and_ser_differ():
    """(1,0) and (0,1) in turn: every episode has utility −1, the mean return (½,½) has utility −½."""
    rewards = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights, ideal = dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 1.0)
    np.testing.assert_allclose(ChebyshevESR(weights, ideal).utility(rewards, NAMES), [-1, -1])
    skewed = np.array([[1.0, 0.0], [1.0, 0.2]])
    advantages = np.array([[3.0, -1.0], [0.0, 1.0]])
    # The second criterion is the worse one at the mean, so only its advantage counts, with its weight.
    np.testing.assert_allclose(ChebyshevSER({"c0": 1.0, "c1": 2.0}, ideal).combine(advantages, skewed, NAMES), [-2, 2])


def test_chebyshev_ser_ascends_the_utility_of_the_mean():
    """The combination is the gradient of u(E r): finite difference on a two-point policy."""
    outcomes = np.array([[1.0, 0.0], [0.2, 0.6]])
    weights, ideal = np.array([1.0, 1.5]), np.array([1.0, 1.0])

    def utility(p):
        return -np.max(weights * (ideal - (p * outcomes[0] + (1 - p) * outcomes[1])))

    p, h = 0.4, 1e-6
    slope = (utility(p + h) - utility(p - h)) / (2 * h)
    counts = [4, 6]
    rewards = np.repeat(outcomes, counts, axis=0)
    scalariser = ChebyshevSER(dict(zip(NAMES, weights, strict=True)), dict.fromkeys(NAMES, 1.0))
    advantages = scalariser.combine(rewards - rewards.mean(axis=0), rewards, NAMES)
    score = np.repeat([1 / p, -1 / (1 - p)], counts)
    assert (advantages * score).mean() == pytest.approx(slope, rel=1e-6)


def test_esr_utility_goes_through_credit():
    samples = samples_from([(1, 0), (0.5, 0.5), (1, 1), (0, 0)], "gggg")
    scalariser = ChebyshevESR(dict.fromkeys(NAMES, 1.0), dict.fromkeys(NAMES, 1.0))
    credit = assign_credit(samples, scalariser, GroupBaseline(), replace(RAW, scale="none"))
    np.testing.assert_allclose(credit.advantages, np.array([-1, -0.5, 0, -1]) - (-0.625))


def test_lexicographic_order_with_threshold():
    rewards = np.array([[0.9, 0.0], [0.7, 1.0], [0.2, 9.0], [0.8, 0.5]])
    strict = Lexicographic(NAMES).utility(rewards, NAMES)
    assert list(np.argsort(-strict)) == [0, 3, 1, 2]
    satisfied = Lexicographic(NAMES, thresholds={"c0": 0.6}).utility(rewards, NAMES)
    assert list(np.argsort(-satisfied)) == [1, 3, 0, 2]
    assert satisfied.max() == 1 and satisfied.min() == -1
    coarse = Lexicographic(("c0",), resolution=0.5).utility(rewards, NAMES)
    assert coarse[0] == coarse[1] == coarse[3] > coarse[2]


def test_lexicographic_leaves_unknown_out():
    utility = Lexicographic(NAMES).utility(np.array([[1.0, math.nan], [1.0, 2.0], [0.0, 1.0]]), NAMES)
    assert np.isnan(utility[0]) and list(utility[1:]) == [1, -1]


def test_lagrangian_formula_and_multiplier():
    lagrangian = Lagrangian({"c0": 1.0}, (Constraint("c1", "ceiling", 0.5),), rate=0.1, multipliers=[2.0])
    advantages = np.array([[1.0, 0.5], [-1.0, 2.0]])
    np.testing.assert_allclose(lagrangian.combine(advantages, advantages, NAMES), [(1 - 1) / 3, (-1 - 4) / 3])
    assert lagrangian.step(np.array([[0, 1.5], [0, math.nan]]), NAMES) == [pytest.approx(2.1)]
    floor = Lagrangian({"c0": 1.0}, (Constraint("c1", "floor", 0.5),), rate=0.1)
    floor.step(np.array([[0.0, 0.0]]), NAMES)
    assert floor.multipliers == [pytest.approx(0.05)]
    np.testing.assert_allclose(floor.combine(np.array([[1.0, 1.0]]), np.zeros((1, 2)), NAMES), [1.05 / 1.05])
    floor.step(np.array([[0.0, 99.0]]), NAMES)
    assert floor.multipliers == [0.0]
    resumed = Lagrangian({"c0": 1.0}, lagrangian.constraints)
    resumed.load(json.loads(json.dumps(lagrangian.state())))
    assert resumed.multipliers == lagrangian.multipliers


def test_lagrangian_finds_the_constrained_optimum_of_a_bandit():
    """Reward p, cost p, limit .3: an entropy-regularised policy settles where the constraint binds."""
    lagrangian = Lagrangian({"c0": 1.0}, (Constraint("c1", "ceiling", 0.3),), rate=0.05)
    theta, trace = 0.0, []
    for _ in range(4000):
        p = 1 / (1 + math.exp(-theta))
        lam = lagrangian.multipliers[0]
        theta += 0.5 * p * (1 - p) * ((1 - lam) / (1 + lam) - 0.1 * theta)
        lagrangian.step(np.array([[p, p]]), NAMES)
        trace.append(p)
    assert np.mean(trace[-500:]) == pytest.approx(0.3, abs=0.01)


def test_samples_with_different_criteria_are_refused():
    with pytest.raises(ValueError, match="expected criteria"):
        assign_credit([sample(0, 1.0), sample(1, 1.0, criteria=("truth",))], {"c0": 1.0}, GroupBaseline())


def test_no_samples_is_no_credit():
    credit = assign_credit([], {"c0": 1.0}, GroupBaseline())
    assert credit.advantages.shape == (0,) and credit.untrainable == 0
