"""The completer over a running vLLM: our own token rows in, versions checked, deaths survived.

Determinism: each request carries a seed, so a sample does not depend on the order of requests. It can still depend on
what shares its batch, because matrix products differ in the last bits between batch sizes; equal seeds give equal
samples almost always, not always. What was recorded is what counts: finished turns are kept and never sampled again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

from debate.engines.chat_format import Format
from debate.engines.local import NOT_FINITE
from debate.engines.policies import refuse, require
from debate.engines.sampling import check
from debate.engines.vllm.adapters import AdapterFolder, Served, digest
from debate.engines.vllm.backend import Answer, Ask, Backend, EngineDown
from debate.errors import EngineUnavailable, UserError
from judges.types import Choice, Completion, Cost, Request


@dataclass
class Traffic:
    """What went through an engine since it was started.

    Attributes:
        requests: calls of vLLM. prompt_tokens, cached_tokens: ids read, and those of them the prefix cache held;
            scored prompts are left out, since vLLM never takes them from the cache.
        tokens: ids sampled. seconds: spent waiting for vLLM.
        restarts: how often it died and was started again. refused: answers thrown away because another policy spoke.
        synced, sync_bytes, sync_seconds: adapters loaded, their size, and how long that took.
    """

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0
    restarts: int = 0
    refused: int = 0
    synced: int = 0
    sync_bytes: int = 0
    sync_seconds: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Share of prompt ids that the prefix cache held; NaN before anything was read."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else float("nan")

    def __add__(self, other: Traffic) -> Traffic:
        """What went through two engines."""
        return Traffic(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def logged(self) -> dict[str, float]:
        """As a run's log has it."""
        counted = {f"engine_{name}": float(value) for name, value in asdict(self).items()}
        return counted | {"engine_hit_rate": self.hit_rate}


@dataclass(slots=True)
class _Job:
    """One request on its way: its prompt, and the calls of vLLM it needs."""

    prompt: tuple[int, ...]
    continuations: list[tuple[int, ...]] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)


class VllmCompleter:
    """Answers requests with adapters that vLLM serves (see `judges.types.Completer`).

    Args:
        backend: a running vLLM.
        folder: where adapters are written.
        chat: how conversations become ids.
        context: most tokens of a row, prompt and answer together.
        restarts: how often, within one batch, vLLM is started again after it died.
    """

    def __init__(self, backend: Backend, folder: AdapterFolder, chat: Format, context: int, restarts: int = 2) -> None:
        self.backend = backend
        self.folder = folder
        self.format = chat
        self.context = context
        self.traffic = Traffic()
        self._restarts = restarts
        self._life = 0  # which life of vLLM this is; several calls may notice the end of one
        self._reviving = threading.Lock()
        self._served: dict[str, Served | None] = {"": None}

    # --- policies ----------------------------------------------------------------------------------------------------

    def ids(self) -> tuple[str, ...]:
        """Every policy that can be asked for; "" is the bare base."""
        return tuple(self._served)

    def publish(self, policy: str, state: Mapping[str, Any] | None) -> None:
        """Adds a policy: it is written and loaded first, and can be asked for when this returns.

        Args:
            policy: its id, such as "ada-v3"; a version never changes.
            state: its adapter in PEFT's file format; None: it speaks with the bare base.

        Raises:
            UserError: something vLLM would not serve, or the id is taken by other weights.
        """
        if refuse(policy, self.ids(), lambda: self._same(policy, state)):
            return
        if state is None:
            self._served[policy] = None
            return
        started = time.perf_counter()
        adapter = self.folder.write(policy, state)
        self._alive(partial(self.backend.load, adapter))
        self.traffic.synced += 1
        self.traffic.sync_bytes += adapter.size
        self.traffic.sync_seconds += time.perf_counter() - started
        self._served[policy] = adapter

    def _same(self, policy: str, state: Mapping[str, Any] | None) -> bool:
        adapter = self._served[policy]
        if adapter is None or state is None:
            return adapter is None and state is None
        return adapter.name == f"{policy}.{digest(state, self.folder.spec)}"

    def retire(self, policy: str) -> None:
        """Forgets a policy, its files included.

        Raises:
            UserError: it is not known, or it is the base.
        """
        require(policy, self.ids())
        if not policy:
            raise UserError('the base model "" cannot be retired')
        adapter = self._served.pop(policy)
        if adapter is not None:
            self._alive(partial(self.backend.unload, adapter))
            self.folder.forget(adapter)

    def close(self) -> None:
        """Stops vLLM; doing so twice is harmless."""
        self.backend.close()

    def _alive(self, work: Callable[[], None]) -> None:
        """Does something with vLLM; where it has died it is started again first."""
        life = self._life
        try:
            work()
        except EngineDown as error:
            self._revive(life, 0, error)
            work()

    def _revive(self, life: int, deaths: int, error: EngineDown) -> None:
        """Starts vLLM again, once, however many calls noticed that life number `life` is over."""
        if deaths >= self._restarts:
            raise EngineUnavailable(
                f"vLLM died {deaths + 1} times in a row: {error}; nothing was recorded of what it had not answered"
            ) from error
        with self._reviving:
            if life == self._life:
                self.traffic.restarts += 1
                self.backend.restart([adapter for adapter in self._served.values() if adapter is not None])
                self._life += 1

    # --- answering ---------------------------------------------------------------------------------------------------

    async def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        """Answers every request, in order; a failed one is a completion with `error`, in its place.

        Raises:
            EngineUnavailable: vLLM died and cannot be brought back, or keeps answering with another policy.
        """
        jobs: dict[int, _Job] = {}
        failed: dict[int, Completion] = {}
        for i, request in enumerate(requests):
            try:
                jobs[i] = self._prepare(request)
            except ValueError as error:
                failed[i] = Completion(error=str(error), stop_reason="error")
        # Equal calls (a question that many episodes open with, scored once) are asked once.
        unique = {ask: n for n, ask in enumerate(dict.fromkeys(ask for job in jobs.values() for ask in job.asks))}
        answers = await self._ask(list(unique))
        return [
            failed[i] if i in failed else self._completion(request, jobs[i], [answers[unique[a]] for a in jobs[i].asks])
            for i, request in enumerate(requests)
        ]

    def _prepare(self, request: Request) -> _Job:
        """The job of a request.

        Raises:
            ValueError: an unknown policy, a prompt longer than the context, a bad sampling number, no choices.
        """
        require(request.policy, self.ids())
        adapter = self._served[request.policy]
        job = _Job(tuple(self.format.encode(request.messages)))
        room = self.context - len(job.prompt)
        if request.choices is None:
            check(request.sampling)
            need = 1
        else:
            if not request.choices:
                raise ValueError("a request to score choices names none")
            job.continuations = [self.format.continuation(text) for text in request.choices]
            need = max(map(len, job.continuations)) + 1  # vLLM always samples one more
        if room < need:
            raise ValueError(
                f"the prompt has {len(job.prompt)} tokens and needs room for {need} more; the context is {self.context}"
            )
        if request.choices is None:
            sampling = request.sampling
            if sampling.max_tokens > room:
                sampling = type(sampling)(room, sampling.temperature, sampling.top_p, sampling.top_k)
            stops = tuple(sorted(self.format.stops))  # type: ignore[attr-defined]
            job.asks = [Ask(job.prompt, adapter, sampling, seed=request.seed, stops=stops)]
        else:
            start = len(job.prompt)
            job.asks = [Ask((*job.prompt, *said), adapter, None, start) for said in job.continuations]
        return job

    async def _ask(self, asks: Sequence[Ask]) -> list[Answer]:
        """An answer to every call, each by the policy asked for.

        1. Ask what is not answered yet. 2. When vLLM dies, start it again and go to 1. 3. An answer by another policy
        is thrown away; the adapter is loaded again, and the call asked again.
        """
        started = time.perf_counter()
        good: dict[int, Answer] = {}
        deaths = wrong = 0
        while missing := [i for i in range(len(asks)) if i not in good]:
            life = self._life
            others: list[tuple[Ask, str]] = []

            def deliver(
                k: int, answer: Answer, missing: list[int] = missing, others: list[tuple[Ask, str]] = others
            ) -> None:
                ask = asks[missing[k]]
                if answer.error is None and (answer.name != ask.name or answer.prompt != ask.prompt):
                    others.append((ask, answer.name))
                else:
                    good[missing[k]] = answer

            try:
                await self.backend.run([asks[i] for i in missing], deliver)
                if not others and any(i not in good for i in missing):
                    raise RuntimeError(f"the backend left some of {len(missing)} calls without an answer")
            except EngineDown as error:
                await asyncio.to_thread(self._revive, life, deaths, error)
                deaths += 1
            if others:
                self.traffic.refused += len(others)
                wrong += 1
                ask, name = others[0]
                if wrong > self._restarts:
                    raise EngineUnavailable(
                        f"vLLM answered as {name!r} where {ask.name!r} was asked, {wrong} times in a row; "
                        "none of it was used"
                    )
                for adapter in {a.adapter for a, _ in others if a.adapter is not None}:
                    await asyncio.to_thread(self._alive, partial(self.backend.load, adapter))
        for ask, answer in zip(asks, (good[i] for i in range(len(asks))), strict=True):
            self.traffic.requests += 1
            if ask.sampling is not None:
                self.traffic.prompt_tokens += len(ask.prompt)
                self.traffic.cached_tokens += answer.cached
                self.traffic.tokens += len(answer.tokens)
        self.traffic.seconds += time.perf_counter() - started
        return [good[i] for i in range(len(asks))]

    def _completion(self, request: Request, job: _Job, answers: Sequence[Answer]) -> Completion:
        """The completion of a request from its answers."""
        error = next((answer.error for answer in answers if answer.error is not None), None)
        if error is not None:
            return Completion(error=error, stop_reason="error", cost=Cost(len(answers)))
        if any(not value <= 0 for answer in answers for value in answer.logprobs):
            return Completion(error=NOT_FINITE, stop_reason="error", cost=Cost(len(answers)))
        if request.choices is not None:
            read = sum(len(answer.prompt) for answer in answers)
            sums = [sum(answer.logprobs) for answer in answers]
            scored = zip(request.choices, job.continuations, sums, strict=True)
            return Completion(
                prompt_tokens=job.prompt,
                choices=tuple(Choice(*each) for each in scored),
                cost=Cost(len(answers), read, 0),
            )
        (answer,) = answers
        finished = self.format.finished(answer.tokens)
        # A greedy choice puts all mass on one id: that is the distribution it was drawn from.
        logprobs = answer.logprobs if request.sampling.temperature > 0 else (0.0,) * len(answer.tokens)
        return Completion(
            text=self.format.decode(answer.tokens),
            tokens=answer.tokens,
            logprobs=logprobs,
            prompt_tokens=job.prompt,
            stop_reason="stop" if finished else "length",
            cost=Cost(1, len(job.prompt), len(answer.tokens)),
        )
