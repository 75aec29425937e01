"""Losses: closed forms, and TRL 1.16's own numbers."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from debate.learning.baselines import GroupBaseline
from debate.learning.credit import CreditConfig, assign_credit
from debate.learning.losses import (
    Loss,
    clipped_surrogate,
    kl_estimate,
    log_ratios,
    policy_loss,
    preset,
    truncated_weights,
    unit_weights,
)
from debate.learning.samples import Sample

ROWS, LENGTH, VOCABULARY = 6, 7, 24


def data(seed=0):
    """Log-probabilities [R, T] of a batch with ragged masks, as TRL lays it out."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([7, 3, 5, 1, 6, 2])
    mask = (torch.arange(LENGTH)[None] < lengths[:, None]).float()

    def noise(scale):
        return scale * torch.randn(ROWS, LENGTH, generator=generator)

    new = -1.5 + noise(0.5)
    return SimpleNamespace(
        mask=mask,
        new=new,
        old=new + noise(0.3),
        reference=new + noise(0.4),
        sampler=new + noise(0.3),
        advantages=torch.randn(ROWS, generator=generator),
        entropies=1.0 + noise(0.2),
    )


def ours(loss, d, turns=None):
    """Value and gradient with respect to the new log-probabilities, back in [R, T]."""
    flat = d.mask.bool()
    rows = torch.arange(ROWS)[:, None].expand(ROWS, LENGTH)[flat]
    turns = rows if turns is None else turns
    new = d.new.clone().requires_grad_()
    entropies = d.entropies.clone().requires_grad_()
    weights = unit_weights(rows, turns, loss.average, loss.length)
    parts = policy_loss(
        loss,
        new[flat],
        entropies[flat],
        d.old[flat],
        d.advantages[:, None].expand(ROWS, LENGTH)[flat],
        rows,
        turns,
        weights,
        int(flat.sum()),
        reference=d.reference[flat] if loss.kl else None,
        sampler=d.sampler[flat],
    )
    parts.total.backward()
    return parts, new.grad * d.mask


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """A real `GRPOTrainer` on the CPU; only its forward pass is replaced by given log-probabilities."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", pad_token="w2", unk_token="w0")
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=2,
        eos_token_id=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trl.GRPOTrainer(
            LlamaForCausalLM(config),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=trl.GRPOConfig(
                output_dir=str(tmp_path_factory.mktemp("trl")),
                use_cpu=True,
                bf16=False,
                report_to=[],
                per_device_train_batch_size=2,
                num_generations=2,
                max_completion_length=LENGTH,
                gradient_checkpointing=False,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w3", "w4"]}),
            processing_class=tokenizer,
        )


def trls(
    trainer, d, loss_type, level="token", low=0.2, high=0.2, beta=0.0, delta=None, cap=None, entropy=0.0, weighted=True
):
    """TRL's loss and gradient on the same numbers, through its own `_compute_loss`."""
    new = d.new.clone().requires_grad_()
    trainer.loss_type, trainer.importance_sampling_level, trainer.beta = loss_type, level, beta
    trainer.epsilon_low, trainer.epsilon_high, trainer.args.delta = low, high, delta
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = cap is not None
    trainer.entropy_coef, trainer._entropy_bonus_enabled = entropy, entropy != 0
    trainer.args.use_bias_correction_kl = weighted
    trainer.current_gradient_accumulation_steps = 1
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (new, d.entropies, None)
    trainer.model.eval()
    inputs = {
        "prompt_ids": torch.zeros(ROWS, 2, dtype=torch.long),
        "prompt_mask": torch.ones(ROWS, 2, dtype=torch.long),
        "completion_ids": torch.zeros(ROWS, LENGTH, dtype=torch.long),
        "completion_mask": d.mask,
        "advantages": d.advantages,
        "old_per_token_logps": d.old,
        "ref_per_token_logps": d.reference,
        "num_items_in_batch": d.mask.sum(),
    }
    if cap is not None:
        inputs["importance_sampling_ratio"] = torch.exp(d.old - d.sampler).clamp(max=cap)
        inputs["sampling_per_token_logps"] = d.sampler
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.detach(), new.grad * d.mask


CASES = {
    "grpo": (preset("grpo"), {"loss_type": "grpo"}),
    "grpo, clip higher": (preset("grpo", high=0.28), {"loss_type": "grpo", "high": 0.28}),
    "grpo, kl": (preset("grpo", kl=0.1), {"loss_type": "grpo", "beta": 0.1}),
    "grpo, plain k3": (preset("grpo", kl=0.1, estimator="k3"), {"loss_type": "grpo", "beta": 0.1, "weighted": False}),
    "grpo, two-sided": (preset("grpo", ceiling=1.1), {"loss_type": "grpo", "delta": 1.1}),
    "dr_grpo": (preset("dr_grpo", length=LENGTH), {"loss_type": "dr_grpo"}),
    "dapo": (preset("dapo"), {"loss_type": "dapo", "high": 0.28}),
    "bnpo": (preset("ppo"), {"loss_type": "bnpo"}),
    "gspo": (preset("gspo"), {"loss_type": "grpo", "level": "sequence", "low": 3e-4, "high": 4e-4}),
    "gspo, wide": (
        preset("gspo", low=0.1, high=0.1),
        {"loss_type": "grpo", "level": "sequence", "low": 0.1, "high": 0.1},
    ),
    "truncated": (preset("dapo", truncate=1.2), {"loss_type": "dapo", "high": 0.28, "cap": 1.2}),
    "entropy": (preset("dapo", entropy=0.01), {"loss_type": "dapo", "high": 0.28, "entropy": 0.01}),
    "rows, sum": (preset("ppo", average="sum_rows"), {"loss_type": "luspo"}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_and_gradient_equal_trl(trainer, name, seed):
    loss, settings = CASES[name]
    d = data(seed)
    parts, gradient = ours(loss, d)
    expected, expected_gradient = trls(trainer, d, **settings)
    torch.testing.assert_close(parts.total.detach(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


def test_clip_statistics_equal_trl(trainer):
    d = data(3)
    parts, _ = ours(preset("dapo"), d)
    trainer._metrics["eval"].clear()
    trls(trainer, d, "dapo", high=0.28)
    region = trainer._metrics["eval"]["clip_ratio/region_mean"][-1]
    assert float(parts.clipped) / float(d.mask.sum()) == pytest.approx(region)
    assert float(parts.clipped) > 0


@pytest.mark.parametrize("mode", ["sum_then_normalize", "normalize_then_sum"])
def test_advantages_equal_trl(trainer, mode, monkeypatch):
    """`_generate_and_score_completions` with given rewards, both ways of putting criteria together."""
    rng = np.random.default_rng(4)
    generations, prompts = 4, 3
    rewards = rng.normal(size=(generations * prompts, 2)) * [1.0, 10.0]
    weights = np.array([0.7, 0.3])
    expected = trl_advantages(trainer, rewards, weights, generations, mode, monkeypatch)
    table = rewards if mode == "normalize_then_sum" else (rewards @ weights)[:, None]
    names = ("c0", "c1")[: table.shape[1]]
    samples = [
        Sample(f"e{n:02d}", "p", "d", "A", 0, str(n // generations), "a-v0", (), names, row, ("ok",) * len(names))
        for n, row in enumerate(table)
    ]
    chosen = dict(zip(names, weights if len(names) == 2 else [1.0], strict=True))
    config = CreditConfig(batch="normalise" if mode == "normalize_then_sum" else "none")
    got = assign_credit(samples, chosen, GroupBaseline(), config).advantages
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def trl_advantages(trainer, rewards, weights, generations, mode, monkeypatch):
    """TRL's own generate-and-score, with a rollout function and rewards that are given."""
    count = len(rewards)
    monkeypatch.setattr(trainer, "multi_objective_aggregation", mode)
    monkeypatch.setattr(trainer, "num_generations", generations)
    monkeypatch.setattr(trainer, "num_generations_eval", generations)
    monkeypatch.setattr(trainer, "use_vllm", False)
    monkeypatch.setattr(trainer, "beta", 0.0)
    monkeypatch.setattr(trainer, "reward_weights", torch.tensor(weights, dtype=torch.float32))
    monkeypatch.setattr(trainer, "reward_funcs", [None, None])
    monkeypatch.setattr(trainer, "reward_func_names", ["c0", "c1"])
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *_: torch.tensor(rewards, dtype=torch.float32))
    ids = [[3, 4]] * count
    rollout = {"prompt_ids": ids, "completion_ids": ids, "logprobs": [[-1.0, -1.0]] * count}
    monkeypatch.setattr(trainer, "rollout_func", lambda prompts, trainer: rollout)
    trainer.model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = trainer._generate_and_score_completions([{"prompt": "w3"}] * count)
    return out["advantages"].numpy()


# --- closed forms ----------------------------------------------------------------------------------------------


def test_reinforce_is_minus_advantage_times_log_probability():
    d = data()
    parts, gradient = ours(preset("reinforce"), d)
    expected = -(d.advantages[:, None] * d.new * d.mask).sum() / ROWS
    torch.testing.assert_close(parts.total.detach(), expected)
    torch.testing.assert_close(gradient, -d.advantages[:, None] * d.mask / ROWS)


def test_on_policy_every_ratio_has_the_reinforce_gradient():
    d = data()
    d.old = d.new.clone()
    for ratio in ("token", "turn"):
        _, gradient = ours(Loss(ratio=ratio, average="sum_rows"), d)
        # A turn's product repeats its gradient in each of its units: their sum is what counts once per turn.
        scale = d.mask.sum(1, keepdim=True) if ratio == "turn" else 1.0
        torch.testing.assert_close(gradient, -d.advantages[:, None] * d.mask / ROWS * scale)


def test_turn_loss_is_the_clipped_ratio_of_whole_turns():
    d = data()
    flat = d.mask.bool()
    rows = torch.arange(ROWS)[:, None].expand(ROWS, LENGTH)[flat]
    position = torch.arange(LENGTH)[None].expand(ROWS, LENGTH)[flat]
    turns = torch.unique(rows * 10 + position // 3, return_inverse=True)[1]
    parts, _ = ours(preset("turn_ppo"), d, turns)
    expected = []
    for turn in range(int(turns.max()) + 1):
        members = turns == turn
        ratio = (d.new[flat] - d.old[flat])[members].sum().exp()
        a = d.advantages[:, None].expand(ROWS, LENGTH)[flat][members][0]
        expected.append(-torch.min(ratio * a, ratio.clamp(0.8, 1.2) * a))
    torch.testing.assert_close(parts.total.detach(), torch.stack(expected).mean())


def test_geometric_mean_over_turns():
    ratios = log_ratios(
        torch.tensor([1.0, 2.0, 5.0]),
        torch.zeros(3),
        torch.zeros(3, dtype=torch.long),
        torch.tensor([0, 0, 1]),
        "turn_mean",
    )
    assert ratios.tolist() == [1.5, 1.5, 5.0]


def test_clipping_stops_the_gradient_where_it_must():
    log_ratio = torch.tensor([0.5, 0.5, -0.5, -0.5], requires_grad=True)
    clipped_surrogate(log_ratio, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.2, 0.2).sum().backward()
    assert [g != 0 for g in log_ratio.grad.tolist()] == [False, True, True, False]


def test_kl_estimators_have_the_right_expectation():
    p = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    exact = (p * (p / q).log()).sum()
    for estimator in ("k1", "k3"):
        torch.testing.assert_close((p * kl_estimate(p.log(), q.log(), estimator)).sum(), exact)
    assert (kl_estimate(p.log(), q.log(), "k3") >= 0).all()
    torch.testing.assert_close(kl_estimate(p.log(), q.log(), "k2"), (p / q).log().square() / 2)


def test_truncated_weights_carry_no_gradient():
    old = torch.tensor([0.0, 1.0], requires_grad=True)
    weights = truncated_weights(old, torch.zeros(2), 2.0)
    assert weights.tolist() == [1.0, 2.0] and not weights.requires_grad


def test_weighted_k3_has_the_gradient_of_the_reverse_kl():
    """In expectation over a categorical policy on-policy, by enumeration; plain k3 has another gradient."""
    reference = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
    logits = torch.tensor([1.0, 0.2, -0.5], dtype=torch.float64, requires_grad=True)
    logp = torch.log_softmax(logits, dim=-1)
    exact = torch.autograd.grad((logp.exp() * (logp - reference)).sum(), logits, retain_graph=True)[0]
    gradients = {}
    units = torch.arange(3)
    for estimator in ("k3", "k3_weighted"):
        loss = Loss(ratio="none", kl=1.0, estimator=estimator)
        zeros = torch.zeros(3, dtype=torch.float64)
        parts = policy_loss(loss, logp, zeros, logp.detach(), zeros, units, units, logp.detach().exp(), 3, reference)
        gradients[estimator] = torch.autograd.grad(parts.total, logits, retain_graph=True)[0]
    torch.testing.assert_close(gradients["k3_weighted"], exact)
    assert not torch.allclose(gradients["k3"], exact, atol=1e-2)


@pytest.mark.parametrize("average", ["rows", "tokens", "turns", "sum_rows", "fixed"])
def test_unit_weights(average):
    rows, turns = torch.tensor([0, 0, 0, 2]), torch.tensor([0, 0, 1, 2])
    expected = {
        "rows": [1 / 6, 1 / 6, 1 / 6, 1 / 2],
        "tokens": [1 / 4] * 4,
        "turns": [1 / 6, 1 / 6, 1 / 3, 1 / 3],
        "sum_rows": [1 / 2] * 4,
        "fixed": [1 / 20] * 4,
    }[average]
    assert unit_weights(rows, turns, average, 10).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": "sequence"}, "Loss.ratio"),
        ({"low": 1.5}, "0 <= low < 1"),
        ({"average": "fixed"}, "length > 0"),
        ({"kl": -1.0}, "Loss.kl"),
    ],
)
def test_meaningless_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Loss(**settings)


def test_missing_arrays_are_refused():
    d = data()
    one = torch.ones(1)
    zero = torch.zeros(1, dtype=torch.long)
    for loss, message in ((Loss(kl=0.1), "reference"), (Loss(truncate=2.0), "sampler")):
        with pytest.raises(ValueError, match=message):
            policy_loss(loss, one, one, one, one, zero, zero, one, 1)
    with pytest.raises(ValueError, match="expected one of reinforce"):
        preset("magic")
    assert d.mask.sum() == 24
