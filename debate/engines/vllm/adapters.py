"""Versioned adapters on disk, where vLLM loads them from, under names that no two sets of weights share.

vLLM caches what it loads, and the prefixes it has read, by an adapter's name and path. A version is therefore served as
`{agent}-v{N}.{digest of its weights}`: a server that still holds an adapter of another run cannot answer for this one,
and the name in its answer says which weights spoke.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

from debate.engines.adapters import AdapterSpec, save_adapter
from debate.errors import UserError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vllm.config.lora.MaxLoRARanks


@dataclass(frozen=True, slots=True)
class Served:
    """One adapter as vLLM knows it.

    Attributes:
        policy: its id here. name: its name there.
        path: the folder with its files.
        number: vLLM's integer id, never given twice.
        size: bytes of its weights on disk.
    """

    policy: str
    name: str
    path: Path
    number: int
    size: int


def check_rank(rank: int) -> None:
    """Checks that vLLM can serve adapters of this rank.

    Raises:
        UserError: it cannot; the message names those it can.
    """
    if rank not in RANKS:
        raise UserError(f"vLLM serves adapters of rank {', '.join(map(str, RANKS))}, got {rank}")


def check_servable(policy: str, state: Mapping[str, Any], spec: AdapterSpec) -> None:
    """Checks that vLLM would serve all of an adapter: it drops what is not a plain low-rank update without a word.

    Raises:
        UserError: tensors that are none (DoRA's magnitudes, biases, whole modules), updates of embeddings or of the
            head, or another rank.
    """
    check_rank(spec.rank)
    plain = {key for key in state if key.endswith((".lora_A.weight", ".lora_B.weight"))}
    odd = sorted(set(state) - plain)
    if odd:
        raise UserError(
            f"policy {policy!r}: {odd[0]} is not a plain low-rank update; vLLM would drop it (modules_to_save, DoRA, "
            "trained biases and embeddings cannot be served)"
        )
    outer = sorted(key for key in plain if ".embed_tokens." in key or ".lm_head." in key)
    if outer:
        raise UserError(f"policy {policy!r}: {outer[0]} updates embeddings or the head, which vLLM does not serve")
    if not plain:
        raise UserError(f"policy {policy!r}: an adapter without a single low-rank update")
    wrong = sorted(key for key in plain if state[key].shape[0 if "lora_A" in key else 1] != spec.rank)
    if wrong:
        raise UserError(f"policy {policy!r}: {wrong[0]} has shape {tuple(state[wrong[0]].shape)}, not rank {spec.rank}")


def digest(state: Mapping[str, Any], spec: AdapterSpec) -> str:
    """Twelve hexadecimal digits that name these weights, their scale included."""
    import torch

    hashed = blake2b(f"{spec.rank} {spec.alpha}".encode(), digest_size=6)
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        hashed.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


class AdapterFolder:
    """The adapters of one engine, each in a folder of its own.

    Args:
        root: where they stand; a server must be able to read it.
        base: name of the model they belong to.
        spec: the shape of every adapter.

    Raises:
        UserError: a rank that vLLM cannot serve.
    """

    def __init__(self, root: Path, base: str, spec: AdapterSpec) -> None:
        check_rank(spec.rank)
        self.root = root
        self.base = base
        self.spec = spec
        self._count = 0

    def write(self, policy: str, state: Mapping[str, Any]) -> Served:
        """Writes an adapter in PEFT's format, whole or not at all.

        Raises:
            UserError: something in it that vLLM would not serve.
        """
        check_servable(policy, state, self.spec)
        name = f"{policy}.{digest(state, self.spec)}"
        place = self.root / name
        if not place.is_dir():
            made = self.root / f".{name}.{uuid4().hex}"
            save_adapter(made, state, self.spec, self.base)
            try:
                os.replace(made, place)
            except OSError:  # others that serve from this folder (workers of one run) may have written it meanwhile
                if not place.is_dir():
                    raise
                shutil.rmtree(made)
        self._count += 1
        size = sum(file.stat().st_size for file in place.glob("*.safetensors"))
        return Served(policy, name, place, self._count, size)

    def forget(self, adapter: Served) -> None:
        """Removes an adapter's files."""
        shutil.rmtree(adapter.path, ignore_errors=True)
