"""Regrets, NashConv and exact certificates."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, certify, is_nash, nash_conv, regrets, solve

BIASED_RPS = np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
DILEMMA = NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]])


def test_regrets_of_the_prisoners_dilemma():
    assert regrets(DILEMMA, [[1, 0], [1, 0]]).tolist() == [2.0, 2.0]
    assert nash_conv(DILEMMA, [[1, 0], [0, 1]]) == 1.0
    assert nash_conv(DILEMMA, [[0, 1], [0, 1]]) == 0.0
    assert is_nash(DILEMMA, [[0, 1], [0, 1]], 0.0)
    assert not is_nash(DILEMMA, [[1, 0], [0, 1]], 0.999)


def test_nash_conv_is_the_sum_of_both_gaps_in_zero_sum_games():
    x, y = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
    game = NormalFormGame.zero_sum(BIASED_RPS)
    assert nash_conv(game, [x, y]) == pytest.approx((BIASED_RPS @ y).max() - (x @ BIASED_RPS).min(), abs=1e-15)


def test_extensive_games_are_measured_by_their_own_best_responses():
    pyspiel = pytest.importorskip("pyspiel")
    from games import from_openspiel

    game = from_openspiel(pyspiel.load_game("kuhn_poker"))

    def uniform(infoset, actions):
        return np.full(len(actions), 1 / len(actions))

    assert nash_conv(game, uniform) == pytest.approx(11 / 12, abs=1e-12)
    assert regrets(game, uniform).sum() == pytest.approx(11 / 12, abs=1e-12)


@pytest.mark.parametrize("bad", [[[1, 0]], [[1, 0], [0.5, 0.4]], [[1, 0], [1, 0, 0]], [[1, 0], [np.nan, 1]]])
def test_profiles_that_do_not_fit_are_refused(bad):
    with pytest.raises(ValueError, match="profile"):
        nash_conv(DILEMMA, bad)


@pytest.mark.parametrize("tol", [-1.0, np.nan, np.inf])
def test_a_senseless_tolerance_is_refused(tol):
    with pytest.raises(ValueError, match="tol"):
        is_nash(DILEMMA, [[0, 1], [0, 1]], tol)


def test_vector_payoffs_must_be_scalarised_first():
    game = NormalFormGame(np.zeros((2, 3, 2, 2)))
    with pytest.raises(ValueError, match="scalarise"):
        nash_conv(game, [[1, 0], [1, 0]])
    with pytest.raises(ValueError, match="scalarise"):
        certify(game, [[1, 0], [1, 0]])


def test_certificate_of_an_integer_game_is_exact():
    game = NormalFormGame.zero_sum(20 * BIASED_RPS)  # integers: 5, 10, 1
    certificate = certify(game, solve(game)[0].profile)
    assert certificate.is_nash and certificate.exact
    assert certificate.profile == ((Fraction(1, 16), Fraction(10, 16), Fraction(5, 16)),) * 2
    assert certificate.nash_conv == 0


def test_certificate_repairs_a_rough_profile():
    game = NormalFormGame.bimatrix([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]])
    certificate = certify(game, [[0.8001, 0.1999, 0], [0.66666, 0.33334]])
    assert certificate.profile == ((Fraction(4, 5), Fraction(1, 5), Fraction(0)), (Fraction(2, 3), Fraction(1, 3)))
    assert certificate.is_nash
    assert certificate.distance == pytest.approx(1e-4, rel=0.1)


def test_certificate_of_what_is_no_equilibrium_says_so():
    certificate = certify(DILEMMA, [[1, 0], [1, 0]])
    assert not certificate.is_nash
    assert certificate.regrets == (2, 2)


def test_certificate_for_three_players():
    payoff = np.zeros((3, 1, 2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):  # each matches the next, the last mismatches the first
        payoff[:, 0, a, b, c] = [a == b, b == c, c != a]
    game = NormalFormGame(payoff)
    certificate = certify(game, solve(game)[0].profile)
    assert certificate.is_nash
    assert certificate.profile == ((Fraction(1, 2), Fraction(1, 2)),) * 3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_exact_regrets_agree_with_floating_point(seed):
    rng = np.random.default_rng(seed)
    game = NormalFormGame.bimatrix(*rng.integers(-5, 6, (2, 3, 4)))
    profile = [rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4))]
    certificate = certify(game, profile)
    rounded = [[float(q) for q in row] for row in certificate.profile]
    assert np.allclose([float(r) for r in certificate.regrets], regrets(game, rounded), atol=1e-9)
    assert all(sum(row) == 1 for row in certificate.profile)


def test_solve_attaches_certificates():
    game = NormalFormGame.bimatrix([[0, 2], [2, 0]], [[1, 0], [0, 1]])
    found = solve(game, certify=True)[0]
    assert found.exact
    assert found.details["certificate"].is_nash
