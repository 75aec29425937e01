"""Audits: every verdict keeps a chance, draws repeat, and the gap between raw and corrected rewards is unbiased."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges import draw_audit, inclusion_probabilities, reward_gap


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e3)), min_size=1, max_size=60),
    st.floats(0.001, 0.2),
    st.floats(0.0, 0.8),
)
def test_every_item_keeps_the_floor_and_the_rate_is_kept(uncertainty, floor, more):
    rate = min(1.0, floor + more)
    p = inclusion_probabilities(uncertainty, rate, floor)
    assert (p >= floor - 1e-12).all()
    assert (p <= 1 + 1e-12).all()
    assert p.mean() <= rate + 1e-9
    room = np.mean(np.array(uncertainty) > 0) * (1 - floor)
    assert p.mean() == pytest.approx(floor + min(rate - floor, room), abs=1e-6)
    order = np.argsort(uncertainty, kind="stable")
    assert (np.diff(p[order]) >= -1e-9).all()


@pytest.mark.parametrize(("rate", "floor"), [(0.1, 0.0), (0.1, 0.2), (1.5, 0.1)])
def test_a_floor_of_nothing_is_refused(rate, floor):
    with pytest.raises(ValueError, match="floor"):
        inclusion_probabilities([1.0], rate, floor)
    with pytest.raises(ValueError, match="uncertainty"):
        inclusion_probabilities([-1.0], 0.1, 0.05)


def test_draws_depend_on_seed_and_name_alone():
    items = [f"v{i}" for i in range(500)]
    some = draw_audit(items, np.ones(500), 0.2, 0.05, seed=1)
    again = draw_audit(items[::-1], np.ones(500), 0.2, 0.05, seed=1)
    assert {d.item for d in some} == {d.item for d in again}
    assert {d.item for d in some} != {d.item for d in draw_audit(items, np.ones(500), 0.2, 0.05, seed=2)}
    with pytest.raises(ValueError, match="500 items"):
        draw_audit(items, [1.0], 0.2, 0.05, seed=1)


def test_draws_have_their_probabilities():
    items = [f"v{i}" for i in range(400)]
    weights = np.linspace(0.0, 1.0, 400)
    p = inclusion_probabilities(weights, 0.3, 0.1)
    count, base = np.zeros(400), 0
    for seed in range(300):
        for d in draw_audit(items, weights, 0.3, 0.1, seed):
            count[int(d.item[1:])] += 1
            base += d.base
            assert d.inclusion == pytest.approx(p[int(d.item[1:])])
    assert base / (300 * 400) == pytest.approx(0.1, abs=0.005)
    for part in np.split(np.arange(400), 4):
        assert count[part].mean() / 300 == pytest.approx(p[part].mean(), abs=0.01)


def test_the_gap_is_unbiased_and_its_interval_covers():
    """A judge that overpays by .1, most where it is audited most: the weights undo the unequal draws."""
    rng = np.random.default_rng(0)
    judged = rng.random(1000)
    truth = judged - 0.2 * judged
    true_gap = float((judged - truth).mean())
    items = [f"v{i}" for i in range(1000)]
    p = inclusion_probabilities(judged, 0.2, 0.05)
    gaps, covered = [], 0
    for seed in range(300):
        drawn = [int(d.item[1:]) for d in draw_audit(items, judged, 0.2, 0.05, seed)]
        found = reward_gap(truth[drawn], judged[drawn], p[drawn], judged)
        gaps.append(found.gap)
        covered += found.low <= true_gap <= found.high
        assert found.raw - found.gap == pytest.approx(found.corrected)
    assert np.mean(gaps) == pytest.approx(true_gap, abs=0.002)
    assert covered / 300 > 0.90
    naive = np.mean((judged - truth)[drawn])
    assert naive > true_gap + 0.01  # what unweighted audits would have said


def test_an_honest_judge_has_no_gap():
    rewards = np.linspace(0, 1, 50)
    found = reward_gap(rewards[:10], rewards[:10], np.full(10, 0.2), rewards)
    assert (found.gap, found.low, found.high) == (0.0, 0.0, 0.0)


def test_bad_audits():
    with pytest.raises(ValueError, match="shapes"):
        reward_gap([1.0], [1.0, 2.0], [0.5], [1.0])
    with pytest.raises(ValueError, match="inclusion"):
        reward_gap([1.0], [1.0], [0.0], [1.0])
