"""Weights on their way between processes: plain arrays, and a digest that says which they are."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]


def as_arrays(state: Mapping[str, Any]) -> Arrays:
    """Tensors or arrays by name as float32 arrays on the CPU (exact: what is published is float32 or narrower)."""
    return {
        name: value if isinstance(value, np.ndarray) else value.detach().float().cpu().numpy()
        for name, value in state.items()
    }


def digest(state: Mapping[str, Any] | None) -> str:
    """Names, shapes and bits of weights in one word; "" where a policy has none of its own.

    >>> digest({"a": np.zeros(2, np.float32)}) == digest({"a": np.zeros(2, np.float32)})
    True
    >>> digest({"a": np.zeros(2, np.float32)}) == digest({"a": np.ones(2, np.float32)})
    False
    """
    if state is None:
        return ""
    told = blake2b(digest_size=16)
    for name, array in sorted(as_arrays(state).items()):
        told.update(f"{name} {array.shape} {array.dtype}\n".encode())
        told.update(np.ascontiguousarray(array).tobytes())
    return told.hexdigest()
