"""A frozen base model of which every process holds one share: parameters are gathered where a pass needs them.

`torch.distributed.fsdp.fully_shard` (FSDP2; Zhao et al. 2023, 2304.11277) cuts every parameter along its first
dimension. Each decoder layer is a group: gathered when its forward or backward pass begins, dropped when that ends.
Embeddings, final norm and head are the root's group; they are whole in every process while a pass lasts, since the
chunked head reads them in between.

Only the base is cut. The low-rank matrices are no parameters of this model (`debate.learning.grouped_lora` adds them
in hooks), so no group mixes types, or what is trained with what is not; and the base needs no gradient: nothing but
adapter gradients is ever reduced. Adapters are small, and the same in every process, so checkpoints are those of one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MethodType
from typing import Any

from debate.errors import UserError

INDEX = "model.safetensors.index.json"


def shape_of(name: str, dtype: str = "float32") -> Any:
    """A causal language model without weights: parameters on the meta device, buffers real, nothing trainable.

    Args:
        name: a folder, or a hub id, as `debate.models.resolve` gives it.
        dtype: "float32" or "bfloat16".

    Raises:
        UserError: a model that cannot be built from its config.
    """
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        # Buffers such as rotary frequencies come from the config, not from files: they are made for real.
        with init_empty_weights(include_buffers=False):
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"model {name!r} cannot be loaded: {' '.join(str(error).split())[:400]}") from error
    model.tie_weights()
    return model.eval().requires_grad_(False)


def check_model(folder: Path, dtype: str) -> None:
    """Refuses what `sharded_base` would, where nothing has been started yet.

    Raises:
        UserError: files that hold other tensors than the model has, or a model without layers.
    """
    _plan(folder, dtype)


def _plan(folder: Path, dtype: str) -> tuple[Any, list[Any], dict[str, str], dict[str, Path]]:
    """The model without weights, its layers, parameter → name of its tensor, tensor → file."""
    from debate.learning.compute import layers_of

    model = shape_of(str(folder), dtype)
    files = tensor_files(folder)
    try:
        return model, layers_of(model), _places(model, files, folder), files
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"{folder}: {error}") from error


def sharded_base(folder: Path, dtype: str, mesh: Any) -> Any:
    """This process's share of a model, read from its safetensors files; nobody ever holds the whole.

    The model gets a method `through(function, *arguments)`: `function(model, *arguments)` as one forward pass, in which
    parameters are ordinary tensors (see `debate.learning.compute.as_forward`).

    Args:
        folder: the model's.
        dtype: of its weights.
        mesh: one-dimensional device mesh of all processes.

    Raises:
        UserError: files that hold other tensors than the model has, or a model without layers.
    """
    import torch
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    model, layers, places, files = _plan(folder, dtype)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    device = torch.device(mesh.device_type, torch.cuda.current_device()) if mesh.device_type == "cuda" else "cpu"
    model.to_empty(device=device)
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    _read_shares(model, places, files)
    model.through = MethodType(_through, model)
    register_fsdp_forward_method(model, "through")
    return model


def _through(model: Any, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return function(model, *arguments, **named)


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor → the safetensors file that holds it.

    Raises:
        UserError: no such files, or a damaged one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if (folder / INDEX).is_file():
            found = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
            return {name: folder / file for name, file in found.items()}
        files: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, "pt") as opened:
                files |= dict.fromkeys(opened.keys(), path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UserError(f"{folder}: damaged safetensors files ({error})") from error
    if not files:
        raise UserError(f"{folder}: no safetensors files; expected model.safetensors, or several with {INDEX}")
    return files


def _places(model: Any, files: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """Parameter → its tensor's name in the files; tied parameters are stored under one of their names.

    Raises:
        UserError: a parameter that no file holds.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    places: dict[str, str] = {}
    for alike in names.values():
        stored = [name for name in alike if name in files]
        if not stored:
            raise UserError(
                f"{folder}: no file holds {alike[0]}; a sharded model is read as it is stored, so its files must name "
                "their tensors as transformers names its parameters (save_pretrained writes such files)"
            )
        places |= dict.fromkeys(alike, stored[0])
    return places


def span(length: int, rank: int, size: int) -> tuple[int, int]:
    """Which rows of a parameter a process holds: those of `torch.chunk`, so the last ones may hold fewer, or none.

    >>> [span(7, rank, 4) for rank in range(4)], [span(2, rank, 3) for rank in range(3)]
    ([(0, 2), (2, 4), (4, 6), (6, 7)], [(0, 1), (1, 2), (2, 2)])
    """
    chunk = -(-length // size)
    return min(rank * chunk, length), min((rank + 1) * chunk, length)


def _read_shares(model: Any, places: Mapping[str, str], files: Mapping[str, Path]) -> None:
    """Fills every local share from the slice of the file that it is.

    Raises:
        UserError: a tensor of another shape than the model's, or a damaged file.
    """
    from safetensors import SafetensorError, safe_open

    wanted: dict[Path, list[tuple[str, Any]]] = {}
    for name, parameter in model.named_parameters():
        wanted.setdefault(files[places[name]], []).append((places[name], parameter))
    for path, parameters in wanted.items():
        try:
            with safe_open(path, "pt") as opened:
                for name, parameter in parameters:
                    stored = opened.get_slice(name)
                    if tuple(stored.get_shape()) != tuple(parameter.shape):
                        raise UserError(
                            f"{path}: {name} has shape {list(stored.get_shape())}, expected {list(parameter.shape)}"
                        )
                    share = parameter.to_local()
                    mesh = parameter.device_mesh
                    start, stop = span(parameter.shape[0], mesh.get_local_rank(), mesh.size())
                    if stop > start:
                        share.copy_(stored[start:stop])
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: damaged safetensors file ({error})") from error


def shares(model: Any) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Parameter → (shape of the share here, shape of the whole, bytes of the share here)."""
    found = {}
    for name, parameter in model.named_parameters():
        local = parameter.to_local()
        found[name] = (tuple(local.shape), tuple(parameter.shape), local.numel() * local.element_size())
    return found
