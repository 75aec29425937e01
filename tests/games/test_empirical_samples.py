"""Empirical games: means, errors, unplayed cells, failed episodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import EmpiricalGame


def small() -> EmpiricalGame:
    profiles = [[0, 0], [0, 0], [0, 0], [0, 1], [1, 0], [1, 1]]
    rewards = [
        [[1.0, 2], [0, 2]],
        [[3.0, 4], [0, 4]],
        [[np.nan, 9], [np.nan, 9]],
        [[5, 5], [5, 5]],
        [[6, 6], [6, 6]],
        [[7, 7], [7, 7]],
    ]
    return EmpiricalGame.from_samples(profiles, rewards, ["a", "b", "c", "a", "b", "c"], objectives=["win", "truth"])


def test_means_exclude_failed_rewards_and_count_them():
    game = small()
    assert game.mean().shape == (2, 2, 2, 2)
    assert game.mean()[0, 0, 0, 0] == 2.0  # the NaN is excluded, not 4/3
    assert game.mean()[0, 1, 0, 0] == 5.0
    assert game.observed()[0, 0, 0, 0] == 2
    assert game.observed()[0, 1, 0, 0] == 3
    assert game.failures()[0, 0, 0, 0] == 1
    assert game.failures().sum() == 2
    assert game.counts().tolist() == [[3, 1], [1, 1]]


def test_wholly_failed_matches_are_failures_and_not_played():
    game = EmpiricalGame.from_samples([[0, 0], [0, 1]], [[np.nan, np.nan], [1.0, 0.0]])
    assert game.counts().tolist() == [[0, 1]]
    assert game.failures()[:, 0].tolist() == [[[1, 0]], [[1, 0]]]
    assert np.isnan(game.mean()[0, 0, 0, 0])


def test_unplayed_cells_are_nan_and_refused_by_name():
    game = EmpiricalGame.from_samples(
        [[0, 0], [1, 1]], [[1.0, 0.0], [0.0, 1.0]], strategies=[["debate", "consult"], ["attack", "defend"]]
    )
    assert np.isnan(game.mean()[0, 0, 0, 1])
    assert game.unplayed() == [("debate", "defend"), ("consult", "attack")]
    with pytest.raises(ValueError, match=r"2 of 4 cells are unplayed.*\(debate, defend\), \(consult, attack\)"):
        game.normal_form()


def test_normal_form_keeps_names_and_means():
    form = small().normal_form()
    assert form.objectives == ("win", "truth")
    assert form.payoffs[0, 0, 0, 0] == 2.0


def test_standard_error_equals_the_iid_one_when_every_match_is_a_cluster():
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    game = EmpiricalGame.from_samples(np.zeros((50, 2), int), np.stack([x, -x], axis=1))
    assert game.standard_error()[0, 0, 0, 0] == pytest.approx(x.std(ddof=1) / np.sqrt(50), rel=1e-12)
    assert game.covariance()[0, 0, 0, 0, 0] == pytest.approx(x.var(ddof=1))


def test_standard_error_sees_clusters():
    """Copying every match within its cluster adds no information: the error stays, where an i.i.d. one would halve."""
    rng = np.random.default_rng(1)
    x = np.repeat(rng.normal(size=30), 4)
    clustered = EmpiricalGame.from_samples(np.zeros((120, 1), int), x[:, None], np.repeat(np.arange(30), 4))
    assert clustered.standard_error()[0, 0, 0] == pytest.approx(x[::4].std(ddof=1) / np.sqrt(30), rel=1e-12)


def test_clusters_can_be_any_ids():
    named = EmpiricalGame([[0], [0], [0]], [[1.0], [2.0], [4.0]], [("q7", 0), ("q1", 0), ("q7", 0)])
    assert named.clusters.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="hashable"):
        EmpiricalGame([[0]], [[1.0]], [["a"]])


def test_standard_error_is_not_known_from_one_cluster():
    game = EmpiricalGame.from_samples([[0], [0]], [[1.0], [2.0]], [7, 7])
    assert np.isnan(game.standard_error()).all()


def test_covariance_between_objectives():
    rng = np.random.default_rng(2)
    z = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 2]], size=200)
    game = EmpiricalGame.from_samples(np.zeros((200, 1), int), z[:, None, :])
    np.testing.assert_allclose(game.covariance()[0, :, :, 0], np.cov(z.T), rtol=1e-12)


def test_weighted_means_with_unit_weights_are_the_means():
    game = small()
    np.testing.assert_allclose(game.weighted_means(np.ones((1, 3)))[0], game.mean())
    only_a = game.weighted_means([[1.0, 0.0, 0.0]])[0]
    assert only_a[0, 0, 0, 0] == 1.0
    assert np.isnan(only_a[0, 0, 1, 1])


def test_scalarise_needs_only_the_weighted_objectives():
    game = small()
    assert game.scalarise([0.0, 1.0]).failures().sum() == 0
    assert game.scalarise([0.5, 0.5]).failures().sum() == 2
    np.testing.assert_allclose(game.scalarise([0, 1.0]).mean()[:, 0], game.mean()[:, 1])


def test_constant_sum_is_found_and_denied():
    assert EmpiricalGame.from_samples([[0, 0], [0, 1]], [[0.25, 0.75], [1.0, 0.0]]).constant_sum() == 1.0
    assert EmpiricalGame.from_samples([[0, 0], [0, 1]], [[0.25, 0.75], [1.0, 1.0]]).constant_sum() is None
    assert EmpiricalGame.from_samples([[0, 0], [0, 1]], [[0.25, np.nan], [1.0, 0.0]]).constant_sum() is None


@pytest.mark.parametrize(
    ("profiles", "rewards", "extra", "message"),
    [
        ([[0, 0]], [[1.0]], {}, r"rewards: expected shape \[1, 2, C\]"),
        ([[0, -1]], [[1.0, 2.0]], {}, "non-negative whole numbers"),
        ([[0, 0.5]], [[1.0, 2.0]], {}, "non-negative whole numbers"),
        ([[0, np.nan]], [[1.0, 2.0]], {}, "non-negative whole numbers"),
        ([[0, 0]], [[np.inf, 2.0]], {}, "infinite"),
        (np.zeros((0, 2)), np.zeros((0, 2, 1)), {}, "at least one match"),
        ([[0, 3]], [[1.0, 2.0]], {"strategies": [["a"], ["b", "c"]]}, "player 1 has 2 strategies, got index 3"),
        ([[0, 0]], [[1.0, 2.0]], {"clusters": [1, 2]}, "one id for each of 1 matches"),
        ([[0, 0]], [[1.0, 2.0]], {"players": ["a", "a"]}, "distinct"),
    ],
)
def test_bad_samples_are_refused(profiles, rewards, extra, message):
    with pytest.raises(ValueError, match=message):
        EmpiricalGame.from_samples(profiles, rewards, **extra)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3), st.floats(0, 0.4))
def test_means_agree_with_a_plain_loop(seed, players, objectives, failing):
    rng = np.random.default_rng(seed)
    profiles = rng.integers(0, 2, size=(40, players))
    rewards = rng.normal(size=(40, players, objectives))
    rewards[rng.uniform(size=rewards.shape) < failing] = np.nan
    game = EmpiricalGame.from_samples(profiles, rewards, rng.integers(0, 9, size=40), strategies=[["x", "y"]] * players)
    mean = game.mean()
    for cell in np.ndindex(*game.shape):
        chosen = rewards[(profiles == cell).all(axis=1)]
        for i in range(players):
            for c in range(objectives):
                known = chosen[:, i, c][~np.isnan(chosen[:, i, c])]
                if len(known):
                    assert mean[(i, c, *cell)] == pytest.approx(known.mean())
                else:
                    assert np.isnan(mean[(i, c, *cell)])
