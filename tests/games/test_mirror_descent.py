"""Mirror-descent self-play: where naive play cycles, where magnets lead, and sampled play that agrees with exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import games
from games.learning.field import field_of, normalised
from games.learning.mirror import RULES, self_play
from games.learning.policy_gradient import Learners, Settings
from games.learning.sampled import Sampler, mixture, one_shot
from games.normal_form import NormalFormGame

# Symmetric zero-sum with Nash (1/4, 1/2, 1/4): a uniform reference is not its equilibrium.
BIASED = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-2.0, 1.0, 0.0]])


@pytest.fixture(scope="module")
def biased() -> NormalFormGame:
    return NormalFormGame.zero_sum(BIASED / 2)


@pytest.fixture(scope="module")
def kuhn() -> games.ExtensiveGame:
    pytest.importorskip("pyspiel")
    return games.from_openspiel("kuhn_poker")


def test_naive_play_cycles_to_the_boundary(biased: NormalFormGame) -> None:
    played = self_play(biased, "naive", 50_000, trace=(10_000, 20_000))
    assert min(played.trace[10_000], played.trace[20_000], played.nash_conv) > 0.4
    assert played.policy.min() < 1e-3


def test_a_fixed_uniform_magnet_stops_at_a_biased_point(biased: NormalFormGame) -> None:
    played = self_play(biased, "fixed_magnet", 10_000, eta=0.05, beta=0.1)
    assert played.policy[:3] == pytest.approx([0.289, 0.487, 0.224], abs=1e-3)
    assert played.nash_conv == pytest.approx(0.065, abs=1e-3)


@pytest.mark.parametrize(("every", "steps", "bound"), [(50, 40_000, 3e-7), (200, 20_000, 1e-14)])
def test_a_moving_magnet_reaches_the_equilibrium(biased: NormalFormGame, every: int, steps: int, bound: float) -> None:
    played = self_play(biased, "moving_magnet", steps, every=every)
    assert played.nash_conv <= bound
    assert played.policy[:3] == pytest.approx([0.25, 0.5, 0.25], abs=1e-6)


def test_a_magnet_that_moves_too_soon_fails(biased: NormalFormGame) -> None:
    """K must outlast the inner convergence."""
    played = self_play(biased, "moving_magnet", 50_000, every=10, trace=range(1_000, 50_000, 1_000))
    assert min(played.trace.values()) > 0.2


@pytest.mark.parametrize("rule", ["optimistic", "extragradient"])
def test_looking_ahead_converges(biased: NormalFormGame, rule: str) -> None:
    played = self_play(biased, rule, 50_000, trace=(5_000, 20_000))
    assert played.trace[5_000] > played.trace[20_000] > 100 * played.nash_conv
    assert played.nash_conv < 2e-4


def test_kuhn_poker(kuhn: games.ExtensiveGame) -> None:
    """The value to the first player is −1/18 (Kuhn 1950)."""
    played = self_play(kuhn, "moving_magnet", 3_000, eta=0.1, every=200)
    assert played.nash_conv < 1e-8
    assert kuhn.expected_payoffs(played.policy)[0, 0] == pytest.approx(-1 / 18, abs=1e-6)
    assert self_play(kuhn, "naive", 3_000, eta=0.1).nash_conv > 0.2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_action_values_are_those_of_the_matrix(seed: int) -> None:
    """The tree of a one-shot game and the matrix itself say the same of every action."""
    rng = np.random.default_rng(seed)
    game = NormalFormGame(rng.standard_normal((3, 1, 2, 3, 2)))
    flat, tree = field_of(game), field_of(one_shot(game))
    policy = np.exp(normalised(flat, rng.standard_normal(7)))
    assert tree.values(policy) == pytest.approx(flat.values(policy), abs=1e-12)
    assert tree.nash_conv(policy) == pytest.approx(flat.nash_conv(policy), abs=1e-12)


def test_action_values_at_places_never_reached_are_zero(kuhn: games.ExtensiveGame) -> None:
    policy = kuhn.uniform_policy()
    pass_only = kuhn.policy({n: [1.0, 0.0] for n in kuhn.infoset_names})
    assert np.isfinite(field_of(kuhn).values(policy)).all()
    values = field_of(kuhn).values(pass_only)
    assert np.isfinite(values).all() and (values == 0.0).any()


def test_sampled_returns_are_the_expected_payoffs(kuhn: games.ExtensiveGame) -> None:
    rng = np.random.default_rng(0)
    policy = kuhn.uniform_policy()
    played = Sampler(kuhn).play(policy, np.zeros((40_000, 2), dtype=np.int64), rng)
    assert played.returns.mean(axis=0)[:, 0] == pytest.approx(kuhn.expected_payoffs(policy)[:, 0], abs=0.03)
    assert played.tokens == len(played.episode)
    assert set(np.unique(played.player)) == {0, 1}


def test_a_mixture_plays_like_a_draw_before_the_game(kuhn: games.ExtensiveGame) -> None:
    """Kuhn's theorem: realisation plans average, so the payoffs against anything fixed average too."""
    rng = np.random.default_rng(1)
    rows = [np.exp(normalised(field_of(kuhn), rng.standard_normal(kuhn.num_sequences))) for _ in range(3)]
    weights = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])
    mixed = mixture(kuhn, rows, weights)
    expected = np.zeros(2)
    for k, w in enumerate(weights[0]):
        cut = kuhn.sequences[0]
        joined = rows[1].copy()
        joined[cut.start : cut.stop] = rows[k][cut.start : cut.stop]
        expected += w * kuhn.expected_payoffs(joined)[:, 0]
    assert kuhn.expected_payoffs(mixed)[:, 0] == pytest.approx(expected, abs=1e-12)


def test_the_sampled_gradient_points_where_the_exact_one_does(kuhn: games.ExtensiveGame) -> None:
    """Mean over many estimates ∝ π (q − π·q) at every information set: the policy gradient theorem."""
    learners = Learners(kuhn, Settings("naive", episodes=20_000), range(2), kuhn.uniform_policy())
    estimate = np.mean(
        [learners._gradient(np.log(learners.policy), np.random.default_rng(s), None, None) for s in range(20)], axis=0
    )
    field, pi = field_of(kuhn), learners.policy
    q = field.values(pi)
    exact = pi * (q - np.add.reduceat(pi * q, field.first)[field.owner])
    assert estimate == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("rule", RULES)
def test_sampled_self_play_is_reproducible(kuhn: games.ExtensiveGame, rule: str) -> None:
    def run() -> np.ndarray:
        learners = Learners(kuhn, Settings(rule, episodes=8), range(2), kuhn.uniform_policy())
        rng = np.random.default_rng(3)
        for _ in range(20):
            learners.update(rng)
        return learners.policy

    assert (run() == run()).all()


def test_only_the_learner_moves(kuhn: games.ExtensiveGame) -> None:
    start = kuhn.uniform_policy()
    learners = Learners(kuhn, Settings("naive", episodes=32), [1], start)
    others = np.stack([start])
    for _ in range(5):
        learners.update(np.random.default_rng(0), others, np.zeros((32, 2), dtype=np.int64))
    cut = kuhn.sequences[0]
    assert learners.policy[cut.start : cut.stop] == pytest.approx(start[cut.start : cut.stop], abs=1e-15)
    assert not np.allclose(learners.policy, start)


def test_what_is_refused(biased: NormalFormGame) -> None:
    with pytest.raises(ValueError, match="rule: expected one of naive"):
        self_play(biased, "mirror")
    with pytest.raises(ValueError, match=r"magnet: expected \[6\]"):
        self_play(biased, magnet=[0.5, 0.5])
    with pytest.raises(ValueError, match="positive probabilities"):
        self_play(biased, start=[1, 0, 0, 1, 0, 0])
    with pytest.raises(ValueError, match="scalar game"):
        self_play(NormalFormGame(np.zeros((2, 2, 2, 2))))
