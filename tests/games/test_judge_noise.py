"""Judge noise: intervals behind measured win rates, breakdown rates, and what a common rate cannot do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import EmpiricalGame, NormalFormGame, robust_to_judge, solve
from games.empirical.judge_noise import true_probabilities, undo_common_rate
from games.empirical.matrix_games import solve_matrix_games
from games.empirical.support_slacks import slack_gradients, slack_values


def wins(p) -> NormalFormGame:
    p = np.asarray(p, dtype=float)
    return NormalFormGame.bimatrix(p, 1 - p)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.45), st.floats(0, 1), st.floats(0, 1))
def test_the_interval_holds_every_truth_behind_a_measurement(truth, rate, share_e, share_f):
    e, f = share_e * rate, share_f * rate
    low, high = true_probabilities(truth * (1 - f) + (1 - truth) * e, rate)
    assert low - 1e-12 <= truth <= high + 1e-12


def test_the_interval_ends_are_attained():
    """q = 0.6 and ρ = 0.2: p = 0.5 with e = 0.2, f = 0, and p = 0.75 with e = 0, f = 0.2."""
    low, high = true_probabilities(0.6, 0.2)
    assert (float(low), float(high)) == pytest.approx((0.5, 0.75))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.45))
def test_a_common_symmetric_rate_changes_nothing(seed, rate):
    """Payoffs are rescaled around ½: same equilibria, same ranking, and undoing it gives the truth back."""
    truth = np.random.default_rng(seed).uniform(size=(4, 4))
    measured = truth * (1 - rate) + (1 - truth) * rate
    np.testing.assert_allclose(undo_common_rate(measured, rate), truth, atol=1e-9)
    x, y, value, _ = solve_matrix_games([truth, measured])
    gap = (truth @ y[1]).max() - (x[1] @ truth).min()  # the equilibrium found under noise, in the true game
    assert gap < 1e-8
    assert value[1] - 0.5 == pytest.approx((value[0] - 0.5) * (1 - 2 * rate), abs=1e-9)
    np.testing.assert_array_equal(np.argsort(truth.mean(axis=1)), np.argsort(measured.mean(axis=1)))


def test_a_pure_equilibrium_breaks_where_its_margin_is_used_up():
    """Saddle (0, 0) of [[.6, .7], [.4, .45]]: column 1 becomes as good at (.7 − ρ)/(1 − ρ) = .6/(1 − ρ), so ρ = 0.1.

    The columns' mean scores differ by .075, the rows' by .225: the ranking breaks at ρ = 0.075.
    """
    noise = robust_to_judge(wins([[0.6, 0.7], [0.4, 0.45]]), [0.05, 0.09, 0.2])
    assert noise.support_breakdown == pytest.approx(0.1, abs=1e-6)
    assert noise.ranking_breakdown == pytest.approx(0.075, abs=1e-6)
    assert noise.breakdown_rate == noise.ranking_breakdown
    assert noise.support_holds.tolist() == [True, True, False]
    assert noise.ranking_holds.tolist() == [True, False, False]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(2, 4))
def test_witnesses_are_reachable_and_have_another_support(seed, m, n):
    q = np.random.default_rng(seed).uniform(0.2, 0.8, size=(m, n))
    noise = robust_to_judge(wins(q), [0.1])
    if noise.witness is None:
        assert noise.support_breakdown is None
        return
    low, high = true_probabilities(q, noise.support_breakdown)
    assert (noise.witness >= low - 1e-9).all()
    assert (noise.witness <= high + 1e-9).all()
    rows, columns = (np.flatnonzero(p > 1e-7) for p in noise.profile)
    values = slack_values(noise.witness, rows, columns)
    assert values is None or values.min() <= 1e-9  # the old support solves the witness no longer


def test_slack_gradients_agree_with_differences():
    a = np.random.default_rng(0).uniform(0.2, 0.8, size=(4, 5))
    x, y = (s[0] for s in solve_matrix_games(a[None])[:2])
    rows, columns = (np.flatnonzero(p > 1e-9) for p in (x, y))
    gradient = slack_gradients(a, rows, columns)
    for cell in np.ndindex(*a.shape):
        step = np.zeros_like(a)
        step[cell] = 1e-6
        change = (slack_values(a + step, rows, columns) - slack_values(a - step, rows, columns)) / 2e-6
        np.testing.assert_allclose(gradient[(slice(None), *cell)], change, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_robust_strategies_guarantee_the_robust_value_against_any_errors(seed):
    rng = np.random.default_rng(seed)
    q = rng.uniform(size=(3, 3))
    noise = robust_to_judge(wins(q), [0.0, 0.1, 0.2])
    assert (np.diff(noise.value_low) <= 1e-12).all()
    assert (np.diff(noise.value_high) >= -1e-12).all()
    assert noise.value_low[0] == pytest.approx(noise.value)
    low, high = true_probabilities(q, 0.2)
    for _ in range(20):
        truth = rng.uniform(low, high)
        assert (noise.robust[0][2] @ truth).min() >= noise.value_low[2] - 1e-9
        x, y = noise.profile
        assert (truth @ y).max() - (x @ truth).min() <= noise.nash_conv[2] + 1e-9


def test_payoffs_of_plus_and_minus_one_are_mapped():
    p = np.array([[0.6, 0.7], [0.4, 0.45]])
    assert robust_to_judge(NormalFormGame.zero_sum(2 * p - 1), 0.1).support_breakdown == pytest.approx(0.1, abs=1e-6)


def test_ties_break_at_once():
    assert robust_to_judge(wins([[0.6, 0.6], [0.4, 0.4]]), 0.1).breakdown_rate == 0.0


def test_an_empirical_game_is_taken_and_names_its_unplayed_cells():
    game = EmpiricalGame.from_samples([[0, 0], [0, 1]], [[0.25, 0.75], [0.5, 0.5]])
    assert robust_to_judge(game, 0.1).value == pytest.approx(0.25)
    with pytest.raises(ValueError, match="unplayed"):
        robust_to_judge(EmpiricalGame.from_samples([[0, 0], [1, 1]], [[0.25, 0.75], [0.5, 0.5]]), 0.1)


def test_other_games_and_rates_are_refused():
    with pytest.raises(ValueError, match="constant-sum"):
        robust_to_judge(NormalFormGame.bimatrix([[1, 0]], [[1, 1]]))
    with pytest.raises(ValueError, match="win probabilities"):
        robust_to_judge(NormalFormGame.zero_sum([[3, 0], [0, 1]]))
    with pytest.raises(ValueError, match="flip rate"):
        robust_to_judge(wins([[0.5]]), 0.5)


def test_value_agrees_with_the_solver():
    p = np.random.default_rng(4).uniform(size=(5, 4))
    assert robust_to_judge(wins(p), 0.0).value == pytest.approx(float(solve(wins(p))[0].payoffs[0, 0]))
