"""Confidence sequences, NashConv bounds and matchmaking."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import EmpiricalGame, NormalFormGame, nash_conv_bounds, next_matches
from games.empirical.bernstein import segment_intervals
from games.empirical.bounds import box_nash_conv, box_nash_conv_zero_sum, cell_intervals
from games.empirical.confidence import log_wealth, mean_interval
from games.empirical.matchmaking import adaptive_zero_sum, certified_gap, fill, open_edges, whole_matches
from games.normal_form import regrets


def played(win: np.ndarray, matches: int, seed: int) -> EmpiricalGame:
    rng = np.random.default_rng(seed)
    profiles = np.repeat(np.argwhere(np.ones_like(win)), matches, axis=0)
    won = (rng.uniform(size=len(profiles)) < win[tuple(profiles.T)]).astype(float)
    return EmpiricalGame.from_samples(profiles, np.stack([won, 1 - won], axis=1))


def test_interval_ends_have_wealth_one_over_delta():
    """The ends solve log wealth = log(1/δ) (Ville), and hold the empirical mean between them."""
    low, high = mean_interval([3.0, 40.0], [10.0, 90.0], 0.05)
    for end in (low, high):
        np.testing.assert_allclose(
            log_wealth(np.array([3.0, 40.0]), np.array([10.0, 90.0]), end), np.log(20), rtol=1e-6
        )
    assert (low < [0.3, 40 / 90]).all()
    assert (high > [0.3, 40 / 90]).all()


def test_interval_without_observations_is_everything():
    assert [float(v) for v in mean_interval(0.0, 0.0, 0.05)] == [0.0, 1.0]
    low, high = mean_interval([0.0, 5.0], [5.0, 5.0], 0.05)
    assert (low[0], high[1]) == (0.0, 1.0)


def test_interval_refuses_what_lies_outside_the_range():
    with pytest.raises(ValueError, match="outside the declared range"):
        mean_interval(6.0, 5.0, 0.05)
    with pytest.raises(ValueError, match="delta"):
        mean_interval(1.0, 5.0, 0.0)


@pytest.mark.parametrize("mean", [0.5, 0.1])
@pytest.mark.parametrize("binary", [True, False])
def test_confidence_sequence_covers_at_all_times(mean, binary):
    """800 paths of 600 steps: the share that ever leaves is at most δ = 0.1 (Ville), plus sampling error."""
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(800, 600)) < mean if binary else rng.beta(4 * mean, 4 * (1 - mean), size=(800, 600))
    wealth = log_wealth(
        np.cumsum(x, axis=1, dtype=float), np.broadcast_to(np.arange(1.0, 601), x.shape), np.full(x.shape, mean)
    )
    ever = (wealth > np.log(10)).any(axis=1).mean()
    assert ever <= 0.1 + 3 * np.sqrt(0.09 / 800)


@pytest.mark.parametrize("spread", [0.02, 0.5])
def test_bernstein_sequence_covers_at_all_times(spread):
    """400 paths looked at on a grid of times; the interval of each time must hold the mean (Theorem 2: δ = 0.1)."""
    rng = np.random.default_rng(8)
    x = 0.4 + spread * (rng.uniform(size=(400, 500)) - 0.4 if spread == 0.5 else rng.uniform(-1, 1, size=(400, 500)))
    mean = 0.4 + spread * (0.1 if spread == 0.5 else 0.0)
    missed = np.zeros(400, bool)
    for n in (1, 2, 5, 10, 20, 50, 100, 200, 350, 500):
        low, high = segment_intervals(x[:, :n].reshape(-1), np.repeat(np.arange(400), n), 400, 0.1)
        missed |= (low > mean) | (high < mean)
    assert missed.mean() <= 0.1 + 3 * np.sqrt(0.09 / 400)


def test_bernstein_is_narrower_where_rewards_hardly_vary():
    x = np.full(300, 0.4) + np.random.default_rng(0).uniform(-0.01, 0.01, size=300)
    low, high = segment_intervals(x, np.zeros(300, np.int64), 2, 0.05)
    wide = mean_interval(x.sum(), 300.0, 0.05)
    assert high[0] - low[0] < 0.5 * (wide[1] - wide[0])
    assert (low[1], high[1]) == (0.0, 1.0)


def corners(low, high):
    for choice in itertools.product([0, 1], repeat=low.size):
        mask = np.array(choice).reshape(low.shape).astype(bool)
        yield np.where(mask, high, low)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_box_bounds_are_the_extremes_over_corners(seed):
    """The upper bound is attained (a convex function is largest at a corner), the lower one is never passed."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(size=(2, 2))
    high = low + rng.uniform(size=(2, 2)) * 0.5
    profile = [rng.dirichlet(np.ones(2)) for _ in range(2)]
    values = [regrets(NormalFormGame.zero_sum(a), profile).sum() for a in corners(low, high)]
    bottom, top = box_nash_conv_zero_sum(low, high, *profile)
    assert top == pytest.approx(max(values))
    assert bottom <= min(values) + 1e-12
    both_low, both_high = np.stack([low, low.T - 0.2]), np.stack([high, high.T])
    values = [regrets(NormalFormGame(a[:, None]), profile).sum() for a in corners(both_low, both_high)]
    bottom, top = box_nash_conv(both_low, both_high, profile)
    assert top == pytest.approx(max(values))
    assert bottom <= min(values) + 1e-12


def test_bounds_close_on_the_truth_and_hold_for_a_profile_chosen_from_the_data():
    truth = np.array([[0.5, 0.2, 0.9], [0.8, 0.5, 0.4], [0.1, 0.6, 0.5]])
    widths = []
    for matches in (50, 500, 5000):
        game = played(truth, matches, seed=matches)
        _, x, y = certified_gap(*(v[:1] for v in cell_intervals(game, 0.05)))
        low, high = nash_conv_bounds(game, [x[0], y[0]], 0.05)
        true = regrets(NormalFormGame.zero_sum(truth), [x[0], y[0]]).sum()
        assert low <= true <= high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_unplayed_cells_can_be_anything():
    game = EmpiricalGame.from_samples([[0, 0]], [[0.5, 0.5]], strategies=[["a", "b"], ["c"]])
    low, high = nash_conv_bounds(game, [[1, 0], [1]], 0.05)
    assert low == 0.0
    assert 0.5 < high <= 1.0


def test_clusters_are_the_observations():
    rng = np.random.default_rng(0)
    won = np.repeat(rng.integers(0, 2, size=20).astype(float), 50)
    rewards = np.stack([won, 1 - won], axis=1)
    by_cluster = EmpiricalGame.from_samples(np.zeros((1000, 2), int), rewards, np.repeat(np.arange(20), 50))
    low, high = cell_intervals(by_cluster, 0.05)
    once = EmpiricalGame.from_samples(np.zeros((20, 2), int), rewards[::50])
    expected = [v.item() for v in cell_intervals(once, 0.05)]
    assert [low.item(), high.item()] == pytest.approx(expected)
    assert high - low > 0.3  # 20 observations, not 1,000


def test_bounds_refuse_an_undeclared_range():
    game = EmpiricalGame.from_samples([[0, 0]], [[3.0, -3.0]])
    with pytest.raises(ValueError, match="payoff_range"):
        nash_conv_bounds(game, [[1], [1]])
    assert nash_conv_bounds(game, [[1], [1]], payoff_range=(-3, 3)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="none is known"):
        nash_conv_bounds(EmpiricalGame.from_samples([[0, 0]], [[np.nan, np.nan]]), [[1], [1]])
    with pytest.raises(ValueError, match="holds all rewards"):
        nash_conv_bounds(game, [[1], [1]], payoff_range=(0, 1))
    with pytest.raises(ValueError, match=r"profile\[0\]"):
        nash_conv_bounds(game, [[0.5], [1]], payoff_range=(-3, 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 1e5))
def test_filling_spends_the_budget_at_the_optimum(seed, budget):
    """Adds up to the budget, and no transfer between two cells does better (the objective is convex)."""
    rng = np.random.default_rng(seed)
    reach, have = (
        rng.uniform(size=(2, 6)) * (rng.uniform(size=(2, 6)) < 0.8),
        rng.integers(1, 200, size=(2, 6)).astype(float),
    )
    added = fill(reach, have, np.full(2, budget))
    np.testing.assert_allclose(added.sum(axis=1), budget, rtol=1e-9)

    def objective(extra):
        return (reach * np.sqrt(have / (have + extra))).sum(axis=1)

    other = rng.dirichlet(np.ones(6), size=2) * budget
    assert (objective(added)[reach.max(axis=1) > 0] <= objective(other)[reach.max(axis=1) > 0] + 1e-9).all()


def test_uniform_levels_the_counts():
    game = EmpiricalGame.from_samples([[0, 0]] * 3 + [[0, 1]], [[0.5, 0.5]] * 4, strategies=[["a", "b"], ["c", "d"]])
    plan = next_matches(game, 8, rule="uniform")
    counts = game.counts() + np.bincount(plan @ [2, 1], minlength=4).reshape(2, 2)
    assert counts.tolist() == [[3, 3], [3, 3]]


def test_adaptive_leaves_dominated_strategies_alone():
    """Row and column 2 lose surely: once that is known, what is left to play is among the other four cells."""
    truth = np.array([[0.5, 0.4, 1.0], [0.4, 0.6, 1.0], [0.0, 0.0, 0.5]])
    plan = next_matches(played(truth, 200, seed=0), 400)
    assert plan.shape == (400, 2)
    assert (plan < 2).all()


def test_response_graph_rule_plays_open_edges_only():
    low = np.array([[[[0.8, 0.1], [0.1, 0.15]]]])
    graph = open_edges(low, low + 0.1)
    assert graph.tolist() == [[[False, True], [True, True]]]
    truth = np.array([[0.9, 0.9], [0.5, 0.1]])
    plan = next_matches(played(truth, 400, seed=3), 100, rule="response_graph_ucb")
    assert {tuple(row) for row in plan.tolist()} == {(0, 0), (0, 1)}


@pytest.mark.parametrize("rule", ["adaptive", "uniform", "response_graph_ucb"])
def test_rules_work_for_three_players_and_general_sums(rule):
    rng = np.random.default_rng(0)
    profiles = rng.integers(0, 2, size=(400, 3))
    game = EmpiricalGame.from_samples(profiles, rng.uniform(size=(400, 3)))
    plan = next_matches(game, 50, rule=rule)
    assert plan.shape == (50, 3)
    assert plan.max() <= 1
    assert (plan == next_matches(game, 50, rule=rule)).all()


def test_matchmaking_refusals():
    game = played(np.full((2, 2), 0.5), 3, seed=0)
    with pytest.raises(ValueError, match="rule"):
        next_matches(game, 5, rule="best")
    with pytest.raises(ValueError, match="budget"):
        next_matches(game, 0)


def test_whole_matches_add_up():
    assert whole_matches(np.array([[0.5, 1.7], [0.4, 0.4]]), 3).tolist() == [[1, 2], [0, 0]]


def certify(rule, truth, epsilon, seed):
    """Matches until every game's best profile is certified, and whether each bound held at every look."""
    rng = np.random.default_rng(seed)
    wins, n = np.zeros_like(truth), np.zeros_like(truth)
    right = np.ones(len(truth), bool)
    while True:
        low, high = mean_interval(wins, n, 0.05 / truth[0].size)
        gap, x, y = certified_gap(low, high)
        true = np.einsum("rmn,rn->rm", truth, y).max(1) - np.einsum("rm,rmn->rn", x, truth).min(1)
        right &= true <= gap + 1e-9
        if (gap <= epsilon).all():
            return n.sum(axis=(1, 2)), right
        budget = np.where(gap > epsilon, np.maximum(25.0, 0.2 * n.sum(axis=(1, 2))), 0.0)
        plan = (
            adaptive_zero_sum(low, high, n, budget)
            if rule == "adaptive"
            else np.broadcast_to(budget[:, None, None] / truth[0].size, n.shape)
        )
        whole = np.ceil(plan)
        n = n + whole
        wins = wins + rng.binomial(whole.astype(int), truth)


def test_adaptive_certifies_with_fewer_matches_and_is_right():
    truth = np.random.default_rng(3).uniform(0.1, 0.9, size=(20, 6, 6))
    adaptive, right = certify("adaptive", truth, 0.25, seed=4)
    uniform, _ = certify("uniform", truth, 0.25, seed=4)
    assert right.mean() >= 0.95
    assert adaptive.mean() < 0.6 * uniform.mean()


@pytest.mark.slow
def test_certificates_are_right_in_a_thousand_games():
    truth = np.random.default_rng(6).uniform(0.1, 0.9, size=(1000, 4, 4))
    _, right = certify("adaptive", truth, 0.3, seed=7)
    assert right.mean() >= 0.95
