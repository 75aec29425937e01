"""Engines with processes or endpoints of their own, as the cast seats them: completer, first weights, learner, end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from debate.adapter_engine import AdapterEngine, training_host
from debate.errors import UserError
from debate.transcript import Policy

# What one engine is started with; agents and judges that agree on it share the engine.
VLLM = ("dtype", "mode", "url", "key", "adapters", "lora_rank", "lora_alpha", "max_loras", "max_cpu_loras", "context")
VLLM_ALSO = ("memory", "gpus", "rows", "eager", "seeded", "timeout", "concurrency")
OPENAI = ("url", "key", "timeout", "concurrency", "attempts", "requests_per_minute", "tokens_per_minute", "also")
OPENAI_ALSO = ("limit_field", "logprobs", "prices", "extra")


def settings_key(kind: str, options: Mapping[str, Any]) -> str:
    """What an engine is started with, as text."""
    names = (*VLLM, *VLLM_ALSO) if kind == "vllm" else (*OPENAI, *OPENAI_ALSO)
    return " ".join(f"{name}={options.get(name)!r}" for name in names)


class VllmHost(AdapterEngine):
    """A model on vLLM. What trains is a transformers copy of its base in this process, loaded when it is needed.

    Args:
        model: name, folder or hub id.
        options: of the first agent or judge that uses it.
    """

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        from debate.engines.adapters import AdapterSpec
        from debate.engines.vllm.build import vllm_completer
        from debate.engines.vllm.settings import VllmSettings

        self.name = f"vllm:{model}"
        self.model = model
        self._options = options
        self._spec = AdapterSpec(options["lora_rank"], options["lora_alpha"])
        self._own = not options["adapters"]
        given = options["adapters"]
        self._folder = Path(given).expanduser() if given else Path(tempfile.mkdtemp(prefix="debate-vllm-"))
        settings = VllmSettings(
            dtype=options["dtype"],
            max_loras=options["max_loras"],
            max_cpu_loras=options["max_cpu_loras"],
            context=options["context"],
            memory=options["memory"],
            gpus=options["gpus"],
            rows=options["rows"],
            eager=options["eager"],
            seeded=options["seeded"],
        )
        try:
            self.completer = vllm_completer(
                model,
                self._folder,
                settings,
                self._spec,
                mode=options["mode"],
                url=options["url"],
                key=options["key"],
                timeout=options["timeout"],
                concurrency=options["concurrency"],
            )
        except BaseException:
            if self._own and not (self._folder / "server.log").exists():  # the log says why it did not start
                shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @cached_property
    def host(self) -> Any:
        """Base and adapters for training; with `shard` their shapes alone, since other processes hold them."""
        return training_host(self.model, self._options, self._spec)

    def first_weights(self, policy: Policy, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Nothing, where an agent starts with an adapter that changes nothing: then the bare base speaks."""
        return self.start(options) if options.get("start") else None

    def traffic(self) -> dict[str, float]:
        """What the engine counted since it started."""
        return self.completer.traffic.logged()

    def close(self) -> None:
        """Stops vLLM and removes the adapters' folder where it was ours."""
        super().close()
        self.completer.close()
        if self._own:
            shutil.rmtree(self._folder, ignore_errors=True)


class OpenAIHost:
    """A model behind an OpenAI-compatible endpoint. It plays and judges; it is not trained.

    Raises:
        UserError: the key's variable is not set, or there is no price of the model in the file named.
    """

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        from debate.engines.openai.completer import ChatCompleter, ChatSettings
        from debate.engines.openai.endpoint import Endpoint
        from debate.engines.openai.limits import RateLimit, Retry
        from debate.engines.openai.prices import Price, read_price, read_prices

        prices = options["prices"]
        if isinstance(prices, str):
            price = read_prices(Path(options["folder"]) / prices, model)
        else:
            price = read_price(prices, f"{model}: prices") if prices else Price()
        endpoint = Endpoint(
            options["url"],
            options["key"],
            options["timeout"],
            Retry(options["attempts"]),
            options["concurrency"],
            RateLimit(options["requests_per_minute"], options["tokens_per_minute"]),
        )
        settings = ChatSettings(
            model,
            tuple(options["also"]),
            price,
            options["limit_field"],
            options["logprobs"],
            options["extra"],
        )
        self.name = f"openai:{endpoint.url}:{model}"
        self.completer = ChatCompleter(endpoint, settings)

    def joins(self, agents: Sequence[Any]) -> bool:
        """Never."""
        return False

    def first_weights(self, policy: Policy, options: Mapping[str, Any]) -> None:
        """An endpoint's weights are its own."""

    def learner(self, policy: Policy, options: Mapping[str, Any]) -> Any:
        """Refuses.

        Raises:
            UserError: always.
        """
        raise UserError(f"agent {policy.name}: an OpenAI-compatible endpoint cannot be trained; use kind: vllm")
