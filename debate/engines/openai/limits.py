"""When the next call may start: how long to wait after a failure, and how many calls and tokens a minute allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic, time

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with jitter.

    Attributes:
        attempts: calls before giving up, the first included.
        first: seconds to wait after the first failure, at most; doubled after each further one.
        longest: most seconds to wait, unless the server asks for more.
        patience: most seconds waited because a server asks for it (`Retry-After`); one that asks for more is taken as
            unavailable.
    """

    attempts: int = 7
    first: float = 1.0
    longest: float = 60.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ValueError: fewer than one attempt, or a negative time.
        """
        if self.attempts < 1 or min(self.first, self.longest, self.patience) < 0:
            raise ValueError(f"Retry: expected attempts ≥ 1 and times ≥ 0, got {self}")

    def delay(self, failures: int, unit: float, asked: float | None = None) -> float:
        """Seconds to wait after `failures` failures in a row.

        Half of the exponential step is fixed, half is drawn ("equal jitter"), so that clients that failed together do
        not come back together, and none comes back at once.

        Args:
            failures: at least 1.
            unit: a uniform number in [0, 1).
            asked: what the server asked for; never undercut.
        """
        step = min(self.longest, self.first * 2.0 ** min(failures - 1, 60))
        return max(step * (0.5 + 0.5 * unit), asked or 0.0)


def retry_after(value: str | None, now: Callable[[], float] = time) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date (RFC 9110, 10.2.3); None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


class RateLimit:
    """At most so many requests, and so many tokens, in any minute.

    Reservations are made ahead: a call is told when it may start. In every window of 60 seconds the starts reserved
    here, and their tokens, stay within the limits.

    Args:
        requests: a minute; 0 = no limit.
        tokens: a minute, prompt and answer together; 0 = no limit.
        clock: seconds, never going back.
    """

    def __init__(self, requests: int = 0, tokens: int = 0, clock: Callable[[], float] = monotonic) -> None:
        if requests < 0 or tokens < 0:
            raise ValueError(f"RateLimit: expected limits ≥ 0 (0: none), got {requests} and {tokens}")
        self.requests = requests
        self.tokens = tokens
        self._clock = clock
        self._starts: deque[tuple[float, int]] = deque()  # (when, tokens), in order of time

    def reserve(self, tokens: int) -> float:
        """Reserves the next start for a call of at most so many tokens; returns the seconds until then.

        Raises:
            ValueError: one call needs more than a minute's tokens.
        """
        if self.tokens and tokens > self.tokens:
            raise ValueError(f"a call of up to {tokens} tokens can never start at {self.tokens} tokens a minute")
        now = self._clock()
        while self._starts and self._starts[0][0] <= now - MINUTE:
            self._starts.popleft()
        # 1. Never before what is reserved already; 2. after enough of the older starts are a minute old.
        start = max(now, self._starts[-1][0] if self._starts else now)
        if self.requests and len(self._starts) >= self.requests:
            start = max(start, self._starts[-self.requests][0] + MINUTE)
        if self.tokens:
            spent = 0
            for when, size in reversed(self._starts):
                spent += size
                if spent + tokens > self.tokens:
                    start = max(start, when + MINUTE)
                    break
        self._starts.append((start, tokens))
        return start - now
