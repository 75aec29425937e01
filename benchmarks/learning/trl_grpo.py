"""Four agents updated on the same episodes: ours (joint, one row an episode) against `GRPOTrainer`, one an agent.

TRL's fixed shape is prompt → completion, so it gets one row a turn. Its loss, backward pass, clip and AdamW step are
timed; generation, data loading and logging are not. Before that, the losses and gradients of both are compared from one
adapter.
"""

from __future__ import annotations

import tempfile
import warnings
from typing import Any

from benchmarks.learning._setup import (
    NAMES,
    SHAPES,
    SPEC,
    TURNS,
    alternate,
    config,
    host_of,
    model_of,
    on_policy,
    samples_of_agent,
)  # fmt: skip
from debate.engines.adapters import AdapterPolicies
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.batch import TokenBatch
from debate.learning.joint_learner import JointLearner
from debate.learning.layout import Kind
from debate.learning.samples import Sample
from debate.transcript import Policy

LAYOUTS: tuple[Kind, ...] = ("padded", "auto")


def rows_by_turn(samples: list[Sample], advantages: Any, device: str) -> dict[str, Any]:
    """TRL's inputs: every turn is a row of left-padded prompt and completion."""
    import torch

    prompts, completions, levels = [], [], []
    for sample, level in zip(samples, advantages, strict=True):
        history: list[int] = []
        for turn in sample.turns:
            history += turn.prompt_tokens or ()
            prompts.append(list(history))
            completions.append(list(turn.tokens or ()))
            history += turn.tokens or ()
            levels.append(level)
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    words = torch.tensor(completions, device=device)
    return {
        "prompt_ids": ids,
        "prompt_mask": mask,
        "completion_ids": words,
        "completion_mask": torch.ones_like(words),
        "advantages": torch.tensor(levels, dtype=torch.float32, device=device),
        "num_items_in_batch": torch.tensor(words.numel()),
    }


def trainer_of(model: str, device: str, folder: str) -> Any:
    """A `GRPOTrainer` over its own copy of the base, with the same adapter shape."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(8)}, unk_token="w0"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GRPOTrainer(
            model_of(model, device),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                folder, use_cpu=device == "cpu", bf16=False, report_to=[],
                per_device_train_batch_size=2, num_generations=2,
                gradient_checkpointing=False, loss_type="dapo", beta=0.0,
                learning_rate=1e-5, max_completion_length=64, max_grad_norm=1.0,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w3", "w4"]}),
            processing_class=PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", pad_token="w2"),
            peft_config=SPEC.config(),
        )  # fmt: skip


def compared(host: AdapterPolicies, trainer: Any, batch: TokenBatch, inputs: dict[str, Any]) -> dict[str, float]:
    """Both losses, and the largest difference of the gradients over the largest gradient, from one adapter."""
    import torch
    from peft import set_peft_model_state_dict

    state = host.first_state(99)
    generator = torch.Generator().manual_seed(0)
    state = {k: v + 0.02 * torch.randn(v.shape, generator=generator).to(v.dtype) for k, v in state.items()}
    before = {k: p.detach().clone() for k, p in trainer.model.named_parameters() if p.requires_grad}
    set_peft_model_state_dict(trainer.model, state)
    learner = AdapterLearner(host, Policy("compared", 0, ""), config("shared"), state)
    with learner._acting():
        batch = on_policy(host.base, batch)
        (step,) = learner._begin(batch).steps
        ours = float(learner._accumulate(step)[0])
    mine = {k: p.grad.float() for k, p in learner._parameters.items()}
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    theirs = {k.replace(".default", ""): p.grad.float() for k, p in trainer.model.named_parameters() if p.requires_grad}
    gap = max(float((theirs[k] - g).abs().max()) for k, g in mine.items())
    top = max(float(g.abs().max()) for g in mine.values())
    with torch.no_grad():
        for k, p in trainer.model.named_parameters():
            if p.requires_grad:
                p.copy_(before[k])
                p.grad = None
    return {"our loss": ours, "TRL's loss": float(loss.detach()), "gradients differ by": gap / top}


def run(model: str, device: str, repeats: int) -> list[dict[str, Any]]:
    import torch

    # A real model on a CPU gets few short rows, or it would not finish in minutes.
    count, turns = (8, TURNS) if device == "cuda" else (2, TURNS) if model in SHAPES else (2, 2)
    episodes = {name: samples_of_agent(name, count, seed, turns) for seed, name in enumerate(NAMES)}
    host = host_of(model, device)
    batches = {name: on_policy(host.base, TokenBatch.from_samples(*episodes[name])) for name in NAMES}
    joint = {
        layout: JointLearner(
            host,
            {n: (Policy(n, 0, model), config(layout), host.first_state(seed)) for seed, n in enumerate(NAMES)},
        )
        for layout in LAYOUTS
    }
    with tempfile.TemporaryDirectory() as folder:
        # One trainer stands for all four: they would be equal, and four copies of the base only cost memory.
        trainer = trainer_of(model, device, folder)
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        parameters = [p for p in trainer.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)
        inputs = {name: rows_by_turn(*episodes[name], device) for name in NAMES}
        agreement = compared(host, trainer, batches["alice"], inputs["alice"])

        def peer() -> None:
            for name in NAMES:
                optimizer.zero_grad()
                trainer._compute_loss(trainer.model, inputs[name]).backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()

        *ours, theirs = alternate(
            [*(lambda one=one: one.update(batches) and None for one in joint.values()), peer], repeats
        )
    tokens = sum(batch.units for batch in batches.values())
    return [
        {
            "layout": layout,
            "episodes x turns an agent": f"{count}x{turns}",
            "loss tokens": tokens,
            "ours, tokens/s": tokens / spent,
            "TRL, tokens/s": tokens / theirs,
            "ratio": theirs / spent,
            **agreement,
        }
        for layout, spent in zip(LAYOUTS, ours, strict=True)
    ]
