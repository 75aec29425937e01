"""TRL's fused head gives the numbers of our own, and is left alone where it cannot."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.fused_head import MARK, fits, fuse_head
from debate.learning.learner import LearnerConfig
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn


def tiny_model():
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


def batch(picks=False, rows=4):
    rng = np.random.default_rng(0)
    samples = []
    for n in range(rows):
        turn = Turn("A", "debater", "s", 0, "x-v0", "", prompt_tokens=(1, 2, 3), tokens=tuple(rng.integers(0, 30, 4)))
        turn = replace(turn, logprobs=(-3.4,) * 4)
        if picks:
            turn = replace(turn, tokens=(5,), choices=((5,), (6,)), option=0, logprobs=(-0.7,))
        samples.append(Sample(f"e{n}", "p", "debater", "A", 0, "g", "x-v0", (turn,), ("win",), np.ones(1), ("ok",)))
    return TokenBatch.from_samples(samples, rng.normal(size=rows))


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_fused_head_gives_equal_numbers_and_gradients(layout, temperature):
    pytest.importorskip("trl")
    results = []
    for fused in (False, True):
        model = tiny_model()
        logprobs, entropies = unit_logprobs(model, to_tensors(batch(), "cpu", layout), temperature, fused=fused)
        (logprobs.square().sum() + entropies.sum()).backward()
        assert hasattr(model, MARK) == fused
        results.append((logprobs.detach(), entropies.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_other_temperatures_replace_the_patch():
    pytest.importorskip("trl")
    model, tensors = tiny_model(), to_tensors(batch())
    with torch.no_grad():
        for temperature in (1.0, 0.5, 1.0):
            got, _ = unit_logprobs(model, tensors, temperature, fused=True)
            expected, _ = unit_logprobs(model, tensors, temperature)
            torch.testing.assert_close(got, expected)


def test_picks_and_shared_states_use_our_own_head():
    model = tiny_model()
    for tensors in (to_tensors(batch(picks=True)), to_tensors(batch(), "cpu", "shared")):
        assert not fits(tensors)
        with torch.no_grad():
            got, _ = unit_logprobs(model, tensors, fused=True)
            torch.testing.assert_close(got, unit_logprobs(model, tensors)[0])
    assert not hasattr(model, MARK)


def test_without_trl_our_own_head_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "trl.trainer.utils", None)
    model, tensors = tiny_model(), to_tensors(batch())
    assert not fuse_head(model, 1.0)
    with torch.no_grad():
        torch.testing.assert_close(unit_logprobs(model, tensors, fused=True), unit_logprobs(model, tensors))


def test_an_adapter_learner_with_the_fused_head_updates_alike():
    pytest.importorskip("trl")
    weights = []
    for fused in (False, True):
        host = AdapterPolicies(tiny_model().requires_grad_(False), AdapterSpec(rank=4, targets="all-linear"))
        config = LearnerConfig(lr=1e-2, eps=1e-3, epochs=2, fused_head=fused)
        learner = AdapterLearner(host, Policy("alice", 0, "tiny"), config, 1)
        learner.update(batch())
        weights.append(learner.weights())
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)
