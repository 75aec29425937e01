"""Where an agent's first version may come from: a folder that `debate learn` (or PEFT) wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.errors import UserError

if TYPE_CHECKING:
    from debate.engines.adapters import AdapterSpec

NANO = "nano.safetensors"


def nano_weights(folder: Path) -> Path:
    """The file with a nano agent's weights in a folder, or the file itself.

    Raises:
        UserError: there is none.
    """
    path = folder / NANO if folder.is_dir() else folder
    if not path.is_file():
        raise UserError(f"start: {folder} holds no {NANO}; expected what `debate learn` wrote for a nano agent")
    return path


def adapter_weights(folder: Path, shape: AdapterSpec) -> Mapping[str, Any]:
    """An adapter in PEFT's format, checked against the shape that the engine's adapters have.

    Raises:
        UserError: nothing there, not a plain LoRA adapter, or another shape.
    """
    from debate.engines.adapters import load_adapter

    state, found = load_adapter(folder)
    own = shape.targets if isinstance(shape.targets, str) else tuple(sorted(shape.targets))
    if (found.rank, found.alpha, found.targets) != (shape.rank, shape.alpha, own):
        raise UserError(
            f"start: the adapter in {folder} has rank {found.rank}, alpha {found.alpha:g} on {found.targets}; "
            f"the agent's has rank {shape.rank}, alpha {shape.alpha:g} on {own}: set lora_rank and lora_alpha to match"
        )
    return state
