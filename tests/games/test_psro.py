"""PSRO with every meta-solver, on games whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, psro
from games.empirical.meta_solvers import META_SOLVERS, project
from games.empirical.psro import MatrixOracle

BIASED = NormalFormGame.zero_sum([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])


def test_nash_reaches_the_equilibrium_of_biased_rock_paper_scissors():
    result = psro(BIASED, "nash")
    assert result.converged
    for p in result.equilibrium.profile:
        np.testing.assert_allclose(p, np.array([1, 10, 5]) / 16, atol=1e-9)
    assert result.equilibrium.nash_conv < 1e-9
    assert result.trace[0].nash_conv == pytest.approx(0.5)  # two players each gain 1/4 by answering rock with paper
    assert result.trace[-1].nash_conv < 1e-9


@pytest.mark.parametrize("solver", ["cce", "ce", "alpharank", "prd"])
def test_equilibrium_meta_solvers_find_all_of_rock_paper_scissors(solver):
    """Each strategy answers another, so every solver's populations grow to all three."""
    rps = NormalFormGame.zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    result = psro(rps, solver)
    assert [sorted(p) for p in result.populations] == [[0, 1, 2], [0, 1, 2]]
    for p in result.profile:
        np.testing.assert_allclose(p, 1 / 3, atol=1e-3)
    assert result.trace[-1].nash_conv < 5e-3


def test_uniform_can_stop_short_and_says_so():
    """Against half rock, half paper the best answer is paper, which is known: uniform PSRO is stuck there."""
    result = psro(NormalFormGame.zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), "uniform")
    assert result.populations == ((0, 1), (0, 1))
    assert not result.converged
    assert result.equilibrium.nash_conv == pytest.approx(1.0)


def test_projected_replicator_explores_and_comes_close():
    result = psro(BIASED, "prd")
    np.testing.assert_allclose(result.equilibrium.profile[0], np.array([1, 10, 5]) / 16, atol=0.02)
    assert result.equilibrium.nash_conv < 0.01


def test_prisoners_dilemma_needs_two_strategies():
    result = psro(NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]]))
    assert result.populations == ((0, 1), (0, 1))
    np.testing.assert_allclose(result.equilibrium.profile[0], [0, 1])


def test_cce_gains_are_the_incentives_to_leave():
    """Chicken: PSRO with CCE stops when nobody gains by leaving the joint distribution in the full game."""
    chicken = NormalFormGame.bimatrix([[0, 7], [2, 6]], [[0, 2], [7, 6]])
    result = psro(chicken, "cce")
    assert result.converged
    joint = np.zeros((2, 2))
    joint[np.ix_(*result.populations)] = result.joint
    payoff = chicken.scalar()
    for i in range(2):
        held = (joint * payoff[i]).sum()
        leaving = np.tensordot(payoff[i], joint.sum(axis=i), axes=([1 - i], [0]))
        assert leaving.max() <= held + 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_double_oracle_solves_any_zero_sum_game(seed, m, n, ties):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, size=(m, n)).astype(float) if ties else rng.normal(size=(m, n))
    result = psro(NormalFormGame.zero_sum(a), "nash", epochs=m + n + 1)
    assert result.converged
    assert result.equilibrium.nash_conv < 1e-7


def test_an_oracle_of_ones_own_with_named_strategies_and_three_players():
    class Majority:
        """Three players choose red or blue; the odd one out loses 1 to each of the others."""

        players = ("a", "b", "c")

        def initial(self, player):
            return "red" if player else "blue"

        def payoffs(self, profile):
            odd = [profile.count(colour) == 1 for colour in profile]
            return [-2.0 if mine else 1.0 if any(odd) else 0.0 for mine in odd]

        def best_response(self, player, opponents):
            def value(colour):
                return sum(w * self.payoffs(tuple(colour if k is None else k for k in p))[player] for w, p in opponents)

            return max(("blue", "red"), key=value)

    result = psro(Majority())
    assert result.equilibrium is None
    assert result.converged
    assert "red" in result.populations[0]


def test_a_callable_meta_solver_and_bad_ones():
    result = psro(MatrixOracle(BIASED, start=(2, 0)), lambda game: [np.full(k, 1 / k) for k in game.shape], epochs=4)
    assert result.populations[0][0] == 2
    assert len(result.trace) <= 4
    with pytest.raises(ValueError, match="meta_solver"):
        psro(BIASED, "best")
    with pytest.raises(ValueError, match="epochs"):
        psro(BIASED, epochs=0)
    with pytest.raises(ValueError, match="expected a distribution of shape"):
        psro(BIASED, lambda game: np.ones((5, 5)) / 25)


def test_payoffs_that_are_not_numbers_are_refused():
    class Broken(MatrixOracle):
        def payoffs(self, profile):
            return [np.nan, 0.0]

    with pytest.raises(ValueError, match="finite"):
        psro(Broken(BIASED))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6), st.floats(0, 0.1))
def test_projection_is_the_nearest_point(point, floor):
    point = np.array(point)
    p = project(point, floor)
    assert p.sum() == pytest.approx(1)
    assert (p >= floor - 1e-12).all()
    rng = np.random.default_rng(0)
    others = floor + (1 - floor * len(point)) * rng.dirichlet(np.ones(len(point)), size=50)
    assert (np.linalg.norm(others - point, axis=1) >= np.linalg.norm(p - point) - 1e-9).all()


def test_all_meta_solvers_are_tested_here():
    assert set(META_SOLVERS) == {"nash", "cce", "ce", "alpharank", "prd", "uniform"}
