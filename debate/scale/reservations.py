"""Budgets on Ray: the meter stays with the driver, and workers reserve their calls on it before they make them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from debate.tournaments.budget import BudgetSpent, Meter
from judges.types import Cost


class DeskMeter:
    """The driver's meter, seen from a worker (a `debate.tournaments.budget.Account`)."""

    def __init__(self, ray: Any, desk: Any, worker: int) -> None:
        self._ray, self._desk, self._worker = ray, desk, worker
        self._told: list[Any] = []

    async def admit(self, calls: int, tokens: int) -> None:
        """Reserves calls; waits where calls under way, here or on other workers, may leave enough.

        Raises:
            BudgetSpent: they could exceed a budget.
        """
        # Awaited, not blocking: this worker's other calls must be able to end meanwhile.
        asked = self._desk.ask.remote("admit", (self._worker, calls, tokens))
        refused = await asyncio.wrap_future(asked.future())
        if refused is not None:
            raise BudgetSpent(*refused)

    def settle(self, calls: int, tokens: int, cost: Cost) -> None:
        """Gives reserved calls back, and says what they cost; `flush` waits until it was heard."""
        self._told.append(self._desk.ask.remote("settle", (self._worker, calls, tokens, cost)))

    def flush(self) -> None:
        """Waits until the driver has counted everything."""
        told, self._told = self._told, []
        self._ray.get(told)


@dataclass(frozen=True, slots=True)
class _Wish:
    """Calls that a worker waits to be admitted."""

    number: int
    worker: int
    calls: int
    tokens: int


class Reservations:
    """What workers have reserved on the run's meter: a worker that is lost has spent what it had under way.

    Whether its calls were made is not known then, so that they count, at their longest; their dollars are not known.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._held: dict[int, tuple[int, int]] = {}
        self._wishes: list[_Wish] = []
        self._lost: set[int] = set()

    def admit(self, number: int, worker: int, calls: int, tokens: int) -> None:
        """Takes a worker's wish for calls, under the number of its question."""
        if worker not in self._lost:
            self._wishes.append(_Wish(number, worker, calls, tokens))

    def settle(self, worker: int, calls: int, tokens: int, cost: Cost) -> None:
        """Gives a worker's calls back."""
        if worker not in self._lost:  # else all of them were counted already
            held = self._held[worker]
            self._held[worker] = held[0] - calls, held[1] - tokens
            self._meter.settle(calls, tokens, cost)

    def lose(self, worker: int) -> tuple[int, int]:
        """Counts what a lost worker had under way as spent; returns calls and tokens of it."""
        self._lost.add(worker)
        self._wishes = [wish for wish in self._wishes if wish.worker != worker]
        calls, tokens = self._held.pop(worker, (0, 0))
        self._meter.settle(calls, tokens, Cost(calls, 0, tokens))
        return calls, tokens

    def decide(self) -> dict[int, tuple[str, float, float] | None]:
        """Number of a question → None, where its calls may be made, or the budget that they could exceed.

        Wishes that calls under way are in the way of are left for later.
        """
        answers: dict[int, tuple[str, float, float] | None] = {}
        left = []
        for wish in self._wishes:
            try:
                if not self._meter.reserve(wish.calls, wish.tokens):
                    left.append(wish)
                    continue
            except BudgetSpent as reason:
                answers[wish.number] = reason.name, reason.limit, reason.spent
                continue
            held = self._held.get(wish.worker, (0, 0))
            self._held[wish.worker] = held[0] + wish.calls, held[1] + wish.tokens
            answers[wish.number] = None
        self._wishes = left
        return answers
