"""Budgets that hold: a call that could exceed one is not made.

Tokens and calls are reserved before a call (a speech at its longest), so they are never exceeded. What a call will cost
in dollars or seconds is not known before it: those are looked at before each batch of calls and each wave of matches,
and are exceeded by at most what was under way.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from debate.transcript import Episode
from judges.types import Completer, Completion, Cost, Request


class BudgetSpent(Exception):
    """A budget is spent. Not a failure of any match: the matches under way are played on when the run goes on."""

    def __init__(self, name: str, limit: float, spent: float) -> None:
        used = "is spent" if spent >= limit else "could be exceeded by the next calls"
        super().__init__(f"the budget of {limit:,.10g} {name} {used} ({spent:,.10g} used)")
        self.name, self.limit, self.spent = name, limit, spent


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

    def count(self, answers: Iterable[Completion]) -> None:
        """Adds what calls cost."""
        for answer in answers:
            self.cost += answer.cost


@dataclass(frozen=True)
class MeteredCompleter:
    """A completer whose calls are counted, and not made where they could exceed a budget."""

    inner: Completer
    meter: Meter

    async def __call__(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """Answers every request, in order.

        Raises:
            BudgetSpent: before any call is made.
        """
        self._check(requests)
        answers = await self.inner(requests)
        self.meter.count(answers)
        return answers

    def _check(self, requests: Sequence[Request]) -> None:
        longest = sum(0 if request.choices else request.sampling.max_tokens for request in requests)
        self.meter.check(len(requests), longest)

    @property
    def each(self) -> Callable[[Sequence[Request]], AsyncIterator[tuple[int, Completion]]] | None:
        """Answers as they come, where the engine gives them so (see `debate.run.cache`); None where it does not."""
        inner = getattr(self.inner, "each", None)
        if inner is None:
            return None

        async def counted(requests: Sequence[Request]) -> AsyncIterator[tuple[int, Completion]]:
            self._check(requests)
            async for i, answer in inner(requests):
                self.meter.count([answer])
                yield i, answer

        return counted


def episode_cost(episode: Episode, policies: Iterable[str]) -> Cost:
    """What the turns of these policies cost in an episode."""
    wanted, total = set(policies), Cost()
    for turn in episode.transcript.turns:
        if turn.policy in wanted:
            total += turn.cost
    return total
