"""Nash averaging, deviation ratings, Bradley–Terry and Elo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, bradley_terry, deviation_ratings, elo, nash_averaging

LADDER = np.array([[0.0, -1, -1], [1, 0, -1], [1, 1, 0]])
CYCLE = [[0, 1], [0, 1], [1, 2], [2, 0]]


def antisymmetric(seed, k=4, ties=False):
    rng = np.random.default_rng(seed)
    half = rng.integers(-1, 2, (k, k)).astype(float) if ties else rng.normal(size=(k, k))
    return np.triu(half, 1) - np.triu(half, 1).T


def test_nash_averaging_of_a_ladder():
    found = nash_averaging(LADDER)
    assert np.allclose(found.profile, [0, 0, 1])
    assert np.allclose(found.ratings, [-1, -1, 0])


def test_nash_averaging_spreads_over_clones_only():
    rps = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    order = [0, 1, 2, 2]
    found = nash_averaging(rps[np.ix_(order, order)])
    assert np.allclose(found.profile, [1 / 3, 1 / 3, 1 / 6, 1 / 6], atol=1e-8)
    assert np.allclose(found.ratings, 0, atol=1e-9)
    assert np.allclose(nash_averaging(np.zeros((3, 3))).profile, 1 / 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(0, 3))
def test_a_clone_leaves_nash_averages_alone(seed, ties, twin):
    table = antisymmetric(seed, 4, ties)
    order = [0, 1, 2, 3, twin]
    before, after = nash_averaging(table), nash_averaging(table[np.ix_(order, order)])
    assert np.abs(after.ratings - before.ratings[order]).max() < 1e-6
    assert (table @ before.profile).max() < 1e-8


def test_nash_averaging_needs_an_antisymmetric_table():
    with pytest.raises(ValueError, match="antisymmetric"):
        nash_averaging([[0.5, 0.7], [0.3, 0.5]])
    with pytest.raises(ValueError, match="square"):
        nash_averaging(np.zeros((2, 3)))


def test_deviation_ratings_of_known_games():
    for one, two in zip(deviation_ratings(NormalFormGame.zero_sum(LADDER)), [[-1, -1, 0]] * 2, strict=True):
        assert np.allclose(one, two, atol=1e-8)
    rps = NormalFormGame.zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    assert all(np.allclose(row, 0, atol=1e-8) for row in deviation_ratings(rps))
    # The dilemma has one coarse correlated equilibrium, mutual defection: cooperating there costs 1.
    dilemma = NormalFormGame.bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    assert all(np.allclose(row, [-1, 0], atol=1e-8) for row in deviation_ratings(dilemma))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(2, 3), st.integers(0, 1))
def test_a_clone_leaves_deviation_ratings_alone(seed, ties, players, twin):
    rng = np.random.default_rng(seed)
    size = (players, 1, *[2] * (players - 1), 3)
    tensor = rng.integers(0, 3, size).astype(float) if ties else rng.normal(size=size)
    before = deviation_ratings(NormalFormGame(tensor))
    after = deviation_ratings(NormalFormGame(tensor[:, :, [0, 1, twin]]))
    assert np.abs(after[0] - before[0][[0, 1, twin]]).max() < 1e-6
    assert all(np.abs(p - q).max() < 1e-6 for p, q in zip(before[1:], after[1:], strict=True))
    assert all(row.max() <= 1e-8 for row in before)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-3, 3))
def test_deviation_ratings_scale_with_the_payoffs(seed, factor, shift):
    tensor = np.random.default_rng(seed).normal(size=(2, 1, 3, 3))
    one = deviation_ratings(NormalFormGame(tensor))
    two = deviation_ratings(NormalFormGame(factor * tensor + shift))
    assert all(np.abs(factor * p - q).max() < 1e-6 * max(1.0, factor) for p, q in zip(one, two, strict=True))


def test_bradley_terry_of_a_cycle():
    """Plain maximum likelihood; player 0: 2 σ(2 θ) + σ(θ) = 2."""
    found = bradley_terry(CYCLE)
    assert np.allclose(found.ratings, [0.4196, -0.4196, 0], atol=5e-5)
    assert 2 / (1 + np.exp(-2 * found.ratings[0])) + 1 / (1 + np.exp(-found.ratings[0])) == pytest.approx(2.0)
    assert found.ratings.sum() == pytest.approx(0.0, abs=1e-12)
    assert (found.intervals[:, 0] < found.ratings).all() and (found.ratings < found.intervals[:, 1]).all()


def test_elo_is_the_same_on_its_own_scale_in_any_order():
    scale = 400 / np.log(10)
    assert np.allclose(elo(CYCLE).ratings, scale * bradley_terry(CYCLE).ratings)
    assert np.allclose(elo(CYCLE[::-1]).ratings, elo(CYCLE).ratings)
    even = elo([[0, 1]] * 10 + [[1, 0]])
    assert even.ratings[0] - even.ratings[1] == pytest.approx(400.0)


@pytest.mark.parametrize("pairs", [[[0, 1]], [[0, 1], [0, 1], [1, 2]], [[0, 1], [1, 0], [2, 3], [3, 2]]])
def test_separation_is_an_error_unless_a_prior_is_given(pairs):
    with pytest.raises(ValueError, match="infinite or undetermined"):
        bradley_terry(pairs)
    found = bradley_terry(pairs, prior=0.5)
    assert np.isfinite(found.ratings).all() and np.isfinite(found.intervals).all()
    assert found.ratings.sum() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "pairs", [[], [[0, 1, 2]], [[0, 0], [1, 0]], [[0, 1.5]], [[-1, 0]], [[0, np.nan]], np.zeros((2, 2, 2))]
)
def test_malformed_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match="pairs"):
        bradley_terry(pairs)


def test_unseen_players_and_senseless_options_are_refused():
    with pytest.raises(ValueError, match="undetermined"):
        bradley_terry(CYCLE, num_players=4)
    with pytest.raises(ValueError, match="below 2"):
        bradley_terry(CYCLE, num_players=2)
    with pytest.raises(ValueError, match="confidence"):
        bradley_terry(CYCLE, confidence=1.0)
    with pytest.raises(ValueError, match="prior"):
        bradley_terry(CYCLE, prior=-1.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_likelihood_equations_hold(seed):
    """Expected wins equal observed wins at the maximum (Ford 1957)."""
    rng = np.random.default_rng(seed)
    pairs = np.array([[i, j] for i in range(4) for j in range(4) if i != j for _ in range(rng.integers(1, 5))])
    theta = bradley_terry(pairs).ratings
    for player in range(4):
        expected = 0.0
        for winner, loser in pairs:
            if player in (winner, loser):
                other = loser if player == winner else winner
                expected += 1 / (1 + np.exp(theta[other] - theta[player]))
        assert expected == pytest.approx((pairs[:, 0] == player).sum(), abs=1e-8)


def test_intervals_cover_all_players_together():
    rng = np.random.default_rng(0)
    truth = np.array([0.8, 0.2, -0.3, -0.7])
    covered = 0
    for _ in range(300):
        i, j = (np.array(x) for x in zip(*[(a, b) for a in range(4) for b in range(a) for _ in range(60)], strict=True))
        first = rng.random(len(i)) < 1 / (1 + np.exp(truth[j] - truth[i]))
        pairs = np.where(first[:, None], np.stack([i, j], 1), np.stack([j, i], 1))
        found = bradley_terry(pairs)
        covered += bool(((found.intervals[:, 0] <= truth) & (truth <= found.intervals[:, 1])).all())
    assert covered >= 0.92 * 300  # nominal 95 %, three standard errors below is 91.2 %
