"""Quantile heads: the published loss, calibrated levels, and the same use as the plain critic."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.learning.quantile_critic import QuantileCritic, quantile_huber

NAMES = ("win", "truth")


def data(n, seed=0):
    """Returns whose spread depends on the state: 0.2 or 1.0."""
    rng = np.random.default_rng(seed)
    states = np.column_stack([rng.integers(0, 2, n), rng.normal(size=(n, 2))]).astype(float)
    noise = rng.normal(size=(n, 2)) * (0.2 + 0.8 * states[:, :1])
    return states, states @ np.array([[1.0, -1.0], [0.5, 0.0], [0.0, 2.0]]) + noise


def test_the_loss_is_that_of_the_paper():
    """Equations 9 and 10 of Dabney et al. by hand, κ = 1: u = 0.5 and 2 at τ = .25, u = −0.5 and −2 at τ = .25."""
    errors = np.array([[0.5], [2.0], [-0.5], [-2.0]])
    expected = [0.25 * 0.125, 0.25 * 1.5, 0.75 * 0.125, 0.75 * 1.5]
    np.testing.assert_allclose(quantile_huber(errors, np.array([0.25]), 1.0)[:, 0], expected)
    pinball = np.maximum(0.25 * errors, -0.75 * errors)
    np.testing.assert_allclose(quantile_huber(errors, np.array([0.25]), 1e-6), pinball, atol=1e-6)


def test_levels_are_calibrated_where_the_spread_depends_on_the_state():
    critic = QuantileCritic(3, NAMES, quantiles=5, kappa=0.01, ridge=1e-3, sweeps=60)
    critic.fit(*data(4000))
    states, returns = data(4000, seed=1)
    predicted = critic.quantiles(states)
    share = (returns[:, :, None] <= predicted).mean(axis=0)
    np.testing.assert_allclose(share, np.tile([0.1, 0.3, 0.5, 0.7, 0.9], (2, 1)), atol=0.03)
    width = (predicted[..., -1] - predicted[..., 0]).mean(axis=1)
    noisy = states[:, 0] == 1
    # a normal distribution has 2 · 1.2816 of its standard deviations between the levels .1 and .9
    assert width[noisy].mean() == pytest.approx(2.563, rel=0.1)
    assert width[~noisy].mean() == pytest.approx(0.513, rel=0.25)


def test_values_are_means_read_before_the_fit():
    critic = QuantileCritic(3, NAMES, ridge=1e-3)
    states, returns = data(500)
    assert (critic.values(states) == 0).all()
    first = critic.fit(states, returns)
    assert first["win"] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(critic.values(states), critic.quantiles(states).mean(-1))
    assert critic.fit(*data(500, seed=2))["truth"] > 0.8


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 30), kappa=st.sampled_from([0.01, 0.1, 1.0]))
def test_a_fit_never_raises_the_loss(seed, n, kappa):
    rng = np.random.default_rng(seed)
    states, returns = rng.normal(size=(n, 4)), rng.normal(size=(n, 1))
    losses = []
    for sweeps in (1, 2, 5, 20):
        critic = QuantileCritic(4, ("win",), quantiles=4, kappa=kappa, ridge=0.5, sweeps=sweeps)
        critic.fit(states, returns)
        x = np.hstack([states, np.ones((n, 1))])
        error = returns - x @ critic.weights[0]
        held = 0.5 * 0.5 * np.square(critic.weights[0][:-1]).sum()
        losses.append(quantile_huber(error, critic.levels, kappa).sum() + held)
    start = quantile_huber(np.repeat(returns, 4, axis=1), critic.levels, kappa).sum()
    for before, after in zip([start, *losses], losses, strict=False):
        assert after <= before + 1e-9


def test_unknown_targets_leave_only_their_own_head_out():
    states, returns = data(50)
    holed = returns.copy()
    holed[:, 1] = np.nan
    holed[::2, 0] = np.nan
    one, two = QuantileCritic(3, NAMES), QuantileCritic(3, NAMES)
    one.fit(states, holed)
    two.fit(states[1::2], returns[1::2])
    np.testing.assert_allclose(one.weights[0], two.weights[0])
    assert (one.weights[1] == 0).all()


def test_state_survives_and_foreign_state_is_refused():
    critic, other = QuantileCritic(3, NAMES), QuantileCritic(3, NAMES)
    critic.fit(*data(40))
    arrays, meta = critic.state()
    other.load_state(arrays, json.loads(json.dumps(meta)))
    assert (other.weights == critic.weights).all()
    with pytest.raises(ValueError, match="expected criteria"):
        QuantileCritic(3, NAMES, quantiles=3).load_state(arrays, meta)
    with pytest.raises(ValueError, match="expected states"):
        critic.values(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="expected targets"):
        critic.fit(np.zeros((2, 3)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="kappa"):
        QuantileCritic(3, NAMES, kappa=0.0)
