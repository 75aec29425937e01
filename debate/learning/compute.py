"""How a forward pass is computed: in bfloat16, sharded, with activations that the backward pass computes again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any


def low_precision(model: Any, on: bool) -> AbstractContextManager[Any]:
    """Products of a forward pass in bfloat16 (autocast); parameters and their gradients stay float32.

    Made anew for every pass: autocast keeps its copies of the weights as long as it lasts, whatever the optimiser does.
    """
    import torch

    return torch.autocast(model.device.type, torch.bfloat16) if on else nullcontext()


def as_forward(model: Any, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """`function(model, …)` as one forward pass of the model.

    A sharded model (`debate.sharding.base`) is gathered in its own forward pass only; its `through` makes any function
    of its parts such a pass. Other models need nothing.
    """
    through = getattr(model, "through", None)
    return function(model, *arguments, **named) if through is None else through(function, *arguments, **named)


@contextmanager
def checkpointed(model: Any, on: bool = True) -> Iterator[None]:
    """While it lasts, only the inputs of the decoder's layers are kept for the backward pass (Chen et al., 1604.06174).

    Takes about a third more time and a fraction of the memory. Transformers' own switch works in training mode only,
    where dropout would make the trainer another policy than the one that spoke.

    Args:
        model: a transformers causal language model.
        on: whether to do so.

    Raises:
        ValueError: a model whose decoder has no `layers`.
    """
    layers = layers_of(model) if on else []
    try:
        for layer in layers:
            layer.forward = _again(layer.forward)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def layers_of(model: Any) -> list[Any]:
    """The layers of a model's decoder.

    Raises:
        ValueError: it has none under that name.
    """
    layers = getattr(model.get_decoder(), "layers", None)
    if not layers:
        raise ValueError(f"the decoder of {type(model).__name__} has no layers to checkpoint or to shard")
    return list(layers)


def _again(forward: Any) -> Any:
    """A forward that keeps only its inputs, and runs again when the backward pass needs the rest."""
    import torch
    from torch.utils.checkpoint import checkpoint

    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return run
