"""The vector-valued turn critic: it reads the right states, learns, and lowers the variance of advantages."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.learning.batch import TokenBatch
from debate.learning.critic import TurnCritic, turn_states
from debate.learning.gae import turn_gae
from debate.learning.samples import Sample
from debate.transcript import Turn

NAMES = ("win", "truth")


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n, 6))
    heads = np.random.default_rng(99).normal(size=(6, 2))
    return states, states @ heads + [3.0, -1.0]


def test_heads_learn_and_values_are_read_before_the_fit():
    critic = TurnCritic(6, NAMES, ridge=1e-3)
    states, targets = data(50)
    assert (critic.values(states) == 0).all()
    critic.fit(states, targets)
    fresh, truth = data(20, seed=1)
    np.testing.assert_allclose(critic.values(fresh), truth, atol=1e-2)
    assert critic.fit(fresh, truth)["win"] > 0.99


def test_unknown_targets_leave_only_their_own_head_out():
    states, targets = data(50)
    holed = targets.copy()
    holed[:, 1] = np.nan
    holed[::2, 0] = np.nan
    one, two = TurnCritic(6, NAMES), TurnCritic(6, NAMES)
    one.fit(states, holed)
    two.fit(states[1::2], targets[1::2])
    np.testing.assert_allclose(one.weights[:, 0], two.weights[:, 0])
    assert (one.weights[:, 1] == 0).all()


def test_a_critic_lowers_the_variance_of_advantages():
    """The start already tells most of the outcome: what is left after the critic is the noise."""
    critic = TurnCritic(6, NAMES, ridge=1e-3)
    states, returns = data(200)
    noise = 0.1 * np.random.default_rng(2).normal(size=returns.shape)
    critic.fit(states, returns + noise)
    states, returns = data(200, seed=3)
    values = critic.values(states)
    with_critic = np.array([turn_gae(r[None], np.stack([v, 0 * v]))[0] for r, v in zip(returns, values, strict=True)])
    assert (with_critic.var(axis=0) < 0.01 * returns.var(axis=0)).all()


def test_states_are_those_before_each_turn():
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    samples = []
    for n in range(3):
        first = Turn("A", "d", "s", 0, "a-v0", "", prompt_tokens=(1, 2, 3 + n), tokens=(4, 5), logprobs=(-1.0, -1.0))
        second = replace(first, prompt_tokens=(6,), tokens=(7,), logprobs=(-1.0,), slot=1)
        third = replace(second, prompt_tokens=(8, 9), slot=2, fresh=True)
        samples.append(
            Sample(f"e{n}", "p", "d", "A", 0, "g", "a-v0", (first, second, third), ("win",), np.ones(1), ("ok",))
        )
    got = turn_states(model, TokenBatch.from_samples(samples, np.zeros(3)), part_rows=2)
    prefixes = [p for n in range(3) for p in ([1, 2, 3 + n], [1, 2, 3 + n, 4, 5, 6], [8, 9])]
    with torch.no_grad():
        expected = [model.model(torch.tensor([p])).last_hidden_state[0, -1].numpy() for p in prefixes]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_state_survives_and_foreign_state_is_refused():
    critic, other = TurnCritic(6, NAMES), TurnCritic(6, NAMES)
    critic.fit(*data(9))
    arrays, meta = critic.state()
    other.load_state(arrays, json.loads(json.dumps(meta)))
    assert (other.weights == critic.weights).all()
    with pytest.raises(ValueError, match="expected criteria"):
        TurnCritic(6, ("win",)).load_state(arrays, meta)
    with pytest.raises(ValueError, match="expected states"):
        critic.values(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="expected targets"):
        critic.fit(np.zeros((2, 6)), np.zeros((2, 1)))
