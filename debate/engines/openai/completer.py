"""The completer over an OpenAI-compatible chat endpoint.

Such endpoints take messages and give back words. Whoever speaks through one can play and judge; it is not trained,
because its weights are not here. Ids and log-probabilities are recorded where the server gives them (vLLM does, with
`extra: {return_token_ids: true}` and `logprobs: true`). Continuations cannot be scored: `Unsupported`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from debate.engines.openai.endpoint import Body, Endpoint, Rejected
from debate.engines.openai.prices import UNKNOWN, Price
from debate.engines.policies import require
from debate.engines.sampling import check
from judges.types import Completion, Cost, Request, Unsupported

RESERVED = frozenset({"model", "messages", "temperature", "top_p", "seed", "stream", "n"})


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What is sent beside the messages.

    Attributes:
        model: as the endpoint calls it.
        also: names under which it may answer, besides its own and dated versions of it (`name-2026-01-31`).
        price: of its tokens.
        limit_field: how the endpoint calls the limit of sampled tokens.
        logprobs: whether log-probabilities are asked for.
        extra: further fields of every call, such as `{reasoning_effort: low}`.
    """

    model: str
    also: tuple[str, ...] = ()
    price: Price = UNKNOWN
    limit_field: str = "max_tokens"
    logprobs: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class ChatCompleter:
    """Answers requests through an endpoint (see `judges.types.Completer`). Every policy is the endpoint's model.

    Args:
        endpoint: where and how calls are made.
        settings: what is sent.
    """

    def __init__(self, endpoint: Endpoint, settings: ChatSettings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self._policies = {""}

    def publish(self, policy: str, state: Mapping[str, Any] | None) -> None:
        """Lets the endpoint's model speak as this policy.

        Raises:
            Unsupported: weights, which no endpoint takes.
        """
        if state is not None:
            raise Unsupported(f"policy {policy!r}: an OpenAI-compatible endpoint takes no weights")
        self._policies.add(policy)

    def retire(self, policy: str) -> None:
        """Forgets a policy."""
        self._policies.discard(policy)

    async def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        """Answers every request, in order; a call that the server refuses is a completion with `error`.

        Raises:
            Unsupported: a request to score choices.
            EngineUnavailable: the endpoint does not answer, or refuses every call.
        """
        answers = {i: answer async for i, answer in self.each(requests)}
        return [answers[i] for i in range(len(requests))]

    async def each(self, requests: Sequence[Request]) -> AsyncIterator[tuple[int, Completion]]:
        """Answers as they come, each with its index, so that what was paid for can be kept at once.

        Raises:
            Unsupported, EngineUnavailable: see `__call__`. What came before was given before.
        """
        if any(request.choices is not None for request in requests):
            raise Unsupported(
                f"{self.settings.model} at {self.endpoint.url}: an OpenAI-compatible endpoint does not score choices; "
                "a judge needs mode: votes or mode: confidence"
            )
        done: asyncio.Queue[tuple[int, Completion | BaseException]] = asyncio.Queue()

        async def one(i: int, request: Request) -> None:
            try:
                done.put_nowait((i, await self._one(request)))
            except Exception as error:
                done.put_nowait((i, error))

        async with self.endpoint.session():
            tasks = [asyncio.create_task(one(i, request)) for i, request in enumerate(requests)]
            failure: BaseException | None = None
            try:
                for _ in requests:
                    i, answer = await done.get()
                    if isinstance(answer, BaseException):
                        # Calls in flight are paid for: they are waited for. Those not sent yet never are.
                        failure = failure or answer
                        self.endpoint.give_up()
                    else:
                        yield i, answer
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if failure is not None:
            raise failure

    async def _one(self, request: Request) -> Completion:
        """One call.

        Raises:
            EngineUnavailable: see `__call__`.
        """
        try:
            require(request.policy, tuple(self._policies))
            check(request.sampling)
            answer = await self.endpoint.call("/chat/completions", self._body(request), self._complaint, _size(request))
        except (Rejected, ValueError) as error:
            return Completion(error=str(error), stop_reason="error", cost=Cost(1, usd=0.0))
        try:
            return self._completion(answer)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            said = f"an answer of unexpected shape ({type(error).__name__}: {error})"
            return Completion(error=said, stop_reason="error", cost=Cost(1, usd=math.nan))

    def _body(self, request: Request) -> Body:
        sampling, settings = request.sampling, self.settings
        body: Body = {
            **settings.extra,
            "model": settings.model,
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            settings.limit_field: sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed % (1 << 31),
        }
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if settings.logprobs:
            body["logprobs"] = True
        return body

    def _complaint(self, answer: Body) -> str | None:
        """What is wrong with an answer that cannot be used; None where nothing is."""
        choices = answer.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0].get("message"), dict):
            return "expected an answer with one choice and its message"
        model, wanted = answer.get("model"), self.settings.model
        if not isinstance(model, str):
            return "the answer does not say which model spoke"
        if model != wanted and model not in self.settings.also and not _dated(model, wanted):
            return f"asked was the model {wanted!r}, {model!r} answered"
        return None

    def _completion(self, answer: Body) -> Completion:
        choice = answer["choices"][0]
        cost = self._cost(answer)
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
        if not isinstance(text, str) or reason not in ("stop", "length"):
            said = choice["message"].get("refusal") or f"it ended with {reason!r}"
            return Completion(error=f"no words came back: {said}", stop_reason="error", cost=cost)
        tokens = _ids(choice.get("token_ids"))
        entries = (choice.get("logprobs") or {}).get("content") or []
        logprobs = tuple(float(entry["logprob"]) for entry in entries if isinstance(entry.get("logprob"), int | float))
        whole = len(logprobs) == len(entries) and (tokens is None or len(tokens) == len(entries))
        return Completion(
            text=text,
            tokens=tokens,
            logprobs=logprobs if entries and whole else None,
            prompt_tokens=_ids(answer.get("prompt_token_ids")),
            stop_reason="stop" if reason == "stop" else "length",
            cost=cost,
        )

    def _cost(self, answer: Body) -> Cost:
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return Cost(1, usd=math.nan)  # what it cost is not known
        prompt, tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        return Cost(1, prompt, tokens, self.settings.price.usd(prompt, tokens, min(cached, prompt)))


def _ids(given: Any) -> tuple[int, ...] | None:
    return tuple(given) if isinstance(given, list) and all(isinstance(token, int) for token in given) else None


def _dated(model: str, wanted: str) -> bool:
    """Whether a model's name is the wanted one with a date behind it."""
    rest = model.removeprefix(f"{wanted}-") if model.startswith(f"{wanted}-") else ""
    return bool(rest) and all(part.isdigit() for part in rest.split("-"))


def _size(request: Request) -> int:
    """Tokens that a call reads and writes at most, guessed high from its letters."""
    letters = sum(len(message.text) for message in request.messages)
    return letters // 3 + 8 * len(request.messages) + request.sampling.max_tokens
