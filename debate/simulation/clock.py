"""An event loop whose time is virtual: where everybody waits, it jumps to the moment the next one wakes."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for simulations: sleeping takes no time, and the order of events depends on nothing outside."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the loop began."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Moves the clock on."""
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    """A selector that never waits for the time to pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("simulation: everybody waits and nobody will ever wake")
            self._loop.jump(max(0.0, timeout))
        return ready
