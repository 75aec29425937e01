"""The nano model: a Llama of 100,000 parameters that plays the evidence debate on a CPU, and its stored weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.engines.nano import tokenizer as words
from debate.errors import UserError

if TYPE_CHECKING:
    import torch

CONTEXT = 2048
WEIGHTS = Path(__file__).parent / "nano.safetensors"


def new_model(seed: int = 0) -> Any:
    """A freshly initialised nano model (`LlamaForCausalLM`, float32, evaluation mode).

    Initialisation draws from torch's CPU generator inside a fork, so the caller's generator is left as it was.

    Args:
        seed: of the initialisation.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=words.VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=words.BOS,
        eos_token_id=words.END,
        pad_token_id=words.PAD,
        attn_implementation="sdpa",
        initializer_range=0.05,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return model.to(torch.float32).eval()


def load_model(path: Path | None = None) -> Any:
    """The nano model with stored weights: the warm-started ones that ship with the package, or those at `path`.

    Raises:
        UserError: no such file, or weights of another shape.
    """
    from safetensors.torch import load_file

    path = path or WEIGHTS
    if not path.is_file():
        raise UserError(f"{path}: no nano weights there; make them with `python -m debate.engines.nano.warmstart`")
    model = new_model()
    load_state(model, load_file(path), str(path))
    return model


def state_of(model: Any) -> dict[str, torch.Tensor]:
    """Name → weight, each stored once (the tied head is left out), detached copies on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }


def load_state(model: Any, state: Mapping[str, Any], where: str) -> None:
    """Copies weights (torch or numpy arrays by name) into the model; the tied head may be given or left out.

    Raises:
        UserError: a name missing or unknown, or a shape that differs.
    """
    import torch

    own = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    given = {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}
    if own.keys() != given.keys():
        wrong = sorted(own.keys() ^ given.keys())
        raise UserError(f"{where}: not the weights of this nano model; differing names: {', '.join(wrong[:4])}")
    with torch.no_grad():
        for name, tensor in given.items():
            source = torch.as_tensor(tensor)
            if source.shape != own[name].shape:
                raise UserError(f"{where}: {name} has shape {tuple(source.shape)}, expected {tuple(own[name].shape)}")
            own[name].copy_(source)
