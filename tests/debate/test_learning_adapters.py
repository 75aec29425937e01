"""Adapter learners: one shared base, isolated agents, PEFT's file format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.engines.adapters import AdapterPolicies, AdapterSpec, load_adapter, save_adapter
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.learner import LearnerConfig
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn

ALICE, BOB = Policy("alice", 0, "tiny"), Policy("bob", 0, "tiny")


def host(dtype=torch.float32):
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(dtype).eval().requires_grad_(False)
    return AdapterPolicies(model, AdapterSpec(rank=4, targets="all-linear"))


def batch(seed, policy="alice-v0"):
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(5):
        turn = Turn("A", "debater", "s", 0, policy, "", prompt_tokens=tuple(rng.integers(0, 30, 4)))
        turn = replace(turn, tokens=tuple(rng.integers(0, 30, 3)), logprobs=(-3.4,) * 3)
        samples.append(Sample(f"e{n}", "p", "debater", "A", 0, "g", policy, (turn,), ("win",), np.ones(1), ("ok",)))
    return TokenBatch.from_samples(samples, rng.normal(size=5))


CONFIG = LearnerConfig(lr=1e-2, loss=preset("reinforce", kl=0.1))


def test_only_the_own_adapter_moves_and_nothing_stays_active():
    shared = host()
    base = {name: p.clone() for name, p in shared.base.named_parameters()}
    alice, bob = AdapterLearner(shared, ALICE, CONFIG, 1), AdapterLearner(shared, BOB, CONFIG, 2)
    bare = unit_logprobs_of(shared, "")
    before = bob.weights()
    metrics = alice.update(batch(0))
    assert metrics["steps"] == 1 and metrics["kl"] == pytest.approx(0, abs=1e-6)
    assert alice.update(batch(1))["kl"] != 0
    assert all(torch.equal(before[k], v) for k, v in bob.weights().items())
    for name, parameter in shared.base.named_parameters():
        plain = name.replace(".base_layer", "")
        if plain in base:
            assert torch.equal(base[plain], parameter)
        assert not parameter.requires_grad
    assert torch.equal(unit_logprobs_of(shared, ""), bare)


@torch.no_grad()
def unit_logprobs_of(shared, policy):
    with shared.use(policy) as model:
        return unit_logprobs(model, to_tensors(batch(7)))[0]


def test_published_weights_speak_like_the_learner(tmp_path):
    shared = host()
    alice = AdapterLearner(shared, ALICE, CONFIG, 1)
    for n in range(3):
        alice.update(batch(n))
    with alice._acting(), torch.no_grad():
        expected = unit_logprobs(shared.base, to_tensors(batch(7)))[0]
    shared.publish("alice-v3", alice.weights())
    assert torch.equal(unit_logprobs_of(shared, "alice-v3"), expected)
    assert not torch.allclose(unit_logprobs_of(shared, ""), expected, atol=1e-3)
    save_adapter(tmp_path / "a", alice.weights(), shared.spec, "tiny")
    state, spec = load_adapter(tmp_path / "a")
    assert spec.rank == 4 and all(torch.equal(state[k], v) for k, v in alice.weights().items())


def test_peft_reads_what_was_saved(tmp_path):
    from peft import PeftModel

    shared = host()
    alice = AdapterLearner(shared, ALICE, CONFIG, 1)
    alice.update(batch(0))
    save_adapter(tmp_path / "a", alice.weights(), shared.spec, "tiny")
    with alice._acting(), torch.no_grad():
        expected = unit_logprobs(shared.base, to_tensors(batch(7)))[0]
    loaded = PeftModel.from_pretrained(host().base, tmp_path / "a").eval()
    with torch.no_grad():
        got = unit_logprobs(loaded.get_base_model(), to_tensors(batch(7)))[0]
    torch.testing.assert_close(got, expected)


def test_resumed_equals_uninterrupted_bit_for_bit():
    whole, half = AdapterLearner(host(), ALICE, CONFIG, 1), AdapterLearner(host(), ALICE, CONFIG, 1)
    resumed = AdapterLearner(host(), ALICE, CONFIG, 9)
    for learner in (whole, half):
        learner.update(batch(0))
    resumed.load_state(*half.state())
    for learner in (whole, resumed):
        learner.update(batch(1))
    expected, got = whole.state(), resumed.state()
    assert expected[1] == got[1]
    for name, array in expected[0].items():
        np.testing.assert_array_equal(array, got[0][name])


def test_adapters_over_a_bfloat16_base_are_float32():
    alice = AdapterLearner(host(torch.bfloat16), ALICE, CONFIG, 1)
    assert {w.dtype for w in alice.weights().values()} == {torch.float32}
    assert np.isfinite(alice.update(batch(0))["loss"])


def test_a_second_learner_or_foreign_weights_are_refused():
    shared = host()
    alice = AdapterLearner(shared, ALICE, CONFIG, 1)
    with pytest.raises(ValueError, match="there is one already"):
        AdapterLearner(shared, ALICE, CONFIG, 1)
    weights = alice.weights()
    weights.pop(next(iter(weights)))
    with pytest.raises(ValueError, match="do not fit"):
        AdapterLearner(shared, BOB, CONFIG, weights)
    AdapterLearner(shared, BOB, CONFIG, alice.weights())
