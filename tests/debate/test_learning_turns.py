"""GAE over turns, hierarchical advantages, piKL and PUCT against their theory."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.learning.gae import td_errors, turn_advantages, turn_gae
from debate.learning.hierarchical import hierarchical_advantage
from debate.learning.pikl import pikl_hedge, pikl_policy
from debate.learning.puct import PlanMemory
from debate.learning.samples import Sample
from debate.transcript import Turn

NUMBERS = st.lists(st.floats(-5, 5), min_size=1, max_size=8)


def episode(rewards, seed=0):
    rng = np.random.default_rng(seed)
    values = np.append(rng.normal(size=len(rewards)), 0.0)
    return np.array(rewards), values


# --- GAE -------------------------------------------------------------------------------------------------------


@given(NUMBERS, st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_sum_of_discounted_errors(rewards, gamma, lam):
    r, v = episode(rewards)
    delta = td_errors(r, v, gamma)
    expected = [sum((gamma * lam) ** k * delta[t + k] for k in range(len(r) - t)) for t in range(len(r))]
    np.testing.assert_allclose(turn_gae(r, v, gamma, lam), expected, atol=1e-9)


@given(NUMBERS)
def test_gae_limits(rewards):
    r, v = episode(rewards)
    returns = np.cumsum(r[::-1])[::-1]
    np.testing.assert_allclose(turn_gae(r, v, 1.0, 1.0), returns - v[:-1], atol=1e-9)
    np.testing.assert_allclose(turn_gae(r, v, 1.0, 0.0), td_errors(r, v), atol=1e-12)


def test_gae_is_vector_valued():
    rng = np.random.default_rng(0)
    r, v = rng.normal(size=(5, 3)), rng.normal(size=(6, 3))
    columns = [turn_gae(r[:, c], v[:, c]) for c in range(3)]
    np.testing.assert_allclose(turn_gae(r, v), np.stack(columns, axis=1))


def test_true_values_leave_no_advantage():
    r, v = np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(turn_gae(r, v), np.zeros(3))


@pytest.mark.parametrize("bad", [{"values": np.zeros(3)}, {"gamma": 1.5}, {"lam": -0.1}])
def test_bad_gae_input_is_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        turn_gae(np.zeros(3), **{"values": np.zeros(4), **bad})


def sample(n, rewards, turns=2, position=0):
    turn = Turn("A", "debater", "s", 0, "a-v0", "", prompt_tokens=(1,), tokens=(2,), logprobs=(-1.0,))
    status = tuple("ok" if np.isfinite(x) else "abstain" for x in rewards)
    names = ("win", "truth")
    return Sample(
        f"e{n}", "p", "debater", "A", position, "g", "a-v0", (turn,) * turns, names, np.array(rewards), status
    )


def test_turn_advantages_use_every_known_criterion():
    samples = [sample(0, (1.0, 0.0)), sample(1, (0.0, np.nan)), sample(2, (np.nan, np.nan)), sample(3, (0.0, 1.0))]
    values = [np.zeros((2, 2))] * 4
    got = turn_advantages(samples, values, {"win": 1.0}, lam=1.0)
    assert np.isnan(got[2]).all()
    flat = np.array([1, 1, 0, 0, 0, 0])
    expected = (flat - flat.mean()) / flat.std(ddof=1)
    np.testing.assert_allclose(np.concatenate([got[0], got[1], got[3]]), expected, atol=1e-3)
    with pytest.raises(ValueError, match="expected values of shape"):
        turn_advantages(samples[:1], [np.zeros((3, 2))], {"win": 1.0})


# --- HiPER -----------------------------------------------------------------------------------------------------


@given(NUMBERS, st.floats(0, 1), st.floats(0, 1))
def test_switching_every_turn_gives_turn_gae_above_and_td_below(rewards, gamma, lam):
    r, v = episode(rewards)
    got = hierarchical_advantage(r, v[:-1], v, np.ones(len(r), bool), gamma, lam, lam)
    np.testing.assert_allclose(got.high, turn_gae(r, v, gamma, lam), atol=1e-9)
    np.testing.assert_allclose(got.low, td_errors(r, v, gamma), atol=1e-9)


@given(NUMBERS, st.floats(0, 1), st.floats(0, 1))
def test_one_plan_gives_return_minus_value(rewards, gamma, lam_segment):
    r, v = episode(rewards)
    switches = np.zeros(len(r), bool)
    switches[0] = True
    got = hierarchical_advantage(r, v[:-1], v, switches, gamma, 0.9, lam_segment)
    np.testing.assert_allclose(got.high, [gamma ** np.arange(len(r)) @ r - v[0]], atol=1e-9)
    np.testing.assert_allclose(got.low, turn_gae(r, v, gamma, 0.9), atol=1e-9)


def test_trace_is_reset_at_the_boundary():
    r, low, high = np.array([0.0, 0.0, 5.0, 7.0]), np.zeros(4), np.array([0.0, 9.0, 2.0, 9.0, 0.0])
    got = hierarchical_advantage(r, low, high, [True, False, True, False], 1.0, 1.0, 0.5)
    # Only V_high = 2 at the boundary reaches the first segment's words, not the later rewards.
    assert got.low.tolist() == [2.0, 2.0, 12.0, 7.0]
    assert got.high.tolist() == [2.0 + 0.5 * 10.0, 10.0]
    assert got.starts.tolist() == [0, 2]


def test_bad_plans_are_refused():
    with pytest.raises(ValueError, match="before the first turn"):
        hierarchical_advantage([1.0], [0.0], [0.0, 0.0], [False])
    with pytest.raises(ValueError, match=r"high values \[H \+ 1\]"):
        hierarchical_advantage([1.0], [0.0], [0.0], [True])


# --- piKL ------------------------------------------------------------------------------------------------------


def kl(p, q):
    return float(np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / q), 0.0)))


LAMBDAS = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_regret_rises_and_divergence_falls_with_the_pull(seed):
    rng = np.random.default_rng(seed)
    q, anchor = rng.normal(size=4), rng.dirichlet(np.ones(4))
    policies = [pikl_policy(q, anchor, lam, 1.0, np.inf) for lam in LAMBDAS]
    regret = [q.max() - p @ q for p in policies]
    distance = [kl(p, anchor) for p in policies]
    assert (np.diff(regret) >= -1e-9).all() and (np.diff(distance) <= 1e-9).all()


def test_limits_of_the_pull():
    q, anchor = np.array([1.0, 0.5, 0.0]), np.array([0.1, 0.3, 0.6])
    np.testing.assert_allclose(pikl_policy(q, anchor, 1e9, 1.0, 1e6), anchor, atol=1e-6)
    np.testing.assert_allclose(pikl_policy(q, anchor, 1e-6, 1.0, np.inf), [1, 0, 0], atol=1e-6)
    hedge = np.exp(2 * q) / np.exp(2 * q).sum()
    np.testing.assert_allclose(pikl_policy(q, anchor, 0.0, 0.5, 4), hedge)
    assert pikl_policy(q, [0.5, 0.5, 0.0], 0.1, 1.0, 10)[2] == 0


def fixed_point(payoffs, anchors, lam):
    result = pikl_hedge(payoffs, -payoffs, anchors, lam, iterations=6000)
    assert result.gap < 5e-3
    return result.policies


def test_sum_of_divergences_falls_at_the_zero_sum_fixed_point():
    rng = np.random.default_rng(3)
    payoffs = rng.normal(size=(4, 3))
    anchors = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(3))
    sums = []
    for lam in (0.3, 1.0, 3.0, 10.0):
        x, y = fixed_point(payoffs, anchors, lam)
        sums.append(kl(x, anchors[0]) + kl(y, anchors[1]))
    assert (np.diff(sums) < 0).all()


@pytest.mark.parametrize("lam", [0.3, 1.0, 10.0])
def test_anchored_at_the_equilibrium_nothing_can_be_exploited(lam):
    """Biased rock-paper-scissors: Nash (¼, ½, ¼) is the fixed point for every pull."""
    payoffs = np.array([[0, -1, 2], [1, 0, -1], [-2, 1, 0]], dtype=float)
    nash = np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(pikl_policy(payoffs @ nash, nash, lam, 1.0, np.inf), nash, atol=1e-12)
    x, y = fixed_point(payoffs, (nash, nash), lam)
    assert (payoffs @ y).max() - (x @ payoffs).min() < 1e-3


@pytest.mark.parametrize("bad", [{"anchor": [0.5, 0.6]}, {"lam": -1.0}, {"eta": 0.0}, {"lam": 0.0, "t": np.inf}])
def test_bad_pikl_input_is_refused(bad):
    with pytest.raises(ValueError, match="piKL: expected"):
        pikl_policy(**{"values": [0.0, 1.0], "anchor": [0.5, 0.5], "lam": 1.0, "eta": 1.0, "t": 1.0, **bad})


# --- PUCT ------------------------------------------------------------------------------------------------------

PLANS, BEST, DECOY = 16, 11, 2
PRIOR = np.full(PLANS, (1 - 0.5 - 0.004) / (PLANS - 2))
PRIOR[DECOY], PRIOR[BEST] = 0.5, 0.004
MEANS = np.full(PLANS, 0.3)
MEANS[DECOY], MEANS[BEST] = 0.6, 1.0


def first_pull(seed, pulls, score):
    """Pull at which the best plan is first tried, and the memory after all pulls."""
    rng = np.random.default_rng(seed)
    memory, first = PlanMemory(PLANS), None
    for n in range(pulls):
        plan = int(np.argmax(score(memory)))
        first = n if plan == BEST and first is None else first
        memory.record(plan, float(MEANS[plan] + 0.1 * rng.normal()))
    return first, memory


def test_puct_finds_the_rare_best_plan_in_every_run():
    for seed in range(20):
        first, memory = first_pull(seed, 200, lambda m: m.scores(PRIOR))
        assert first is not None and first < 100
        assert memory.counts.argmax() == BEST
        assert memory.target(PRIOR, temperature=0.05).argmax() == BEST


def test_the_root_and_the_running_mean_are_what_finds_it():
    """The plain prior needs four times as long, and with unvisited plans at 0 tens of thousands of pulls."""

    def plain(memory):
        return memory.values + PRIOR * np.sqrt(memory.counts.sum() + 1) / (1 + memory.counts)

    def plain_from_zero(memory):
        return np.where(memory.counts > 0, plain(memory), plain(memory) - memory.values)

    assert all(first_pull(seed, 180, plain)[0] is None for seed in range(5))
    assert first_pull(0, 5000, plain_from_zero)[0] is None


def test_an_unvisited_plan_is_worth_the_running_mean():
    memory = PlanMemory(3)
    assert memory.values.tolist() == [0, 0, 0]
    memory.record(0, 1.0)
    memory.record(1, 0.0)
    assert memory.values.tolist() == [1.0, 0.0, 0.5]
    expected = 0.5 + np.sqrt(0.25) * np.sqrt(3)
    assert memory.scores([0.5, 0.25, 0.25])[2] == pytest.approx(expected)


def test_plan_memory_survives_json_and_refuses_nonsense():
    memory = PlanMemory(2)
    memory.record(0, 0.1)
    memory.record(0, 0.2)
    other = PlanMemory(2)
    other.load(json.loads(json.dumps(memory.state())))
    assert (other.totals == memory.totals).all() and (other.counts == memory.counts).all()
    for plan, reward in ((2, 1.0), (0, np.nan)):
        with pytest.raises(ValueError, match="expected a plan"):
            memory.record(plan, reward)
    with pytest.raises(ValueError, match="distribution over 2"):
        memory.scores([0.5, 0.6])
    with pytest.raises(ValueError, match="state of 3 plans"):
        PlanMemory(3).load(memory.state())
