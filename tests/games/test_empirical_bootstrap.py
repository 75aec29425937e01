"""The cluster bootstrap and the batched zero-sum solver under it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import EmpiricalGame, NormalFormGame, bootstrap, regrets, solve
from games.empirical.matrix_games import solve_matrix_games
from games.empirical.tracking import track


def sampled(win: np.ndarray, matches: int, seed: int, questions: int | None = None) -> EmpiricalGame:
    rng = np.random.default_rng(seed)
    profiles = np.repeat(np.argwhere(np.ones_like(win)), matches, axis=0)
    won = (rng.uniform(size=len(profiles)) < win[tuple(profiles.T)]).astype(float)
    clusters = np.tile(np.arange(matches) % (questions or matches), win.size)
    return EmpiricalGame.from_samples(profiles, np.stack([won, 1 - won], axis=1), clusters)


def test_biased_rock_paper_scissors():
    x, y, value, gap = solve_matrix_games([[[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]]])
    np.testing.assert_allclose(x[0], np.array([1, 10, 5]) / 16, atol=1e-12)
    np.testing.assert_allclose(y[0], np.array([1, 10, 5]) / 16, atol=1e-12)
    assert abs(value[0]) < 1e-12
    assert gap[0] < 1e-12


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.floats(1e-3, 1e3))
def test_every_answer_is_an_equilibrium(seed, m, n, ties, scale):
    """Random and heavily tied games, with cloned rows and columns: the gap is computed from the answer itself."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, size=(5, m, n)).astype(float) if ties else rng.normal(size=(5, m, n))
    a = scale * np.concatenate([a, a[:, :1]], axis=1)
    a = np.concatenate([a, a[:, :, :1]], axis=2)
    x, y, _, gap = solve_matrix_games(a)
    spread = max(float(np.ptp(a)), 1e-300)
    assert (x >= 0).all()
    assert (y >= 0).all()
    np.testing.assert_allclose(x.sum(axis=1), 1)
    np.testing.assert_allclose(y.sum(axis=1), 1)
    assert gap.max() <= 1e-8 * spread
    assert gap.min() >= -1e-9 * spread


def test_constant_games_and_bad_input():
    _, _, value, gap = solve_matrix_games(np.full((2, 3, 4), 0.5))
    np.testing.assert_allclose(value, 0.5)
    np.testing.assert_allclose(gap, 0, atol=1e-15)
    with pytest.raises(ValueError, match="expected shape"):
        solve_matrix_games(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="not in game 1"):
        solve_matrix_games([[[1.0]], [[np.nan]]])


def test_bootstrap_of_a_zero_sum_equilibrium():
    game = sampled(np.array([[0.5, 0.3, 0.8], [0.7, 0.5, 0.45], [0.2, 0.55, 0.5]]), 60, seed=0)
    result = bootstrap(game, resamples=200)
    low, high = result.intervals["value"]
    assert low < result.estimate["value"] < high
    assert result.draws["nash_conv"].max() <= 1e-3
    assert result.resamples == 200
    assert [p.shape for p in result.support_inclusion] == [(3,), (3,)]
    assert sum(result.support_frequency.values()) == pytest.approx(1)
    intervals, inclusion = result
    assert intervals is result.intervals
    assert inclusion is result.support_inclusion


def test_same_seed_same_result_and_another_seed_another():
    game = sampled(np.full((2, 2), 0.5), 20, seed=1)
    a, b, c = (bootstrap(game, resamples=30, seed=s).draws["value"] for s in (3, 3, 4))
    assert (a == b).all()
    assert (a != c).any()


@pytest.mark.parametrize(
    "analysis",
    [
        lambda game: float(game.payoffs[0, 0].mean()),
        lambda game: {"value": game.payoffs[0, 0].mean()},
        lambda game: np.array([game.payoffs[0, 0].mean()]),
    ],
)
def test_any_analysis_can_be_bootstrapped(analysis):
    result = bootstrap(sampled(np.full((2, 2), 0.4), 50, seed=2), analysis, resamples=50)
    low, high = result.intervals["value"]
    assert low < high
    assert result.support_inclusion == ()


def test_clusters_not_matches_are_drawn():
    """With 4 questions of 100 identical matches the interval must be that of 4 observations, not of 400."""
    value = np.repeat([0.0, 0.0, 1.0, 1.0], 100)
    rewards = np.stack([value, 1 - value], axis=1)
    by_question = EmpiricalGame.from_samples(np.zeros((400, 2), int), rewards, np.repeat(np.arange(4), 100))
    by_match = EmpiricalGame.from_samples(np.zeros((400, 2), int), rewards)
    spread = [np.subtract(*bootstrap(g, resamples=400).intervals["value"][::-1]) for g in (by_question, by_match)]
    assert spread[0] > 5 * spread[1]


def test_a_general_sum_equilibrium_is_followed_through_resamples():
    """Battle of the sexes has three equilibria: the one reported stays, however the resamples fall."""
    rng = np.random.default_rng(0)
    profiles = np.repeat(np.argwhere(np.ones((2, 2))), 100, axis=0)
    mean = np.array([[[2.0, 0], [0, 1]], [[1, 0], [0, 2]]])[:, profiles[:, 0], profiles[:, 1]].T
    game = EmpiricalGame(profiles, mean + rng.normal(size=mean.shape) * 0.3, np.tile(np.arange(100), 4))
    result = bootstrap(game, resamples=200)
    assert len(result.support_frequency) == 1
    assert result.draws["nash_conv"].max() < 1e-6
    for player in ("0", "1"):
        low, high = result.intervals[f"profile[{player}]"]
        assert (low - 1e-12 <= result.estimate[f"profile[{player}]"]).all()
        assert (result.estimate[f"profile[{player}]"] <= high + 1e-12).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(2, 4))
def test_followed_answers_are_equilibria(seed, m, n):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(2, m, n))
    games = base + rng.normal(size=(6, 2, m, n)) * 0.2
    for equilibrium in solve(NormalFormGame(base[:, None])):
        rows, columns, gaps, failures = track(games, equilibrium.profile)
        assert failures == {}
        for r in range(6):
            assert regrets(NormalFormGame(games[r][:, None]), [rows[r], columns[r]]).sum() == pytest.approx(
                gaps[r], abs=1e-9
            )
        assert gaps.max() < 1e-6


def test_refusals():
    game = sampled(np.full((2, 2), 0.4), 5, seed=2)
    with pytest.raises(ValueError, match="two clusters"):
        bootstrap(EmpiricalGame.from_samples([[0, 0]], [[1.0, 0.0]]))
    with pytest.raises(ValueError, match="unplayed"):
        bootstrap(EmpiricalGame.from_samples([[0, 0], [1, 1]], [[1.0, 0.0], [1.0, 0.0]]))
    with pytest.raises(ValueError, match="'nash'"):
        bootstrap(game, "minimax")
    with pytest.raises(ValueError, match="level"):
        bootstrap(game, level=1.5)


@pytest.mark.slow
def test_interval_coverage_of_a_cell_mean():
    """Percentile intervals of a mean over 60 clusters cover about as often as they say (theory: 95 %, O(1/G) short)."""
    covered = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        x = np.repeat(rng.normal(size=60), 2) + rng.normal(size=120)
        game = EmpiricalGame.from_samples(np.zeros((120, 1), int), x[:, None], np.repeat(np.arange(60), 2))
        low, high = bootstrap(game, lambda g: float(g.payoffs.item()), resamples=300, seed=seed).intervals["value"]
        covered += low <= 0 <= high
    assert 0.91 <= covered / 400 <= 0.98
