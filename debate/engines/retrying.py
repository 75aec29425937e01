"""Single calls that are tried again: time-out, backoff with jitter, Retry-After, and failures as values.

Calls over HTTP are tried again in `debate.engines.openai.endpoint`, where more kinds of failure can be told apart.

What is behind it makes one call and raises when it fails; what is before it only ever sees completions. Everything
sleeps by the event loop's own clock, so a simulation runs hours of backoff in no time (`debate.simulation.clock`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from debate.seeds import derive, unit
from judges.types import Completion, Request

Ask = Callable[[Request], Awaitable[Completion]]


class Transient(RuntimeError):
    """A call failed in a way that may pass: too many requests, an overloaded or restarting server, a damaged answer.

    Attributes:
        retry_after: seconds the server asked to wait; None where it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before trying again: exponential, with full jitter (Brooker 2015), never less than asked for.

    Attributes:
        attempts: most tries of one call, the first included.
        first: seconds before the second try, at most. factor: of the next bound. most: bound of all.
    """

    attempts: int = 6
    first: float = 1.0
    factor: float = 2.0
    most: float = 60.0

    def __post_init__(self) -> None:
        """Refuses settings that make no sense.

        Raises:
            ValueError: no attempt, or times that are not above 0.
        """
        if self.attempts < 1 or not (0 < self.first <= self.most < math.inf) or self.factor < 1:
            raise ValueError(f"Backoff: expected attempts ≥ 1, 0 < first ≤ most and factor ≥ 1, got {self}")

    def seconds(self, attempt: int, seed: int, retry_after: float | None = None) -> float:
        """The wait after try number `attempt` (0 the first) failed."""
        bound = min(self.most, self.first * self.factor**attempt)
        return max(retry_after or 0.0, bound * unit(derive(seed, "backoff", attempt)))


@dataclass(frozen=True)
class RetryingCompleter:
    """A completer over single calls that may fail.

    Attributes:
        ask: makes one call; raises `Transient`, `ConnectionError` or `TimeoutError` where trying again may help, and
            anything else where it cannot.
        backoff: how often and how long.
        timeout: seconds one call may take.
        concurrency: calls in the air at once.
    """

    ask: Ask
    backoff: Backoff = Backoff()
    timeout: float = 120.0
    concurrency: int = 64

    async def __call__(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """Answers every request, in order, whatever the order in which answers come."""
        gate = asyncio.Semaphore(self.concurrency)

        async def one(request: Request) -> Completion:
            async with gate:
                return await self._one(request)

        return await asyncio.gather(*map(one, requests))

    async def _one(self, request: Request) -> Completion:
        reason = ""
        for attempt in range(self.backoff.attempts):
            wait: float | None = None
            try:
                return await asyncio.wait_for(self.ask(request), self.timeout)
            except TimeoutError:
                reason = f"no answer within {self.timeout:g} s"
            except Transient as error:
                reason, wait = str(error), error.retry_after
            except ConnectionError as error:
                reason = f"{type(error).__name__}: {error}"
            except Exception as error:  # the boundary between an engine and those who use its answers
                return Completion(stop_reason="error", error=f"{type(error).__name__}: {error}")
            if attempt + 1 < self.backoff.attempts:
                await asyncio.sleep(self.backoff.seconds(attempt, request.seed, wait))
        return Completion(stop_reason="error", error=f"{reason} (tried {self.backoff.attempts} times)")
