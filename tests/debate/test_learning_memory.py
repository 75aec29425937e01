"""Less memory, the same update: checkpointing, bfloat16, smaller parts; and what goes wrong stays where it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.compute import checkpointed
from debate.learning.joint_learner import JointLearner
from debate.learning.learner import LearnerConfig, PolicyGradientLearner, TrainingFailed
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn

NAMES = ("alice", "bob", "carol")
CONFIG = LearnerConfig(lr=1e-2, eps=1e-3, loss=preset("grpo", kl=0.1), epochs=2)


def tiny_model(dtype=torch.float32):
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).to(dtype).eval()


def host(dtype=torch.float32):
    return AdapterPolicies(
        tiny_model(dtype).requires_grad_(False), AdapterSpec(rank=4, alpha=8.0, targets="all-linear")
    )


def batch(seed, rows=5):
    rng = np.random.default_rng(seed)
    prompt, samples = tuple(rng.integers(0, 30, 6).tolist()), []
    for n in range(rows):
        turn = Turn("A", "debater", "s", 0, "x-v0", "", prompt_tokens=prompt, tokens=tuple(rng.integers(0, 30, 2 + n)))
        turn = replace(turn, logprobs=(-3.4,) * (2 + n))
        samples.append(Sample(f"e{n}", "p", "debater", "A", 0, "g", "x-v0", (turn,), ("win",), np.ones(1), ("ok",)))
    return TokenBatch.from_samples(samples, rng.normal(size=rows))


def adapters():
    """Adapter weights of each agent, B not zero, so that gradients reach both matrices."""
    weights = {}
    for n, name in enumerate(NAMES):
        generator = torch.Generator().manual_seed(n)
        state = host().first_state(n)
        weights[name] = {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in state.items()}
    return weights


def joint(config=CONFIG, dtype=torch.float32):
    weights, shared = adapters(), host(dtype)
    return JointLearner(shared, {n: (Policy(n, 0, "tiny"), config, weights[n]) for n in NAMES})


def batches(seed=0):
    return {name: batch(10 * seed + n, rows=3 + n) for n, name in enumerate(NAMES)}


def assert_same_weights(one, other, **tolerance):
    for name in one.members:
        for key, tensor in one.members[name].weights().items():
            torch.testing.assert_close(other.members[name].weights()[key], tensor, **tolerance)


# --- out of memory -----------------------------------------------------------------------------------------------


def limit_tokens(model, room, passes=None):
    """A decoder with room for so many tokens; from the pass numbered `passes` on. Returns sizes asked for."""
    calls = []

    def hook(module, args, kwargs):
        calls.append(kwargs["input_ids"].numel())
        if calls[-1] > room and len(calls) > (passes or 0):
            raise torch.OutOfMemoryError("out of memory")

    model.get_decoder().register_forward_pre_hook(hook, with_kwargs=True)
    return calls


@pytest.mark.parametrize("layout", ["padded", "sorted", "packed", "shared"])
@pytest.mark.parametrize("room", [80, 24])
@pytest.mark.parametrize("passes", [0, 2])
def test_joint_update_in_smaller_parts_is_the_same_update(layout, room, passes):
    """Room for 24 tokens is room for one row of one agent: not even a row of every agent fits together."""
    config = replace(CONFIG, layout=layout)
    plain, cramped = joint(), joint(config)
    calls = limit_tokens(cramped.host.base, room, passes)
    for n in range(2):
        expected, got = plain.update(batches(n)), cramped.update(batches(n))
        for name in NAMES:
            assert got[name]["loss"] == pytest.approx(expected[name]["loss"], rel=1e-3, abs=1e-6)
            assert got[name]["steps"] == 2
            assert room == 80 or got[name]["part_rows"] == 1
    assert calls[-1] <= room and (max(calls) > room or layout == "shared")  # shared rows may fit at once
    assert_same_weights(plain, cramped, rtol=1e-3, atol=1e-5)


def test_one_row_that_does_not_fit_names_the_agents_and_changes_nothing():
    subject = joint()
    before = subject.members["alice"].weights()
    limit_tokens(subject.host.base, 0)
    with pytest.raises(TrainingFailed, match=r"alice, bob, carol: a single row of 12 tokens does not fit"):
        subject.update(batches())
    assert all(torch.equal(before[k], v) for k, v in subject.members["alice"].weights().items())


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    subject = PolicyGradientLearner(tiny_model(), Policy("a", 0, "tiny"), CONFIG)

    def hook(module, args):
        raise RuntimeError("device-side assert triggered")

    subject.model.model.layers[0].register_forward_pre_hook(hook)
    with pytest.raises(RuntimeError, match="device-side assert"):
        subject.update(batch(0))


# --- faults stay with their agent --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["padded", "packed", "shared"])
@pytest.mark.parametrize("kind", ["loss", "advantage", "spike"])
def test_a_fault_of_one_agent_skips_its_step_alone(layout, kind):
    """The last good weights and optimiser of the faulty agent are kept bit for bit; the others learn as ever."""
    config = replace(CONFIG, layout=layout)
    clean, faulty = joint(config), joint(config)
    for subject in (clean, faulty):
        subject.update(batches(0))
    before, _ = faulty.members["bob"].state()
    rows = batches(1)
    if kind == "loss":
        rows["bob"].old_logprobs[0] = -math.inf
    elif kind == "advantage":
        rows["bob"].advantages[0] = math.inf
    else:
        faulty.members["bob"].config = replace(config, spike=1e-9)
    expected, got = clean.update(batches(1)), faulty.update(rows)
    assert got["bob"]["skipped"] == 2 and got["bob"]["steps"] == 0
    after, meta = faulty.members["bob"].state()
    assert meta["skipped_in_a_row"] == 2
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)
    for name in ("alice", "carol"):
        assert got[name]["grad_norm"] == pytest.approx(expected[name]["grad_norm"], rel=1e-4)
        for key, tensor in clean.members[name].weights().items():
            torch.testing.assert_close(faulty.members[name].weights()[key], tensor, rtol=1e-4, atol=1e-6)
    faulty.members["bob"].config = config
    assert faulty.update(batches(2))["bob"]["steps"] == 2


# --- checkpointing -----------------------------------------------------------------------------------------------


def count_layers(model):
    calls = []
    model.get_decoder().layers[0].self_attn.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    return calls


@pytest.mark.parametrize("make", [joint, None])
def test_checkpointing_runs_layers_twice_and_gives_the_same_update(make):
    config, saving = replace(CONFIG, epochs=1), replace(CONFIG, epochs=1, checkpointing=True)
    counts = []
    if make is None:
        plain, thrifty = (PolicyGradientLearner(tiny_model(), Policy("a", 0, "t"), c) for c in (config, saving))
        for subject in (plain, thrifty):
            calls = count_layers(subject.model)
            subject.update(batch(0))
            counts.append(sum(calls))
        for key, tensor in plain.weights().items():
            torch.testing.assert_close(thrifty.weights()[key], tensor)
        assert "forward" not in vars(thrifty.model.model.layers[0])
    else:
        plain, thrifty = joint(config), joint(saving)
        for subject in (plain, thrifty):
            calls = count_layers(subject.host.base)
            subject.update(batches())
            counts.append(sum(calls))
        assert_same_weights(plain, thrifty)
    assert counts[1] == 2 * counts[0] > 0


def test_checkpointing_needs_layers():
    class Decoder(torch.nn.Module):
        def get_decoder(self):
            return self

    with pytest.raises(ValueError, match="no layers to checkpoint"), checkpointed(Decoder()):
        pass


# --- bfloat16 ----------------------------------------------------------------------------------------------------


def moments(learner):
    return [learner._optimizer.state[p]["exp_avg"] for _, p in sorted(learner._parameters.items())]


def close_in_direction(one, other):
    one, other = (torch.cat([t.flatten().double() for t in moments(learner)]) for learner in (one, other))
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def test_bfloat16_products_with_float32_weights_and_optimiser():
    exact = PolicyGradientLearner(tiny_model(), Policy("a", 0, "t"), CONFIG)
    rough = PolicyGradientLearner(tiny_model(), Policy("a", 0, "t"), replace(CONFIG, bf16=True))
    kinds = []
    rough.model.model.layers[0].self_attn.q_proj.register_forward_hook(lambda m, a, out: kinds.append(out.dtype))
    # The second pass must see the weights that the first one made: autocast's copies must not outlive them.
    expected, got = exact.update(batch(0)), rough.update(batch(0))
    assert set(kinds) == {torch.bfloat16}
    states = [s for p in rough._parameters.values() for k, s in rough._optimizer.state[p].items() if k != "step"]
    assert {t.dtype for t in [*states, *rough._parameters.values()]} == {torch.float32}
    assert close_in_direction(exact, rough) > 0.99
    assert got["kl"] == pytest.approx(expected["kl"], rel=0.2) and expected["kl"] > 1e-3


@pytest.mark.parametrize("layout", ["padded", "shared"])
@pytest.mark.parametrize("base", [torch.float32, torch.bfloat16])
def test_joint_bfloat16_keeps_float32_matrices(base, layout):
    exact, rough = joint(), joint(replace(CONFIG, bf16=True, layout=layout), base)
    exact.update(batches())
    rough.update(batches())
    for name in NAMES:
        one, other = exact.members[name], rough.members[name]
        assert {t.dtype for t in [*moments(other), *other.matrices.values()]} == {torch.float32}
        assert close_in_direction(one, other) > 0.98


def test_adapters_over_a_bfloat16_base_learn_the_same_alone_and_together():
    config, weights, shared = replace(CONFIG, bf16=True), adapters(), host(torch.bfloat16)
    together = joint(config, torch.bfloat16)
    together.update(batches())
    for name, rows in batches().items():
        alone = AdapterLearner(shared, Policy(name, 0, "tiny"), config, weights[name])
        alone.update(rows)
        assert close_in_direction(alone, together.members[name]) > 0.98
