"""Optimistic and extragradient updates: the gradients they take are the ones their papers say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.learning.batch import TokenBatch
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn

POLICY = Policy("alice", 0, "nano")


def learner(lookahead: str = "none") -> PolicyGradientLearner:
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    settings = LearnerConfig(lr=1e-2, clip_norm=0.0, lookahead=lookahead)  # type: ignore[arg-type]
    return PolicyGradientLearner(model, POLICY, settings)


def batch(seed: int) -> TokenBatch:
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(6):
        tokens = tuple(int(t) for t in rng.integers(3, 20, 4))
        turn = Turn("A", "debater", "speech", 0, "alice-v0", "words", prompt_tokens=(3, 4 + n), tokens=tokens)
        turn = replace(turn, logprobs=(-3.0,) * 4)
        samples.append(
            Sample(f"e{n}", "p", "debater", "A", 0, "g", "alice-v0", (turn,), ("win",), np.array([1.0]), ("ok",))
        )
    return TokenBatch.from_samples(samples, rng.standard_normal(6))


def gradients(one: PolicyGradientLearner) -> dict[str, torch.Tensor]:
    """What the last step was taken along."""
    return {name: p.grad.clone() for name, p in one.model.named_parameters() if p.grad is not None}


def test_optimism_steps_along_twice_the_new_gradient_less_the_last() -> None:
    """2 g_t − g_{t−1} (Daskalakis et al. 2018, eq. 5)."""
    plain, optimistic = learner(), learner("optimistic")
    first, second = batch(0), batch(1)
    plain.update(first)
    g1 = gradients(plain)
    optimistic.update(first)
    for name, value in gradients(optimistic).items():
        assert torch.equal(value, g1[name]), "nothing to look back to at first"
    plain.update(second)  # both have taken the same first step, so this is g_2 at the same weights
    g2 = gradients(plain)
    optimistic.update(second)
    for name, value in gradients(optimistic).items():
        torch.testing.assert_close(value, 2 * g2[name] - g1[name], rtol=1e-6, atol=1e-8)


def test_an_extragradient_step_takes_the_gradient_ahead_and_steps_from_where_it_was() -> None:
    """θ' = θ − η g(θ), then θ ← θ − η g(θ') with the optimiser as it was (Korpelevich 1976)."""
    ahead, probe, base = learner("extragradient"), learner(), learner()
    start = ahead.weights()
    first, second = batch(0), batch(1)
    ahead.look_ahead(first)
    probe.update(first)
    for name, value in ahead.weights().items():
        assert torch.equal(value, probe.weights()[name]), "the point looked ahead to is a plain step away"
    assert any(not torch.equal(value, start[name]) for name, value in ahead.weights().items())
    probe.update(second)
    there = gradients(probe)
    for name, parameter in base.model.named_parameters():
        parameter.grad = there[name].clone()
    base._optimizer.step()
    ahead.update(second)
    assert ahead.snapshot().version == 1
    for name, value in ahead.weights().items():
        torch.testing.assert_close(value, base.weights()[name], rtol=0, atol=1e-7)


def test_optimism_survives_a_resume() -> None:
    whole, first, second = learner("optimistic"), learner("optimistic"), learner("optimistic")
    for k in range(4):
        whole.update(batch(k))
    for k in range(2):
        first.update(batch(k))
    arrays, meta = first.state()
    second.load_state(arrays, json.loads(json.dumps(meta)))
    cold = learner("optimistic")
    cold.load_state({k: v for k, v in arrays.items() if "last" not in k}, {**meta, "optimistic": False})
    for k in range(2, 4):
        second.update(batch(k))
        cold.update(batch(k))
    assert all(torch.equal(v, whole.weights()[n]) for n, v in second.weights().items())
    assert any(not torch.equal(v, whole.weights()[n]) for n, v in cold.weights().items())


def test_a_skipped_step_leaves_nothing_to_look_back_to() -> None:
    one = learner("optimistic")
    one.update(batch(0))
    kept = {n: g.clone() for n, g in one._last_gradient.items()}
    broken = batch(1)
    broken.advantages[:] = np.nan
    assert one.update(broken)["skipped"] == 1
    assert all(torch.equal(g, kept[n]) for n, g in one._last_gradient.items())


@pytest.mark.parametrize("settings", [{"epochs": 2}, {"minibatch_rows": 2}, {"magnet_every": 3}])
def test_extragradient_is_one_step_from_a_fixed_reference(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="extragradient takes one step"):
        LearnerConfig(lookahead="extragradient", **settings)
    with pytest.raises(ValueError, match="expected none, optimistic, extragradient"):
        LearnerConfig(lookahead="sideways")  # type: ignore[arg-type]
