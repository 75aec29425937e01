"""Logit equilibria: published values, the fixed-point property, the limit, and maximum-likelihood precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, NotConverged, fit_logit, logit_path, nash_conv, solve

# Ochs (1995), game 2, as in McKelvey & Palfrey (1995), Table IV.
OCHS = NormalFormGame.bimatrix([[1.1141, 0], [0, 0.2785]], [[0, 1.1141], [1.1141, 0]])


@pytest.mark.parametrize(("lam", "first", "second"), [(1, 0.586784, 0.451807), (2, 0.617522, 0.371982)])
def test_ochs_game(lam, first, second):
    found = logit_path(OCHS, [lam])[0]
    assert found.concept == "logit"
    assert found.profile[0][0] == pytest.approx(first, abs=1e-6)
    assert found.profile[1][0] == pytest.approx(second, abs=1e-6)
    assert found.details["lambda"] == lam


def test_the_order_of_precisions_is_kept_and_zero_is_uniform():
    answers = logit_path(OCHS, [2.0, 0.0, 1.0, 2.0])
    assert [one.details["lambda"] for one in answers] == [2, 0, 1, 2]
    assert np.allclose(answers[1].profile, 0.5)
    assert np.allclose(answers[0].profile, answers[3].profile)
    assert logit_path(OCHS, []) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 20))
def test_every_answer_is_a_logit_fixed_point(seed, lam):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 4, rng.integers(2, 4)))
    game = NormalFormGame(rng.normal(size=(len(shape), 1, *shape)))
    profile = logit_path(game, [lam])[0].profile
    for i in range(len(shape)):
        letters = "abc"[: len(shape)]
        others = [profile[j] for j in range(len(shape)) if j != i]
        terms = ",".join(letters[j] for j in range(len(shape)) if j != i)
        u = lam * np.einsum(f"{letters},{terms}->{letters[i]}", game.scalar()[i], *others)
        response = np.exp(u - u.max()) / np.exp(u - u.max()).sum()
        assert np.abs(profile[i] - response).max() < 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_scaling_payoffs_rescales_the_precision(seed, factor):
    tensor = np.random.default_rng(seed).normal(size=(2, 1, 2, 3))
    one = logit_path(NormalFormGame(tensor), [3.0])[0]
    two = logit_path(NormalFormGame(factor * tensor + 7.0), [3.0 / factor])[0]
    assert all(np.abs(p - q).max() < 1e-7 for p, q in zip(one.profile, two.profile, strict=True))


def test_a_clone_does_change_logit_play():
    plain = NormalFormGame.bimatrix([[1, 0], [0, 1]], [[0, 1], [1, 0]])
    cloned = NormalFormGame.bimatrix([[1, 0], [0, 1], [0, 1]], [[0, 1], [1, 0], [1, 0]])
    assert logit_path(plain, [1.0])[0].profile[0][0] != pytest.approx(
        logit_path(cloned, [1.0])[0].profile[0][0], abs=1e-3
    )


@pytest.mark.parametrize("players", [2, 3, 4])
def test_the_branch_ends_at_an_equilibrium(players):
    for seed in range(5):
        game = NormalFormGame(np.random.default_rng(seed).normal(size=(players, 1, *[2] * players)))
        found = solve(game, method="logit")[0]
        assert nash_conv(game, found.profile) < 1e-8
        near = logit_path(game, [found.details["lambda"]])[0]
        assert all(np.abs(p - q).max() < 0.3 for p, q in zip(near.profile, found.profile, strict=True))


def test_the_branch_selects_the_risk_dominant_equilibrium_of_a_coordination_game():
    game = NormalFormGame.bimatrix([[2, 0], [0, 1]], [[2, 0], [0, 1]])
    assert np.allclose(solve(game, method="logit")[0].profile, [[1, 0], [1, 0]])


def test_concept_logit_is_the_path():
    direct = logit_path(OCHS, [1.5])[0]
    assert np.allclose(solve(OCHS, "logit", lambdas=1.5)[0].profile, direct.profile)


@pytest.mark.parametrize("lambdas", [[-1.0], [np.nan], [np.inf], [[1.0, 2.0]]])
def test_senseless_precisions_are_refused(lambdas):
    with pytest.raises(ValueError, match="lambdas"):
        logit_path(OCHS, lambdas)


def test_fit_recovers_the_precision_of_expected_counts():
    profile = logit_path(OCHS, [2.0])[0].profile
    lam, likelihood = fit_logit(OCHS, [1000 * p for p in profile])
    assert lam == pytest.approx(2.0, abs=1e-5)
    assert likelihood == pytest.approx(sum(1000 * float(p @ np.log(p)) for p in profile), abs=1e-6)


def test_fit_of_uniform_play_is_zero_precision():
    lam, likelihood = fit_logit(OCHS, [[10, 10], [10, 10]])
    assert lam == pytest.approx(0.0, abs=0.05)
    assert likelihood == pytest.approx(-40 * np.log(2), abs=1e-3)


def test_fit_agrees_with_gambit():
    gambit = pytest.importorskip("pygambit")
    game = gambit.Game.from_arrays(*OCHS.scalar())
    data = game.mixed_strategy_profile()
    for strategy, count in zip(game.strategies, (60, 40, 45, 55), strict=True):
        data[strategy] = count
    theirs = gambit.qre.logit_estimate(data)
    lam, likelihood = fit_logit(OCHS, [[60, 40], [45, 55]])
    assert lam == pytest.approx(theirs.lam, abs=1e-5)
    assert likelihood == pytest.approx(theirs.log_like, abs=1e-8)


def test_data_without_error_do_not_identify_the_precision():
    dilemma = NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    with pytest.raises(NotConverged, match="still rises"):
        fit_logit(dilemma, [[0, 50], [0, 50]])


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, 2], [1, 2, 3]], [[-1, 2], [1, 2]], [[0, 0], [0, 0]]])
def test_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(ValueError, match="counts"):
        fit_logit(OCHS, counts)
