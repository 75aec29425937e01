"""The joint multi-LoRA update equals separate PEFT updates, keeps agents apart, and loads PEFT's files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.engines.adapters import AdapterPolicies, AdapterSpec, load_adapter, save_adapter
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch, merge
from debate.learning.grouped_lora import add_low_rank, grouped, layer_of
from debate.learning.joint_learner import JointLearner
from debate.learning.learner import LearnerConfig
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn

NAMES = ("alice", "bob", "carol", "dave")
# A large epsilon keeps Adam from turning rounding of tiny gradients into whole steps.
CONFIG = LearnerConfig(lr=1e-2, eps=1e-3, loss=preset("grpo", kl=0.1), epochs=2)


def host(dtype=torch.float32):
    config = LlamaConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(dtype).eval().requires_grad_(False)
    return AdapterPolicies(model, AdapterSpec(rank=4, alpha=8.0, targets="all-linear"))


def batch(seed, rows, picks=False):
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(rows):
        turn = Turn("A", "debater", "s", 0, "x-v0", "", prompt_tokens=tuple(rng.integers(0, 30, 3 + n % 9)))
        if picks:
            choices = ((5,), (6, 7), (6, 8, 9))
            turn = replace(turn, choices=choices, option=n % 3, tokens=choices[n % 3], logprobs=(-1.1,))
        else:
            turn = replace(turn, tokens=tuple(rng.integers(0, 30, 4)), logprobs=(-3.4,) * 4)
        samples.append(Sample(f"e{n}", "p", "debater", "A", 0, "g", "x-v0", (turn,), ("win",), np.ones(1), ("ok",)))
    return TokenBatch.from_samples(samples, rng.normal(size=rows))


def starts():
    """Adapter weights of each agent, B not zero, so that gradients reach both matrices."""
    weights = {}
    for n, name in enumerate(NAMES):
        state = host().first_state(n)
        generator = torch.Generator().manual_seed(n)
        weights[name] = {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in state.items()}
    return weights


@pytest.mark.parametrize("rows", [(4, 4, 4, 4), (5, 1, 3, 2)])
@pytest.mark.parametrize("settings", [{}, {"minibatch_rows": 2}, {"part_rows": 2}])
def test_joint_update_equals_separate_peft_updates(rows, settings):
    config, weights = replace(CONFIG, **settings), starts()
    shared = host()
    joint = JointLearner(shared, {n: (Policy(n, 0, "tiny"), config, weights[n]) for n in NAMES})
    separate_host = host()
    separate = {n: AdapterLearner(separate_host, Policy(n, 0, "tiny"), config, weights[n]) for n in NAMES}
    for update in range(2):
        batches = {n: batch(10 * update + i, rows[i], picks=i == 1) for i, n in enumerate(NAMES)}
        got = joint.update(batches)
        for name, learner in separate.items():
            expected = learner.update(batches[name])
            for key in ("loss", "kl", "entropy", "grad_norm", "sampler_gap", "tokens", "steps"):
                assert got[name][key] == pytest.approx(expected[key], rel=2e-4, abs=2e-6), (name, key)
    for name, learner in separate.items():
        mine = joint.members[name].weights()
        assert mine.keys() == learner.weights().keys()
        for key, tensor in learner.weights().items():
            torch.testing.assert_close(mine[key], tensor, rtol=2e-4, atol=2e-5)
            # A single row may be clipped from the start; all others must have moved.
            assert len(batches[name].episodes) == 1 or not torch.equal(tensor, weights[name][key])


def test_an_agent_without_a_batch_does_not_move_and_the_base_never_does():
    shared, weights = host(), starts()
    base = {name: p.clone() for name, p in shared.base.named_parameters()}
    joint = JointLearner(shared, {n: (Policy(n, 0, "tiny"), CONFIG, weights[n]) for n in NAMES})
    joint.update({"alice": batch(0, 3), "carol": batch(1, 2)})
    for name in ("bob", "dave"):
        assert all(torch.equal(weights[name][k], v) for k, v in joint.members[name].weights().items())
        assert joint.members[name].snapshot().version == 0
    assert joint.members["alice"].snapshot().id == "alice-v1"
    assert all(torch.equal(base[name], p) and p.grad is None for name, p in shared.base.named_parameters())


def test_gradients_reach_only_the_own_matrices():
    shared, weights = host(), starts()
    joint = JointLearner(shared, {n: (Policy(n, 0, "tiny"), CONFIG, weights[n]) for n in NAMES[:2]})
    mine = [{k: p for k, p in joint.members[n].matrices.items()} for n in NAMES[:2]]
    merged = merge([batch(0, 3), batch(1, 2)])
    with grouped(shared.base, mine, [3, 2], 2.0):
        logprobs, _ = unit_logprobs(shared.base, to_tensors(merged))
    logprobs[:12].sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in mine[0].values())
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in mine[1].values())


def test_a_member_alone_is_a_learner_and_shares_state_with_itself():
    weights = starts()
    joint = [JointLearner(host(), {"alice": (Policy("alice", 0, "tiny"), CONFIG, weights["alice"])}) for _ in range(2)]
    alone, shared = joint[0].members["alice"], joint[1]
    alone.update(batch(0, 4))
    shared.update({"alice": batch(0, 4)})
    for key, tensor in alone.weights().items():
        torch.testing.assert_close(shared.members["alice"].weights()[key], tensor)
    resumed = JointLearner(host(), {"alice": (Policy("alice", 0, "tiny"), CONFIG, starts()["bob"])})
    resumed.members["alice"].load_state(*shared.members["alice"].state())
    for learner in (shared, resumed):
        learner.update({"alice": batch(1, 4)})
    for key, tensor in shared.members["alice"].weights().items():
        assert torch.equal(resumed.members["alice"].weights()[key], tensor)


def test_weights_are_peft_files(tmp_path):
    from peft import PeftModel

    shared, weights = host(), starts()
    joint = JointLearner(shared, {n: (Policy(n, 0, "tiny"), CONFIG, weights[n]) for n in NAMES[:2]})
    joint.update({"alice": batch(0, 3), "bob": batch(1, 3)})
    save_adapter(tmp_path / "a", joint.members["alice"].weights(), shared.spec, "tiny")
    loaded = PeftModel.from_pretrained(host().base, tmp_path / "a").eval()
    with torch.no_grad():
        got, _ = unit_logprobs(loaded.get_base_model(), to_tensors(batch(5, 3)))
        with joint.members["alice"]._acting():
            expected, _ = unit_logprobs(shared.base, to_tensors(batch(5, 3)))
    torch.testing.assert_close(got, expected)
    state, _ = load_adapter(tmp_path / "a")
    assert all(torch.equal(state[k], v) for k, v in joint.members["alice"].weights().items())


@pytest.mark.parametrize("blocks", [[3, 3], [1, 4, 2]])
def test_low_rank_is_the_sum_of_products(blocks):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(blocks), 6, generator=generator)
    a = [torch.randn(2, 6, generator=generator) for _ in blocks]
    b = [torch.randn(5, 2, generator=generator) for _ in blocks]
    output = torch.randn(sum(blocks), 5, generator=generator)
    expected = output + torch.cat([0.5 * p @ d.T @ u.T for p, d, u in zip(x.split(blocks), a, b, strict=True)])
    torch.testing.assert_close(add_low_rank(output, x, blocks, a, b, 0.5), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_grouped_kernel_is_the_loop():
    generator = torch.Generator(device="cuda").manual_seed(0)
    shape = {"generator": generator, "device": "cuda", "dtype": torch.bfloat16}
    x, blocks = torch.randn(160, 64, **shape), [64, 32, 48, 16]
    a, b = [torch.randn(16, 64, **shape) for _ in blocks], [torch.randn(64, 16, **shape) for _ in blocks]
    expected = torch.cat([p @ d.T @ u.T for p, d, u in zip(x.split(blocks), a, b, strict=True)])
    output = torch.zeros(160, 64, device="cuda", dtype=torch.bfloat16)
    torch.testing.assert_close(add_low_rank(output, x, blocks, a, b, 1.0), expected, rtol=2e-2, atol=2e-1)


def test_merged_batches_score_like_each_alone():
    shared = host()
    batches = [batch(0, 3), batch(1, 2, picks=True), batch(2, 0), batch(3, 4)]
    with torch.no_grad():
        alone = [unit_logprobs(shared.base, to_tensors(b))[0] for b in batches if b.rows]
        together, _ = unit_logprobs(shared.base, to_tensors(merge(batches)))
    torch.testing.assert_close(together, torch.cat(alone))


def test_what_does_not_fit_is_refused():
    shared, weights = host(), starts()
    with pytest.raises(ValueError, match="at least one agent"):
        JointLearner(shared, {})
    agents = {"alice": (Policy("alice", 0, "t"), CONFIG, weights["alice"])}
    other = {"bob": (Policy("bob", 0, "t"), replace(CONFIG, epochs=1), weights["bob"])}
    with pytest.raises(ValueError, match="agree on epochs"):
        JointLearner(shared, agents | other)
    with pytest.raises(ValueError, match="no agent zoe"):
        JointLearner(shared, agents).update({"zoe": batch(0, 1)})
    with pytest.raises(ValueError, match="no layer"):
        layer_of(shared.base, "base_model.model.model.layers.7.q_proj.lora_A.weight")
    with pytest.raises(ValueError, match="expected keys"):
        layer_of(shared.base, "model.layers.0.weight")
    fewer = dict(list(weights["bob"].items())[:2])
    with (
        pytest.raises(ValueError, match="different layers"),
        grouped(shared.base, [weights["alice"], fewer], [1, 1], 1.0),
    ):
        pass
