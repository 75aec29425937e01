"""A vLLM server as backend: one we start, or one that runs already (`vllm serve … --enable-lora`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from debate.engines.openai.endpoint import Body, Endpoint, Missing, Rejected
from debate.engines.openai.limits import Retry
from debate.engines.vllm.adapters import Served
from debate.engines.vllm.backend import BASE, Answer, Ask, Deliver, EngineDown, scored
from debate.engines.vllm.process import ServerProcess, command, free_port, healthy
from debate.engines.vllm.settings import VllmSettings
from debate.errors import EngineUnavailable, UserError

RETRY = Retry(attempts=4, first=0.25, longest=5.0)


class ServedVllm:
    """A vLLM server behind HTTP. Prompts go out as token ids; the name in every answer is passed on.

    Args:
        endpoint: where it listens.
        base: what the server calls the bare model.
        process: the server, where it is ours to start and stop.
        seeded: whether requests carry their seeds.
        patience: seconds a server that is not ours may be away before it is given up.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        base: str = BASE,
        process: ServerProcess | None = None,
        seeded: bool = True,
        patience: float = 120.0,
    ) -> None:
        self._endpoint = endpoint
        self._base = base
        self._process = process
        self._seeded = seeded
        self._patience = patience

    @classmethod
    def start(cls, model: str, settings: VllmSettings, log: Path, timeout: float, concurrency: int) -> ServedVllm:
        """Starts `vllm serve` for a model and waits until it answers.

        Raises:
            EngineUnavailable: it does not start.
        """
        port = free_port()
        process = ServerProcess(command(model, settings, port), port, log)
        process.start()
        endpoint = Endpoint(
            f"{process.url}/v1",
            timeout=timeout,
            retry=RETRY,
            concurrency=concurrency,
            secret=process.key,
            down=lambda: not process.alive(),
        )
        return cls(endpoint, process=process, seeded=settings.seeded)

    def context(self) -> int:
        """Most tokens of a prompt and its answer, as the server says.

        Raises:
            EngineUnavailable: it does not answer, or does not serve the base model under its name.
        """
        models = asyncio.run(self._models())
        found = next((m for m in models if m.get("id") == self._base), None)
        if found is None or not found.get("max_model_len"):
            names = ", ".join(str(m.get("id")) for m in models)
            raise EngineUnavailable(f"{self._endpoint.url}: serves {names or 'nothing'}, expected {self._base!r}")
        return int(found["max_model_len"])

    async def _models(self) -> list[dict[str, Any]]:
        async with self._endpoint.session():
            answer = await self._endpoint.call("/models", None, lambda a: None if "data" in a else "no list of models")
        return list(answer["data"])

    # --- adapters ----------------------------------------------------------------------------------------------------

    def load(self, adapter: Served) -> None:
        """Loads an adapter through the runtime endpoint.

        Raises:
            EngineDown: the server is gone.
            UserError: it refuses the adapter, or loading at run time.
        """
        body = {"lora_name": adapter.name, "lora_path": str(adapter.path)}
        self._change("/load_lora_adapter", body, "already been")

    def unload(self, adapter: Served) -> None:
        """Forgets an adapter."""
        self._change("/unload_lora_adapter", {"lora_name": adapter.name}, "not found", "cannot be found")

    def _change(self, path: str, body: Mapping[str, Any], *fine: str) -> None:
        try:
            asyncio.run(self._posted(path, body))
        except (Rejected, Missing) as error:
            if not any(words in str(error) for words in fine):
                raise UserError(
                    f"vLLM's server refuses adapter {body['lora_name']}: {error} (a server must be started with "
                    "--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and see the adapter's folder)"
                ) from error
        except EngineUnavailable as error:
            raise EngineDown(str(error)) from error

    async def _posted(self, path: str, body: Mapping[str, Any]) -> None:
        async with self._endpoint.session():
            await self._endpoint.call(path, body, check=None)

    # --- answering ---------------------------------------------------------------------------------------------------

    async def run(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Answers every call; they go out together, and the server batches them.

        Raises:
            EngineDown: the server is gone, after the calls that it answered were delivered.
        """

        async def one(i: int, ask: Ask) -> None:
            deliver(i, await self._one(ask))

        async with self._endpoint.session():
            done = await asyncio.gather(*(one(i, ask) for i, ask in enumerate(asks)), return_exceptions=True)
        failures = [failure for failure in done if isinstance(failure, BaseException)]
        for failure in failures:
            if not isinstance(failure, EngineUnavailable):
                raise failure
        if failures:
            raise EngineDown(str(failures[0])) from failures[0]

    async def _one(self, ask: Ask) -> Answer:
        name = self._base if ask.adapter is None else ask.adapter.name
        body = {"model": name, "prompt": list(ask.prompt), "return_token_ids": True, **ask.parameters(self._seeded)}
        try:
            answer = await self._endpoint.call("/completions", body, lambda a: _complaint(ask, a))
        except Rejected as error:
            return Answer(error=f"vLLM refuses the call: {error}")
        except Missing:
            if ask.adapter is None:
                raise
            # The server was started anew behind our back: it has forgotten this adapter.
            await asyncio.to_thread(self.load, ask.adapter)
            answer = await self._endpoint.call("/completions", body, lambda a: _complaint(ask, a))
        spoke = BASE if answer["model"] == self._base else str(answer["model"])
        try:
            return _answer(ask, spoke, answer)
        except ValueError as error:
            return Answer(error=str(error))

    # --- life --------------------------------------------------------------------------------------------------------

    def restart(self, adapters: Iterable[Served]) -> None:
        """Starts our server anew; one that is not ours is waited for. Then its adapters are loaded.

        Raises:
            EngineUnavailable: it does not come back.
        """
        if self._process is not None:
            self._process.stop()
            self._process.start()
        else:
            root = self._endpoint.url.removesuffix("/v1")
            until = time.monotonic() + self._patience
            while not healthy(root):
                if time.monotonic() > until:
                    raise EngineUnavailable(f"{root}: the server did not come back within {self._patience:g} s")
                time.sleep(0.5)
        for adapter in adapters:
            self.load(adapter)

    def close(self) -> None:
        """Stops our server; one that is not ours goes on."""
        if self._process is not None:
            self._process.stop()


def _complaint(ask: Ask, answer: Body) -> str | None:
    """What is wrong with a completion that cannot be used; None where nothing is."""
    choices = answer.get("choices")
    if not isinstance(answer.get("model"), str) or not isinstance(choices, list) or len(choices) != 1:
        return "expected one choice and the model's name"
    choice = choices[0]
    if not isinstance(choice.get("prompt_token_ids"), list):
        return "no token ids; the server must be vLLM, 0.10 or newer"
    if ask.sampling is None:
        return None if isinstance(choice.get("prompt_logprobs"), list) else "no log-probabilities of the prompt"
    tokens, logprobs = choice.get("token_ids"), (choice.get("logprobs") or {}).get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(logprobs, list) or len(tokens) != len(logprobs) or not tokens:
        return "expected as many log-probabilities as sampled ids"
    return None


def _answer(ask: Ask, name: str, answer: Body) -> Answer:
    choice = answer["choices"][0]
    prompt = tuple(choice["prompt_token_ids"])
    details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
    cached = int(details.get("cached_tokens") or 0)
    if ask.sampling is None:
        return Answer(name, (), scored(prompt, choice["prompt_logprobs"], ask.start), prompt, cached)
    return Answer(name, tuple(choice["token_ids"]), tuple(choice["logprobs"]["token_logprobs"]), prompt, cached)
