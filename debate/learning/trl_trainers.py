"""Training one LoRA adapter with a trainer of TRL, on rows of token ids. The one place that touches TRL's internals.

Pinned to trl >= 1.16, < 1.17. What is used beyond TRL's public interface:

- `DPOTrainer._prepare_dataset` is overridden to return the data set as it is: the public trainer always tokenises text
  (columns prompt, chosen, rejected) and has no way to take ids. Its collator, which is public, is replaced by one that
  carries a mask, so that tokens a debater only read (the others' speeches between its own) bear no loss.
- `SFTTrainer` takes ids publicly (`dataset_kwargs={"skip_prepare_dataset": True}`, columns input_ids and labels), and
  so does `RewardTrainer` (columns chosen_ids and rejected_ids).
- The trainers patch the base model's `forward` (`add_fused_lm_head`), its pad ids and its flags. All of it is undone.
"""

from __future__ import annotations

import copy
import random
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.engines.adapters import AdapterSpec, save_adapter
from debate.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

PINNED = (1, 16)
IGNORED = -100


def require_trl() -> None:
    """Checks that the TRL this module was written for is installed.

    Raises:
        UserError: it is not installed, or another version is.
    """
    try:
        found = version("trl")
    except PackageNotFoundError:
        raise UserError("this learner needs TRL; install it with: pip install 'debate-trainer[trl]'") from None
    if tuple(map(int, found.split(".")[:2])) != PINNED:
        raise UserError(f"this learner is written for trl {PINNED[0]}.{PINNED[1]}.*, found {found}")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a TRL trainer steps.

    Attributes:
        lr: AdamW's step, constant.
        epochs: passes over the rows; not used where `steps` is given.
        steps: optimiser steps; 0 = by epochs.
        rows: rows (or pairs) of one step.
        clip_norm: the gradient is scaled down to this norm.
        seed: of fresh adapters and of the order of rows.
    """

    lr: float = 1e-4
    epochs: int = 1
    steps: int = 0
    rows: int = 4
    clip_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses settings that mean nothing.

        Raises:
            ValueError: what is wrong.
        """
        if not self.lr > 0:
            raise ValueError(f"Settings.lr: expected a number > 0, got {self.lr}")
        for name, least in (("epochs", 1), ("steps", 0), ("rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"Settings.{name}: expected at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class TrainedAdapter:
    """What came of training.

    Attributes:
        state: the adapter in PEFT's file format, float32, ready for `LocalCompleter.publish`.
        spec: its shape.
        log: one row a step, as TRL names its numbers, and a last one for the whole.
    """

    state: Mapping[str, Tensor]
    spec: AdapterSpec
    log: tuple[dict[str, float], ...]

    def save(self, folder: Path, base: str) -> None:
        """Writes the adapter as PEFT does; `base` names the model it belongs to."""
        save_adapter(folder, dict(self.state), self.spec, base)


def train_sft(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, list[int]]],
    spec: AdapterSpec,
    state: Mapping[str, Tensor] | None,
    settings: Settings,
) -> TrainedAdapter:
    """TRL's `SFTTrainer` on rows {input_ids, labels}; labels are −100 where no loss is borne."""
    require_trl()
    from trl import SFTConfig, SFTTrainer

    more = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
    return _train(SFTTrainer, SFTConfig, model, tokenizer, rows, spec, state, settings, more)


def train_dpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, list[int]]],
    spec: AdapterSpec,
    state: Mapping[str, Tensor] | None,
    settings: Settings,
    beta: float,
    loss: str,
) -> TrainedAdapter:
    """TRL's `DPOTrainer` on rows {chosen_ids, chosen_mask, rejected_ids, rejected_mask}.

    The reference is the adapter as given (TRL copies it as "ref"), or the bare model for a fresh one.
    """
    require_trl()
    from trl import DPOConfig

    more = {"max_length": None, "beta": beta, "loss_type": [loss], "remove_unused_columns": False}
    collator = MaskedPairs(_padding(tokenizer))
    return _train(_id_dpo_trainer(), DPOConfig, model, tokenizer, rows, spec, state, settings, more, collator)


def train_reward(
    model: Any, tokenizer: Any, rows: Sequence[Mapping[str, list[int]]], spec: AdapterSpec | None, settings: Settings
) -> tuple[Any, tuple[dict[str, float], ...]]:
    """TRL's `RewardTrainer` on rows {chosen_ids, rejected_ids}, in place; returns the model and TRL's log.

    With a `spec`, a LoRA adapter and the head are trained and merged into the model; otherwise all weights are.
    """
    require_trl()
    import torch
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    if not rows:
        raise ValueError("RewardTrainer: there is nothing to train on")
    adapter = None
    if spec is not None:
        adapter = spec.config()
        adapter.task_type, adapter.modules_to_save = "SEQ_CLS", ["score"]
    with generators_kept(), as_it_was(model, {"pad_token_id"}), tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(settings.seed)
        model.requires_grad_(True)
        arguments = RewardConfig(**common_arguments(settings, model, scratch), max_length=None)
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list([dict(row) for row in rows]),
            processing_class=with_padding(tokenizer),
            peft_config=adapter,
        )
        trainer.train()
        trained = trainer.model.merge_and_unload() if adapter is not None else model
    return trained, numbers(trainer.state.log_history)


@cache
def _id_dpo_trainer() -> type:
    """`DPOTrainer` that takes ids."""
    from trl import DPOTrainer

    if not hasattr(DPOTrainer, "_prepare_dataset"):
        raise UserError("this TRL's DPOTrainer prepares its data in an unknown way; install trl>=1.16,<1.17")

    class IdDPOTrainer(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    return IdDPOTrainer


@dataclass(frozen=True, slots=True)
class MaskedPairs:
    """Collates preference rows: chosen ones first, then rejected ones, padded at the end, with the mask of the loss."""

    pad: int

    def __call__(self, examples: Sequence[Mapping[str, list[int]]]) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask` and `completion_mask`, each [2·pairs, T]."""
        import torch

        ids = [example[f"{kind}_ids"] for kind in ("chosen", "rejected") for example in examples]
        masks = [example[f"{kind}_mask"] for kind in ("chosen", "rejected") for example in examples]
        width = max(map(len, ids))
        return {
            "input_ids": torch.tensor([row + [self.pad] * (width - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
            "completion_mask": torch.tensor([row + [0] * (width - len(row)) for row in masks]),
        }


def _train(
    trainer_class: Any,
    config_class: Any,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
    spec: AdapterSpec,
    state: Mapping[str, Tensor] | None,
    settings: Settings,
    more: Mapping[str, Any],
    collator: Any = None,
) -> TrainedAdapter:
    """Runs a trainer over a fresh PEFT model around `model`, which afterwards is as it was."""
    import torch
    from datasets import Dataset
    from peft import get_peft_model, get_peft_model_state_dict

    if not rows:
        raise ValueError(f"{trainer_class.__name__}: there is nothing to train on")
    tokenizer = with_padding(tokenizer)
    extra = {} if collator is None else {"data_collator": collator}
    with generators_kept(), as_it_was(model), tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(settings.seed)
        peft = get_peft_model(model, spec.config())
        try:
            if state is not None:
                _load(peft, state)
            arguments = config_class(**common_arguments(settings, model, scratch), **more)
            data = Dataset.from_list([dict(row) for row in rows])
            trainer = trainer_class(model=peft, args=arguments, train_dataset=data, processing_class=tokenizer, **extra)
            trainer.train()
            trained = get_peft_model_state_dict(peft, adapter_name="default", save_embedding_layers=False)
            final = {name: tensor.detach().float().cpu().clone() for name, tensor in trained.items()}
        finally:
            peft.unload()
    return TrainedAdapter(final, spec, numbers(trainer.state.log_history))


def _load(peft: Any, state: Mapping[str, Tensor]) -> None:
    """Puts weights into the adapter.

    Raises:
        ValueError: names or shapes that do not fit.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    own = get_peft_model_state_dict(peft, adapter_name="default", save_embedding_layers=False)
    wrong = sorted(own.keys() ^ state.keys()) or [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        raise ValueError(f"the adapter to start from does not fit the model, first of {len(wrong)}: {wrong[0]}")
    set_peft_model_state_dict(peft, dict(state), adapter_name="default")


def common_arguments(settings: Settings, model: Any, folder: str) -> dict[str, Any]:
    """What every TRL trainer is told: our device and precision, nothing saved, nothing sent anywhere."""
    import torch

    cuda = next(model.parameters()).device.type == "cuda"
    return {
        "output_dir": folder,
        "learning_rate": settings.lr,
        "lr_scheduler_type": "constant",
        "num_train_epochs": settings.epochs,
        "max_steps": settings.steps or -1,
        "per_device_train_batch_size": settings.rows,
        "max_grad_norm": settings.clip_norm,
        "seed": settings.seed,
        "use_cpu": not cuda,
        "bf16": cuda and next(model.parameters()).dtype == torch.bfloat16,  # TRL's own default is True, even on a CPU
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def numbers(history: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], ...]:
    """The numbers of a trainer's log."""
    return tuple({k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in history)


def with_padding(tokenizer: Any) -> Any:
    """The tokenizer, or a copy with a pad token where it has none (TRL would set one on the caller's)."""
    if tokenizer.pad_token is not None:
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _padding(tokenizer: Any) -> int:
    return int(with_padding(tokenizer).pad_token_id)


@contextmanager
def generators_kept() -> Iterator[None]:
    """The trainers seed every global generator; afterwards they stand where they stood."""
    import torch

    python, numpy_state = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)


@contextmanager
def as_it_was(model: Any, kept: Collection[str] = ()) -> Iterator[None]:
    """Undoes what a trainer changes on a base model, its weights and the `kept` settings of its configuration apart.

    Raises:
        UserError: the model carries adapters already (an engine plays with it); training needs a copy of its own.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        raise UserError("this model carries adapters already; load the base anew for training with TRL (load_base)")
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    configs = [c for c in (model.config, getattr(model, "generation_config", None)) if c is not None]
    before = [(config, dict(vars(config))) for config in configs]
    training, known = model.training, dict(vars(model))
    try:
        yield
    finally:
        for name in set(vars(model)) - set(known):  # the fused forward, tags, PEFT's config
            delattr(model, name)
        for config, values in before:
            stays = {name: vars(config)[name] for name in kept if name in vars(config)}
            vars(config).clear()
            vars(config).update(values | stays)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        model.train(training)
