"""What trains a model without playing it: base and adapters alone, no engine beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from debate.cast import AdapterEngine, make_engine


class Trainer(AdapterEngine):
    """Makes learners of adapters over a base model; the base is loaded when the first one needs it."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        self._model, self._options = model, options

    @cached_property
    def host(self) -> Any:
        """Base and adapters."""
        from debate.engines.adapters import AdapterPolicies, AdapterSpec
        from debate.engines.hf import load_base

        base, _ = load_base(self._model, self._options["device"], self._options["dtype"])
        return AdapterPolicies(base, AdapterSpec(self._options["lora_rank"], self._options["lora_alpha"]))


def trainer(kind: str, model: str, options: Mapping[str, Any]) -> Any:
    """What makes the learners of an agent's kind.

    Raises:
        UserError: a model that cannot be loaded, or a device that is not there.
    """
    return Trainer(model, options) if kind in ("hf", "vllm") else make_engine(kind, model, options)
