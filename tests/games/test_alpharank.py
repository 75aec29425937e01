"""α-rank: theory values, OpenSpiel, extreme selection intensities, verification."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, alpharank
from games.evaluation.alpharank import log_fixation, stationary

RPS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
PENNIES = NormalFormGame.zero_sum([[1, -1], [-1, 1]])
DILEMMA = NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]])
BATTLE = NormalFormGame.bimatrix([[2, 0], [0, 1]], [[1, 0], [0, 2]])
INTENSITIES = [0.0, 1e-9, 0.1, 1.0, 100.0, 1e6, 1e300, np.inf]


@pytest.mark.parametrize("alpha", INTENSITIES)
@pytest.mark.parametrize("m", [2, 50, 10**6])
def test_symmetric_games_at_any_intensity(alpha, m):
    for selection in ("local", "global"):
        assert np.allclose(alpharank(RPS, alpha, m, selection).joint, 1 / 3)
    assert np.allclose(alpharank(PENNIES, alpha, m).joint, 0.25)
    battle = alpharank(BATTLE, alpha, m).joint
    assert battle[0, 0] == pytest.approx(battle[1, 1])
    assert np.isfinite(battle).all() and battle.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("alpha", [1.0, 100.0, 1e6, 1e300, np.inf])
def test_the_dilemma_goes_to_defection(alpha):
    found = alpharank(DILEMMA, alpha, 50)
    assert found.joint[1, 1] == pytest.approx(1.0, abs=1e-9)
    assert found.support == ((1,), (1,))
    assert found.concept == "alpharank"
    assert found.details["residual"] < 1e-12


@pytest.mark.parametrize("alpha", [1e3, 1e6, 1e300, np.inf])
def test_battle_of_the_sexes_splits_between_its_closed_classes(alpha):
    assert np.allclose(alpharank(BATTLE, alpha, 20).joint, [[0.5, 0], [0, 0.5]])


def test_without_selection_every_profile_is_equally_likely():
    game = NormalFormGame(np.random.default_rng(0).normal(size=(3, 1, 2, 3, 2)))
    assert np.allclose(alpharank(game, 0.0, 50).joint, 1 / 12)
    assert np.allclose(alpharank(game, 1.0, 1).joint, 1 / 12)


def test_rounding_ties_are_ties_at_any_intensity():
    table = np.array([[0.0, 0.1 + 0.2], [0.3, 0.0]])
    assert np.allclose(alpharank(table, 1e30, 50).joint, 0.5)


@pytest.mark.parametrize("selection", ["local", "global"])
@pytest.mark.parametrize("constant_sum", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_one_population_agrees_with_openspiel(selection, constant_sum, seed):
    peer = pytest.importorskip("open_spiel.python.egt.alpharank")
    table = np.random.default_rng(seed).normal(size=(5, 5))
    table = table - table.T + 0.3 if constant_sum else table
    theirs = peer.compute([table], m=20, alpha=0.7, use_local_selection_model=selection == "local")[2]
    assert np.abs(alpharank(table, 0.7, 20, selection).joint - theirs).max() < 1e-10


@pytest.mark.parametrize("seed", range(3))
def test_two_populations_agree_with_openspiel(seed):
    peer = pytest.importorskip("open_spiel.python.egt.alpharank")
    tensor = np.random.default_rng(seed).normal(size=(2, 1, 3, 4))
    theirs = peer.compute([tensor[0, 0], tensor[1, 0]], m=20, alpha=0.7)[2]
    assert np.abs(alpharank(NormalFormGame(tensor), 0.7, 20).joint.ravel() - theirs).max() < 1e-10


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1e4), st.integers(2, 100))
def test_the_distribution_is_stationary(seed, alpha, m):
    rng = np.random.default_rng(seed)
    game = NormalFormGame(rng.integers(0, 4, (3, 1, 2, 2, 3)))
    found = alpharank(game, alpha, m)
    assert found.joint.sum() == pytest.approx(1.0) and found.joint.min() >= 0
    assert found.details["residual"] <= 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-5, 5))
def test_affine_changes_rescale_the_intensity(seed, factor, shift):
    table = np.random.default_rng(seed).normal(size=(4, 4))
    one, two = alpharank(table, 1.0, 10).joint, alpharank(factor * table + shift, 1.0 / factor, 10).joint
    assert np.abs(one - two).max() < 1e-9


def test_linear_and_logarithmic_state_reduction_agree():
    from games.evaluation.alpharank import _reduce_linear, _reduce_log

    rates = np.log(np.random.default_rng(0).random((30, 30)))
    np.fill_diagonal(rates, -np.inf)
    assert np.abs(_reduce_linear(np.exp(rates)) - _reduce_log(rates.copy())).max() < 1e-14


def test_a_chain_with_two_nearly_closed_classes():
    """Leaving {0, 1} has rate 2 e^−1000 and coming back 4 e^−1000: masses 2/3 and 1/3."""
    rates = np.full((4, 4), -np.inf)
    rates[0, 1] = rates[1, 0] = rates[2, 3] = rates[3, 2] = 0.0
    rates[1, 2], rates[2, 1] = np.log(2) - 1000, np.log(4) - 1000
    assert np.allclose(stationary(rates), [1 / 3, 1 / 3, 1 / 6, 1 / 6])


@pytest.mark.parametrize("u", [-3.0, -1e-8, 0.0, 1e-8, 2.0])
def test_fixation_probability(u):
    m = 7
    expected = 1 / m if u == 0 else np.expm1(-u) / np.expm1(-m * u)
    assert np.exp(log_fixation(np.array([u]), 1.0, m))[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((RPS, -1.0, 50), "alpha"),
        ((RPS, np.nan, 50), "alpha"),
        ((RPS, 1.0, 1), "population_size"),
        ((RPS, 1.0, 2.5), "population_size"),
        ((RPS, 1.0, 50, "sideways"), "selection"),
        ((RPS[:2], 1.0, 50), "square"),
        ((NormalFormGame(np.zeros((2, 2, 2, 2))), 1.0, 50), "scalarise"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        alpharank(*arguments)
