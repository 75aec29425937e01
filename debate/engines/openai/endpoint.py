"""One HTTP endpoint: JSON in, JSON out, with limits, time-outs and retries. Keys are named, never shown.

What goes wrong has three kinds. A call that the server says is wrong in itself (400, 413, 422) is `Rejected`: asking
again would not help, and other calls are not concerned. What may pass (no connection, a time-out, 408, 409, 425, 429,
5xx, a body cut off, JSON that is none, an answer that fails its check) is tried again. What concerns every call
(a bad key, no such model, or the last attempt failing) is `EngineUnavailable`: the work stops and nothing is recorded.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from debate.engines.openai.limits import RateLimit, Retry, retry_after
from debate.errors import EngineUnavailable, UserError
from debate.seeds import derive, unit

if TYPE_CHECKING:
    import httpx

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
OWN_FAULT = frozenset({400, 413, 422})
LARGEST = 64 * 1024 * 1024  # bytes of a body; a server that sends more is not answering

Body = dict[str, Any]
Check = Callable[[Body], str | None]


class Rejected(ValueError):
    """The server says that this very call is wrong."""


class Missing(EngineUnavailable):
    """The server knows no such path or model."""


def key_named(variable: str) -> str:
    """The key that an environment variable holds; "" where no variable is named.

    Raises:
        UserError: the variable is not set.
    """
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"the environment variable {variable} is not set; it must hold the endpoint's key")
    return key


def check_url(url: str) -> None:
    """Checks a base URL.

    Raises:
        UserError: not an http(s) URL, or one with a key in it.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"expected a URL that starts with http:// or https://, got {url!r}")
    if "@" in url.split("/")[2]:
        raise UserError("a key or password does not belong into the URL; name an environment variable")


@dataclass
class _Connections:
    """What calls of one event loop share."""

    client: httpx.AsyncClient
    turns: asyncio.Semaphore
    over: asyncio.Event
    users: int = 0

    async def pause(self, seconds: float) -> None:
        """Waits, unless it is all over."""
        if seconds > 0 and not self.over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), seconds)
        if self.over.is_set():
            raise EngineUnavailable("not asked any more, since another call failed for good")


class Endpoint:
    """A base URL with everything that calls to it share.

    Args:
        url: up to and including `/v1`.
        key: name of the environment variable that holds the key; "" sends none.
        timeout: seconds until an answer must be there whole; nothing is streamed.
        retry: how failed calls are tried again.
        concurrency: calls in flight at once.
        limit: calls and tokens a minute.
        secret: the key itself, for a server that we started ourselves.
        down: asked after a failed connection: whether the server is gone for good (no need to try again).

    Raises:
        UserError: not an http(s) URL, the key's variable is not set, or a number below its least.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        timeout: float = 120.0,
        retry: Retry | None = None,
        concurrency: int = 16,
        limit: RateLimit | None = None,
        secret: str = "",
        down: Callable[[], bool] | None = None,
    ) -> None:
        check_url(url)
        if concurrency < 1 or timeout <= 0:
            raise UserError(f"expected concurrency ≥ 1 and timeout > 0, got {concurrency} and {timeout}")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retry = retry or Retry()
        self.concurrency = concurrency
        self.limit = limit or RateLimit()
        self.retried = 0
        self._key = key
        self._secret = secret
        self._down = down or (lambda: False)
        self._numbers = itertools.count()
        self._open: dict[asyncio.AbstractEventLoop, _Connections] = {}
        self._secret_now()

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def _secret_now(self) -> str:
        return self._secret or key_named(self._key)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """Connections for a batch of calls, shared with whoever else is calling in this event loop."""
        import httpx

        loop = asyncio.get_running_loop()
        if loop not in self._open:
            most = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
            wait = httpx.Timeout(self.timeout, connect=min(10.0, self.timeout), pool=None)
            client = httpx.AsyncClient(timeout=wait, limits=most, trust_env=not self._secret)
            self._open[loop] = _Connections(client, asyncio.Semaphore(self.concurrency), asyncio.Event())
        mine = self._open[loop]
        mine.users += 1
        try:
            yield
        finally:
            mine.users -= 1
            if not mine.users:
                del self._open[loop]
                await mine.client.aclose()

    def give_up(self) -> None:
        """Sends nothing more in this event loop's session: calls that wait for their turn, or to try again, fail."""
        self._open[asyncio.get_running_loop()].over.set()

    async def call(self, path: str, body: Mapping[str, Any] | None, check: Check | None, tokens: int = 0) -> Body:
        """Posts JSON and returns the JSON that came back, once it passes its check. Call it inside `session`.

        Args:
            path: below the base URL.
            body: what to send; None gets instead of posting.
            check: what is wrong with a parsed answer; it says None where nothing is. Without a check any body will do.
            tokens: most tokens this call reads and writes, for the rate limit.

        Raises:
            Rejected: the server says that this call is wrong.
            Missing: the server knows no such path or model.
            EngineUnavailable: no answer after the last attempt, or a refusal that concerns every call.
        """
        number = next(self._numbers)
        mine = self._open[asyncio.get_running_loop()]
        for failures in range(1, self.retry.attempts + 1):
            try:
                wait = self.limit.reserve(tokens)
            except ValueError as error:
                raise Rejected(str(error)) from error
            await mine.pause(wait)
            async with mine.turns:
                await mine.pause(0)
                answer, problem, asked = await self._once(mine.client, path, body, check)
            if answer is not None:
                return answer
            if failures == self.retry.attempts or self._down() or (asked or 0.0) > self.retry.patience:
                raise EngineUnavailable(f"{self.url}: {problem} (attempt {failures} of {self.retry.attempts})")
            self.retried += 1
            await mine.pause(self.retry.delay(failures, unit(derive(number, "retry", failures)), asked))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self, client: httpx.AsyncClient, path: str, body: Mapping[str, Any] | None, check: Check | None
    ) -> tuple[Body | None, str, float | None]:
        """One attempt: an answer, or what went wrong and may pass, and how long the server asks to wait."""
        import httpx

        key = self._secret_now()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        method, sent = ("GET", None) if body is None else ("POST", dict(body))
        try:
            async with (
                asyncio.timeout(self.timeout),
                client.stream(method, f"{self.url}{path}", json=sent, headers=headers) as response,
            ):
                pieces, size = [], 0
                async for piece in response.aiter_bytes():
                    pieces.append(piece)
                    size += len(piece)
                    if size > LARGEST:
                        return None, f"a body of more than {LARGEST} bytes", None
                status, content = response.status_code, b"".join(pieces)
                asked = retry_after(response.headers.get("retry-after"))
        except (httpx.TimeoutException, TimeoutError):
            return None, f"no answer within {self.timeout:g} s", None
        except (httpx.TransportError, httpx.DecodingError) as error:
            return None, self._clean(f"{type(error).__name__}: {error}"), None
        if status == 200:
            return self._read(content, check) if check is not None else ({}, "", None)
        said = self._clean(f"status {status}: {_message(content)}")
        if status in OWN_FAULT:
            raise Rejected(said)
        if status in PASSING or status >= 500:
            return None, said, asked
        if status == 404:
            raise Missing(f"{self.url}: {said}")
        raise EngineUnavailable(f"{self.url}: {said}")

    def _read(self, content: bytes, check: Check) -> tuple[Body | None, str, float | None]:
        try:
            answer = json.loads(content)
        except ValueError:
            return None, self._clean(f"not JSON: {content[:80]!r}"), None
        if not isinstance(answer, dict):
            return None, self._clean(f"expected a JSON object, got {str(answer)[:80]!r}"), None
        try:
            problem = check(answer)
        except (TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
            problem = f"an answer of unexpected shape ({type(error).__name__}: {error})"
        return (answer, "", None) if problem is None else (None, self._clean(problem), None)

    def _clean(self, text: str) -> str:
        """A message in which no key stands, even where a server repeats it."""
        key = self._secret_now()
        return text.replace(key, "[key]") if key else text


def _message(content: bytes) -> str:
    """What an error body says, in one line."""
    text = content.decode("utf-8", "replace")
    try:
        error = json.loads(text)
        error = error.get("error", error) if isinstance(error, dict) else error
        text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    except ValueError:
        pass
    return " ".join(text.split())[:300]
