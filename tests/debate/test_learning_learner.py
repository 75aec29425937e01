"""The policy-gradient learner: it learns, resumes bit for bit, and fails loudly."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from debate.learning.batch import TokenBatch
from debate.learning.learner import LearnerConfig, PolicyGradientLearner, TrainingFailed
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.losses import Loss, preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn

CHOICES = ((5,), (6,), (7,), (8,))
POLICY = Policy("alice", 3, "nano")


def tiny_model(seed=0):
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def learner(seed=0, **settings):
    settings.setdefault("lr", 1e-2)
    return PolicyGradientLearner(tiny_model(seed), POLICY, LearnerConfig(**settings))


def sample(n, turns):
    return Sample(f"e{n:04d}", "p", "debater", "A", 0, "g", "alice-v3", turns, ("win",), np.array([1.0]), ("ok",))


def pick(prompt, k, logprob):
    turn = Turn("A", "debater", "pick", 0, "alice-v3", "", option=k, prompt_tokens=tuple(prompt), tokens=CHOICES[k])
    return replace(turn, logprobs=(logprob,), choices=CHOICES)


def random_batch(seed, rows=9):
    """Rows of one pick and one speech, of several lengths, with made-up log-probabilities and advantages."""
    rng = np.random.default_rng(seed)
    samples = []
    for n in range(rows):
        turn = pick(rng.integers(9, 30, 2 + n % 5), int(rng.integers(4)), -1.4)
        speech = Turn("A", "debater", "speech", 1, "alice-v3", "", prompt_tokens=(1, 2), tokens=(3, 4, 9))
        samples.append(sample(n, (turn, replace(speech, logprobs=(-3.4, -3.4, -3.4)))))
    return TokenBatch.from_samples(samples, rng.normal(size=rows))


def play(subject, seed, rows=64):
    """On-policy picks after a prompt that names the right one; reward 1 for it."""
    rng = np.random.default_rng(seed)
    prompts = rng.integers(0, 4, rows)
    uniform = [sample(n, (pick((1, 20 + int(p)), k, 0.0),)) for n, p in enumerate(prompts) for k in range(4)]
    with torch.no_grad():
        table, _ = unit_logprobs(subject.model, to_tensors(TokenBatch.from_samples(uniform, np.zeros(rows * 4))))
    table = table.reshape(rows, 4).double().numpy()
    picks = [int(rng.choice(4, p=np.exp(row) / np.exp(row).sum())) for row in table]
    rewards = np.array([float(k == p) for k, p in zip(picks, prompts, strict=True)])
    samples = [sample(n, (pick((1, 20 + int(prompts[n])), k, table[n, k]),)) for n, k in enumerate(picks)]
    return TokenBatch.from_samples(samples, rewards - rewards.mean()), rewards.mean()


@pytest.mark.parametrize("name", ["reinforce", "ppo", "turn_ppo"])
def test_a_policy_learns_a_contextual_bandit(name):
    subject = learner(loss=preset(name), lr=3e-2)
    first, metrics = [], {}
    for step in range(30):
        batch, reward = play(subject, step)
        metrics = subject.update(batch)
        first.append(reward)
    assert np.mean(first[:5]) < 0.45
    assert np.mean(first[-5:]) > 0.9
    assert metrics["kl"] > 0.1 and metrics["skipped"] == 0
    assert subject.snapshot() == Policy("alice", 33, "nano")


def test_first_pass_is_on_policy():
    """Recorded and recomputed log-probabilities agree: ratios are 1, nothing is clipped, the KL to the start is 0."""
    subject = learner()
    batch, _ = play(subject, 0)
    metrics = subject.update(batch)
    assert metrics["sampler_gap"] < 1e-6 and metrics["clipped"] == 0 and metrics["drift"] < 1e-9
    assert metrics["kl"] == pytest.approx(0, abs=1e-9)
    assert metrics["tokens"] == batch.units and metrics["rows"] == batch.rows
    assert subject.update(batch)["kl"] > 0


def through_files(state, folder):
    """Learner state written to files and read again: safetensors and JSON, no pickle."""
    arrays, meta = state
    safetensors.numpy.save_file(arrays, folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(meta))
    return safetensors.numpy.load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text())


def test_resumed_equals_uninterrupted_bit_for_bit_and_not_cold_started(tmp_path):
    settings = {"epochs": 2, "minibatch_rows": 4, "magnet_every": 2, "loss": preset("ppo", kl=0.1, entropy=0.01)}
    whole, half, resumed, cold = (learner(seed=s, **settings) for s in (0, 0, 5, 0))
    for n in range(3):
        whole.update(random_batch(n))
        half.update(random_batch(n))
    resumed.load_state(*through_files(half.state(), tmp_path))
    cold.model.load_state_dict(half.model.state_dict())
    for n in range(3, 6):
        for subject in (whole, resumed, cold):
            subject.update(random_batch(n))
    expected, meta = whole.state()
    got, got_meta = resumed.state()
    assert meta == got_meta and meta["updates"] == 6
    for name, array in expected.items():
        np.testing.assert_array_equal(array, got[name], err_msg=name)
    assert any(not np.array_equal(v.numpy(), cold.weights()[k].numpy()) for k, v in whole.weights().items())


def test_same_batches_give_the_same_weights_whatever_the_global_generator_holds():
    results = []
    for seed in (1, 2):
        subject = learner(epochs=2, minibatch_rows=4)
        torch.manual_seed(seed)
        subject.update(random_batch(0))
        results.append(subject.weights())
    for name, tensor in results[0].items():
        assert torch.equal(tensor, results[1][name])


@pytest.mark.parametrize("average", ["rows", "tokens", "turns", "sum_rows"])
def test_parts_that_fit_in_memory_change_only_rounding(average):
    results = []
    for part_rows in (0, 2, 1):
        subject = learner(part_rows=part_rows, clip_norm=0.0, loss=Loss(average=average, kl=0.1, entropy=0.01))
        metrics = subject.update(random_batch(0))
        results.append((subject._optimizer.state[subject._parameters["model.norm.weight"]]["exp_avg"], metrics["loss"]))
    for moment, loss in results[1:]:
        torch.testing.assert_close(moment, results[0][0], rtol=1e-4, atol=1e-7)
        assert loss == pytest.approx(results[0][1], rel=1e-4)


def test_gradient_is_clipped_to_the_norm():
    subject = learner(clip_norm=1e-3)
    norm = subject.update(random_batch(0))["grad_norm"]
    moments = [subject._optimizer.state[p]["exp_avg"] / 0.1 for p in subject._parameters.values()]
    assert norm > 1e-3
    assert torch.sqrt(sum(m.square().sum() for m in moments)).item() == pytest.approx(1e-3, rel=1e-3)


def test_moving_magnet_and_kl_pull_towards_the_reference():
    free, held = learner(loss=preset("ppo")), learner(loss=preset("ppo", kl=10.0))
    for n in range(12):
        for subject in (free, held):
            metrics = subject.update(play(subject, n)[0])
            if subject is held:
                held_kl = metrics["kl"]
            else:
                free_kl = metrics["kl"]
    assert held_kl < 0.1 * free_kl
    held.set_reference()
    assert held.update(play(held, 99)[0])["kl"] == pytest.approx(0, abs=1e-9)


# --- faults ----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_skipped_and_counted():
    subject = learner()
    subject.update(random_batch(0))
    before, _ = subject.state()
    bad = random_batch(1)
    bad.old_logprobs[0] = -math.inf
    metrics = subject.update(bad)
    after, meta = subject.state()
    assert (metrics["skipped"], metrics["steps"]) == (1, 0) and meta["skipped_in_a_row"] == 1
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])
    assert subject.update(random_batch(2))["steps"] == 1
    assert subject.state()[1]["skipped_in_a_row"] == 0


def test_a_gradient_spike_is_skipped_and_patience_ends():
    subject = learner(spike=1e-9, patience=3)
    for n in range(2):
        assert subject.update(random_batch(n))["skipped"] == 1
    with pytest.raises(TrainingFailed, match="3 steps in a row were skipped"):
        subject.update(random_batch(2))


def limit_rows(subject, room):
    """A decoder with room for so many rows only; returns the list of row counts it was asked for."""
    calls = []

    def hook(module, args, kwargs):
        calls.append(len(kwargs["input_ids"]))
        if calls[-1] > room:
            raise torch.OutOfMemoryError("out of memory")

    subject.model.model.register_forward_pre_hook(hook, with_kwargs=True)
    return calls


def test_out_of_memory_halves_the_part_and_gives_the_same_update():
    plain, cramped = learner(), learner()
    calls = limit_rows(cramped, 3)
    for n in range(2):
        expected, got = plain.update(random_batch(n)), cramped.update(random_batch(n))
        assert got["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert 9 in calls and 3 in calls
    for name, tensor in plain.weights().items():
        torch.testing.assert_close(cramped.weights()[name], tensor, rtol=1e-3, atol=1e-5)


def test_one_row_that_does_not_fit_is_a_clear_error():
    subject = learner()
    limit_rows(subject, 0)
    with pytest.raises(TrainingFailed, match="a single row of 12 tokens does not fit in memory"):
        subject.update(random_batch(0))


def test_an_empty_batch_changes_nothing_but_the_count():
    subject = learner()
    before = subject.weights()
    metrics = subject.update(TokenBatch.from_samples([], []))
    assert metrics["tokens"] == 0 and math.isnan(metrics["loss"]) and subject.updates == 1
    assert all(torch.equal(before[k], v) for k, v in subject.weights().items())


def test_state_that_does_not_fit_is_refused_and_changes_nothing():
    subject = learner()
    subject.update(random_batch(0))
    arrays, meta = subject.state()
    other = learner(seed=1)
    before = other.weights()
    name = next(iter(arrays))
    for bad_arrays, bad_meta, message in (
        ({**arrays, name: arrays[name][:1]}, meta, "do not fit the model"),
        ({k: v for k, v in arrays.items() if k != name}, meta, "do not fit the model"),
        (arrays, {**meta, "policy": {**meta["policy"], "name": "bob"}}, "'bob'"),
        (arrays, {**meta, "kind": "Other"}, "Other"),
    ):
        with pytest.raises(ValueError, match=message):
            other.load_state(bad_arrays, bad_meta)
    assert all(torch.equal(before[k], v) for k, v in other.weights().items())


def test_recomputed_old_policy_and_truncated_correction():
    """With an engine that records something else, π_old is recomputed and the gap enters as a truncated factor."""
    subject = learner(loss=preset("ppo", truncate=2.0), compare=True)
    batch, _ = play(subject, 0)
    batch.old_logprobs[:] -= 0.5
    metrics = subject.update(batch)
    assert metrics["sampler_gap"] == pytest.approx(0.5, abs=1e-5)
    assert metrics["drift"] == pytest.approx(0, abs=1e-9) and metrics["clipped"] == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr"),
        ({"epochs": 0}, "epochs"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"loss": preset("ppo", truncate=2.0)}, "compare"),
    ],
)
def test_meaningless_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LearnerConfig(**settings)


def test_models_that_cannot_be_trained_are_refused():
    with pytest.raises(ValueError, match="must be float32"):
        PolicyGradientLearner(tiny_model().bfloat16(), POLICY, LearnerConfig())
    with pytest.raises(ValueError, match="no parameter that requires a gradient"):
        PolicyGradientLearner(tiny_model().requires_grad_(False), POLICY, LearnerConfig())
