"""Budgets that hold: a call that could exceed one is not made.

Tokens and calls are reserved before a call (a speech at its longest) and given back when its answer is there, so they
are never exceeded, however many calls are under way. What a call will cost in dollars or seconds is not known before
it: those are looked at before each batch of calls and each wave of matches, and are exceeded by at most what was under
way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from debate.transcript import Episode
from judges.types import Completer, Completion, Cost, Request, Unavailable

LOST = "lost"  # events of a store: calls that were under way on a worker that was lost


class BudgetSpent(Unavailable):
    """A budget is spent. Not a failure of any match: the matches under way are played on when the run goes on."""

    def __init__(self, name: str, limit: float, spent: float) -> None:
        super().__init__(name, limit, spent)  # what it is made from, so that it can pass between processes
        self.name, self.limit, self.spent = name, limit, spent

    def __str__(self) -> str:
        """In words."""
        used = "is spent" if self.spent >= self.limit else "could be exceeded by the next calls"
        return f"the budget of {self.limit:,.10g} {self.name} {used} ({self.spent:,.10g} used)"


class Account(Protocol):
    """What calls are reserved on before they are made: a `Meter`, or a way to one."""

    async def admit(self, calls: int, tokens: int) -> None:
        """Reserves calls of at most so many tokens; waits where only calls under way are in the way.

        Raises:
            BudgetSpent: they could exceed a budget.
        """
        ...

    def settle(self, calls: int, tokens: int, cost: Cost) -> None:
        """Gives reserved calls and tokens back, and counts what they cost."""
        ...


@dataclass
class Meter:
    """What a run has spent, earlier sessions included.

    Attributes:
        limits: budget → most that may be spent ("tokens", "calls", "usd", "seconds").
        cost: of paid calls.
        seconds: of earlier sessions.
        clock: reads seconds.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    cost: Cost = Cost()
    seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._held = [0, 0]  # calls and tokens under way
        self._waiting: list[asyncio.Future[None]] = []

    def spent(self) -> dict[str, float]:
        """Budget → what was spent of it."""
        return {
            "tokens": self.cost.tokens,
            "calls": self.cost.calls,
            "usd": self.cost.usd,
            "seconds": self.seconds + self.clock() - self.started,
        }

    def check(self, calls: int = 0, tokens: int = 0) -> None:
        """Refuses more work, where a budget is used up or these calls could exceed it.

        Raises:
            BudgetSpent: naming the budget.
        """
        spent, more = self.spent(), {"calls": calls, "tokens": tokens}
        for name, limit in self.limits.items():
            # Not "≥": what is not known (NaN: a model without a price) is not below any limit.
            if not spent[name] < limit or spent[name] + more.get(name, 0) > limit:
                raise BudgetSpent(name, limit, spent[name])

    def reserve(self, calls: int, tokens: int) -> bool:
        """Reserves calls of at most so many tokens; False where calls under way must end before that is decided.

        Raises:
            BudgetSpent: nothing is under way, and they could exceed a budget.
        """
        try:
            self.check(self._held[0] + calls, self._held[1] + tokens)
        except BudgetSpent:
            if any(self._held):
                return False
            raise
        self._held = [self._held[0] + calls, self._held[1] + tokens]
        return True

    async def admit(self, calls: int, tokens: int) -> None:
        """Reserves, and waits for calls under way where they may leave enough (see `Account`)."""
        while not self.reserve(calls, tokens):
            ended = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            await ended

    def settle(self, calls: int, tokens: int, cost: Cost) -> None:
        """Gives reserved calls and tokens back, and counts what they cost."""
        self._held = [self._held[0] - calls, self._held[1] - tokens]
        self.cost += cost
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            if not ended.done():
                ended.set_result(None)


@dataclass(frozen=True)
class MeteredCompleter:
    """A completer whose calls are counted, and not made where they could exceed a budget."""

    inner: Completer
    meter: Account

    async def __call__(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """Answers every request, in order.

        Raises:
            BudgetSpent: before any call is made.
        """
        tokens = sum(map(_longest, requests))
        await self.meter.admit(len(requests), tokens)
        cost = Cost()
        try:
            answers = await self.inner(requests)
            for answer in answers:
                cost += answer.cost
            return answers
        finally:
            self.meter.settle(len(requests), tokens, cost)

    @property
    def each(self) -> Callable[[Sequence[Request]], AsyncIterator[tuple[int, Completion]]] | None:
        """Answers as they come, where the engine gives them so (see `debate.run.cache`); None where it does not."""
        inner = getattr(self.inner, "each", None)
        if inner is None:
            return None

        async def counted(requests: Sequence[Request]) -> AsyncIterator[tuple[int, Completion]]:
            under_way = dict(enumerate(map(_longest, requests)))
            await self.meter.admit(len(under_way), sum(under_way.values()))
            try:
                async for i, answer in inner(requests):
                    self.meter.settle(1, under_way.pop(i), answer.cost)
                    yield i, answer
            finally:
                self.meter.settle(len(under_way), sum(under_way.values()), Cost())

        return counted


def _longest(request: Request) -> int:
    """Most tokens that an answer can sample."""
    return 0 if request.choices else request.sampling.max_tokens


def metered(meter: Account) -> Callable[[Completer], MeteredCompleter]:
    """Puts a meter around engines; around one always the same, so that agents who share it are asked in one batch."""
    made: dict[int, MeteredCompleter] = {}
    return lambda completer: made.setdefault(id(completer), MeteredCompleter(completer, meter))


def episode_cost(episode: Episode, policies: Iterable[str]) -> Cost:
    """What the turns of these policies cost in an episode."""
    wanted, total = set(policies), Cost()
    for turn in episode.transcript.turns:
        if turn.policy in wanted:
            total += turn.cost
    return total
