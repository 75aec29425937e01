"""What trains a model without playing it: base and adapters alone, no engine beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from debate.adapter_engine import AdapterEngine, training_host
from debate.cast import make_engine


class Trainer(AdapterEngine):
    """Makes learners of adapters over a base model; the base is loaded when the first one needs it."""

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        self.model, self._options = model, options

    @cached_property
    def host(self) -> Any:
        """Base and adapters; with `shard` their shapes alone."""
        from debate.engines.adapters import AdapterSpec

        spec = AdapterSpec(self._options["lora_rank"], self._options["lora_alpha"])
        return training_host(self.model, self._options, spec)


def trainer(kind: str, model: str, options: Mapping[str, Any]) -> Any:
    """What makes the learners of an agent's kind.

    Raises:
        UserError: a model that cannot be loaded, or a device that is not there.
    """
    return Trainer(model, options) if kind in ("hf", "vllm") else make_engine(kind, model, options)
