"""The transformers engine: any causal language model with a chat template, in this process, LoRA adapters on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.engines.chat_format import ChatFormat
from debate.engines.local import LocalCompleter, device_named
from debate.engines.shapes import Shapes
from debate.errors import UserError
from debate.models import resolve

DTYPES = ("float32", "bfloat16")


def load_base(name: str, device: str = "cpu", dtype: str = "float32") -> tuple[Any, Any]:
    """A causal language model and its tokenizer, in evaluation mode, nothing of it trainable.

    Weights come from safetensors files only, and no code that a repository brings is run.

    Args:
        name: a pulled model, a folder, or a hub id (see `debate.models.resolve`).
        device: "cpu" or "cuda".
        dtype: "float32" or "bfloat16".

    Returns:
        (model, tokenizer).

    Raises:
        UserError: no such model, device or dtype, or files that cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if dtype not in DTYPES:
        raise UserError(f"dtype: expected {' or '.join(DTYPES)}, got {dtype!r}")
    where, path = device_named(device), resolve(name)
    logging.disable_progress_bar()  # progress is the run's to show, not the loader's
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model {name!r} cannot be loaded: {' '.join(str(error).split())[:400]}") from error
    return model.to(where).eval().requires_grad_(False), tokenizer


def stop_ids(model: Any) -> Sequence[int]:
    """The ids that a model's generation settings name as ends."""
    eos = getattr(model.generation_config, "eos_token_id", None)
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)


def hf_completer(
    name: str,
    device: str = "cpu",
    dtype: str = "float32",
    adapter: AdapterSpec | None = None,
    rows: int = 16,
    bucket: int = 64,
    fixed: bool = False,
    context: int | None = None,
) -> LocalCompleter:
    """A completer whose base policy "" is a transformers model; `publish` adds LoRA adapters over it.

    Args:
        name: a pulled model, a folder, or a hub id.
        device: "cpu" or "cuda".
        dtype: of weights and activations; log-probabilities are float32 always.
        adapter: the shape of every adapter; the default when None.
        rows: most conversations in one forward.
        bucket: lengths are padded to multiples of it when `fixed`; otherwise to the longest of the batch.
        fixed: give every forward a shape that depends on the conversation alone (see `debate.engines.shapes`): results
            no longer depend on what else is asked, at the price of filler.
        context: most tokens of a conversation; the model's own when None.

    Raises:
        UserError: no such model, device or dtype; no chat template; bad adapter numbers.
    """
    model, tokenizer = load_base(name, device, dtype)
    return completer_over(model, tokenizer, adapter, Shapes(rows, bucket if fixed else 1, fixed), context)


def completer_over(
    model: Any, tokenizer: Any, adapter: AdapterSpec | None, shapes: Shapes, context: int | None = None
) -> LocalCompleter:
    """A completer over a model that is loaded already.

    Raises:
        UserError: no chat template, or a model whose logits cannot be computed from its hidden states.
    """
    policies = AdapterPolicies(model, adapter or AdapterSpec())
    return LocalCompleter(policies, ChatFormat(tokenizer, stops=stop_ids(model)), shapes, context)
