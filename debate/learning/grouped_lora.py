"""Several LoRA adapters in one forward and backward pass of their shared base.

Rows are ordered by agent, so every agent's tokens are one block of each layer's input. To the output of a base layer
W x, block i adds s_i · B_i A_i x. The base runs once for all agents, gradients reach only the own matrices, and the
low-rank part is one batched product where the blocks are equally long, a grouped one (`torch._grouped_mm`, bfloat16 on
CUDA, ranks and widths that are multiples of 8) where they are not, and a loop of small products otherwise.

Letters: N agents, T tokens of a block, i inputs, o outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PREFIX, A, B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def add_low_rank(
    output: Tensor, x: Tensor, blocks: Sequence[int], a: Sequence[Tensor], b: Sequence[Tensor], scale: float
) -> Tensor:
    """[ΣT, o] output + s · B_i A_i x, block by block.

    Args:
        output: [ΣT, o] of the base layer.
        x: [ΣT, i] its inputs, block after block.
        blocks: N block lengths T_i.
        a: N matrices [r, i].
        b: N matrices [o, r].
        scale: s = alpha / rank.
    """
    import torch

    assert x.ndim == 2 and len(blocks) == len(a) == len(b) and sum(blocks) == len(x) == len(output)
    if len(set(blocks)) == 1:
        shape = (len(blocks), blocks[0], -1)
        hidden = torch.bmm(x.view(shape), torch.stack(tuple(a)).mT)
        return torch.baddbmm(output.view(shape), hidden, torch.stack(tuple(b)).mT, alpha=scale).view(output.shape)
    if _groupable(x, a, b):
        ends = torch.tensor(blocks, device=x.device).cumsum(0).to(torch.int32)
        hidden = torch._grouped_mm(x, torch.stack(tuple(a)).mT, ends) * scale
        return output + torch._grouped_mm(hidden, torch.stack(tuple(b)).mT, ends)
    sizes = list(blocks)
    parts = zip(torch.split(output, sizes), torch.split(x, sizes), a, b, strict=True)
    return torch.cat([torch.addmm(part, inputs @ down.T, up.T, alpha=scale) for part, inputs, down, up in parts])


def _groupable(x: Tensor, a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether the grouped kernel takes these shapes and types."""
    import torch

    sizes = (a[0].shape[0], a[0].shape[1], b[0].shape[0])
    return x.is_cuda and x.dtype == a[0].dtype == torch.bfloat16 and all(size % 8 == 0 for size in sizes)


def layer_of(base: Any, key: str) -> Any:
    """The linear layer that a matrix of PEFT's file format belongs to, unwrapped where PEFT has wrapped it.

    Raises:
        ValueError: a key of another form, or a layer the model does not have.
    """
    path = key.removeprefix(PREFIX).removesuffix(A).removesuffix(B)
    if not key.startswith(PREFIX) or not key.endswith((A, B)):
        raise ValueError(f"adapter: expected keys {PREFIX}….lora_A.weight or ….lora_B.weight, got {key!r}")
    try:
        layer = base.get_submodule(path)
    except AttributeError:
        raise ValueError(f"adapter: the model has no layer {path!r}") from None
    return getattr(layer, "base_layer", layer)


@contextmanager
def grouped(
    base: Any, adapters: Sequence[Mapping[str, Tensor]], rows: Sequence[int] | None, scale: float, dtype: Any = None
) -> Iterator[None]:
    """While it lasts, each block of rows of a forward pass through `base` goes through its own adapter.

    Args:
        base: the model; any PEFT adapters in it must be switched off.
        adapters: N state dicts in PEFT's file format, all over the same layers.
        rows: rows of memory of each agent, in order; None gives all rows to the only adapter.
        scale: alpha / rank.
        dtype: of the low-rank products; the matrices' own when None.

    Raises:
        ValueError: adapters over different layers, or several without `rows`.
    """
    keys = list(adapters[0])
    if any(list(adapter) != keys for adapter in adapters):
        raise ValueError("adapters over different layers cannot share one pass")
    if rows is None and len(adapters) != 1:
        raise ValueError(f"{len(adapters)} adapters need to know how many rows each has")
    present = [0] if rows is None else [n for n, count in enumerate(rows) if count]

    def hook(key: str) -> Any:
        down = [adapters[n][key] for n in present]
        up = [adapters[n][key.removesuffix(A) + B] for n in present]

        def add(module: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            kind = dtype or down[0].dtype
            x = args[0].reshape(-1, args[0].shape[-1]).to(kind)
            # Flattened rows (packed for flash attention) are as many tokens.
            blocks = [len(x)] if rows is None else [rows[n] * (len(x) // sum(rows)) for n in present]
            a, b = ([m.to(kind) for m in matrices] for matrices in (down, up))
            flat = output.reshape(-1, output.shape[-1]).to(kind)
            total = add_low_rank(flat, x, blocks, a, b, scale)
            return total.view(output.shape).to(output.dtype)

        return add

    handles = [layer_of(base, key).register_forward_hook(hook(key)) for key in keys if key.endswith(A)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
