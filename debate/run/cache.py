"""Completions by key: a call that was paid for is never paid for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from debate.run.codec import dumps
from judges.types import Completer, Completion, Request


class Keeps(Protocol):
    """Where completions are kept: a `debate.run.store.Store`, or a way to one."""

    def completions(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Key → stored answer, for those that are there."""
        ...

    def put_completions(self, completions: Mapping[str, Completion]) -> int:
        """Puts answers under their keys, durably; returns how many were new."""
        ...


def completion_key(request: Request, engine: str = "") -> str:
    """The key of a call: a hash of everything its answer may depend on.

    Args:
        request: the call; its policy id carries the policy's version, its seed the run's, match's and turn's.
        engine: what answers (such as "hf:HuggingFaceTB/SmolLM2-135M@<revision>"), where several share a store.
    """
    sampling = request.sampling
    return sha256(
        dumps(
            [
                engine,
                request.policy,
                [[m.role, m.text, m.tokens] for m in request.messages],
                [sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k],
                request.choices,
                request.seed,
            ]
        ).encode()
    ).hexdigest()


@dataclass(frozen=True, slots=True)
class CachingCompleter:
    """A completer that asks `inner` only for what the store does not hold, and keeps the answers before giving them.

    Failed calls are not kept: they are asked again. Equal requests in one batch are asked once.

    Attributes:
        inner: the engine.
        store: where answers are kept.
        engine: names the engine in the keys.
    """

    inner: Completer
    store: Keeps
    engine: str = ""

    async def __call__(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """Answers every request, in order.

        Raises:
            RuntimeError: the engine returned another number of answers than it was asked for.
        """
        # 1. What is known.
        keys = [completion_key(request, self.engine) for request in requests]
        answers = self.store.completions(keys)
        # 2. Ask for the rest, once each.
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in answers}
        if missing:
            answers |= await self._ask(missing)
        return [answers[key] for key in keys]

    async def _ask(self, missing: Mapping[str, Request]) -> dict[str, Completion]:
        """Asks the engine, keeps what it answers, then gives it: each as it comes where the engine has `each`."""
        each = getattr(self.inner, "each", None)
        if each is not None:
            keys, fresh = list(missing), {}
            async for i, answer in each(list(missing.values())):
                if answer.error is None:
                    self.store.put_completions({keys[i]: answer})
                fresh[keys[i]] = answer
        else:
            new = await self.inner(list(missing.values()))
            if len(new) != len(missing):
                raise RuntimeError(f"the engine returned {len(new)} answers to {len(missing)} requests")
            fresh = dict(zip(missing, new, strict=True))
            self.store.put_completions({key: answer for key, answer in fresh.items() if answer.error is None})
        return fresh
