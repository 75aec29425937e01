"""Completions on Ray: workers ask the driver's store before they ask an engine, and tell it what an engine answered.

The store has one writer, the driver, which waits for matches meanwhile. So an actor stands between: workers leave their
questions there, the driver takes them between two results. An answer is durable before the worker goes on. Where a run
has budgets, its meter stays with the driver too: workers reserve their calls on it before they make them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from debate.errors import Failed
from debate.run.store import Store
from debate.scale.cluster import beside_driver, lost_errors
from debate.scale.reservations import Reservations
from debate.tournaments.budget import LOST, Meter
from judges.types import Completion


class Desk:
    """Where workers leave their questions, and the driver its answers. Knows nothing of what is asked."""

    def __init__(self) -> None:
        self._left: asyncio.Queue[tuple[int, str, Any]] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._count = 0

    async def ask(self, method: str, what: Any) -> Any:
        """A worker's question; returns when the driver answered it."""
        self._count += 1
        number = self._count
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._left.put((number, method, what))
        return await self._waiting[number]

    async def take(self) -> list[tuple[int, str, Any]]:
        """Everything that was asked since; waits for the first."""
        found = [await self._left.get()]
        while not self._left.empty():
            found.append(self._left.get_nowait())
        return found

    async def answer(self, answers: Mapping[int, Any]) -> None:
        """Gives answers to those who asked."""
        for number, answer in answers.items():
            waiting = self._waiting.pop(number)
            if not waiting.done():
                waiting.set_result(answer)


class DeskStore:
    """The part of a store that completions are kept in, seen from a worker."""

    def __init__(self, ray: Any, desk: Any) -> None:
        self._ray, self._desk = ray, desk

    def completions(self, keys: Sequence[str]) -> dict[str, Completion]:
        """Key → stored answer, for those that are there."""
        return self._ray.get(self._desk.ask.remote("completions", list(keys)))  # type: ignore[no-any-return]

    def put_completions(self, completions: Mapping[str, Completion]) -> int:
        """Puts answers under their keys; returns how many were new, once they are durable."""
        return self._ray.get(self._desk.ask.remote("put_completions", dict(completions)))  # type: ignore[no-any-return]


class Clerk:
    """The driver's side of a desk: takes what was asked, between two results, and answers from store and meter.

    Attributes:
        desk: the actor, on the driver's own node.
        asked: what comes next, to wait for.
    """

    def __init__(self, ray: Any, store: Store, meter: Meter | None = None) -> None:
        self._ray, self._store = ray, store
        self._reservations = None if meter is None else Reservations(meter)
        self.desk = ray.remote(Desk).options(num_cpus=0, **beside_driver(ray)).remote()
        self.asked = self.desk.take.remote()

    def serve(self) -> None:
        """Answers what was asked; `asked` is then the next.

        Raises:
            Failed: the desk is gone.
            StoreError: the store could not keep an answer.
        """
        methods: dict[str, Callable[[Any], Any]] = {
            "completions": self._store.completions,
            "put_completions": self._store.put_completions,
            "settle": lambda what: self._booked().settle(*what),
        }
        try:
            asked = self._ray.get(self.asked)
        except lost_errors(self._ray) as error:
            raise Failed("--ray: the actor that completions pass through was lost; --resume goes on") from error
        answers: dict[int, Any] = {}
        for number, method, what in asked:
            if method == "admit":  # answered when it is decided
                self._booked().admit(number, *what)
            else:
                answers[number] = methods[method](what)
        self._answer(answers)
        self.asked = self.desk.take.remote()

    def lose(self, worker: int) -> None:
        """Counts what a lost worker had under way; what it left at the desk before is heard first.

        Raises:
            Failed, StoreError: as in `serve`.
        """
        if self._reservations is None:
            return
        while self._ray.wait([self.asked], timeout=0)[0]:
            self.serve()
        calls, tokens = self._reservations.lose(worker)
        if calls:
            count = sum(1 for _ in self._store.events(LOST))
            self._store.log(LOST, {f"{count:06d}": {"calls": calls, "tokens": tokens}})
        self._answer({})

    def _booked(self) -> Reservations:
        assert self._reservations is not None, "only workers of a metered run reserve calls"
        return self._reservations

    def _answer(self, answers: Mapping[int, Any]) -> None:
        """Answers, and those whose calls may now be made, or not."""
        decided = {} if self._reservations is None else self._reservations.decide()
        if answers or decided:
            self.desk.answer.remote({**answers, **decided})

    def stop(self) -> None:
        """Ends the desk."""
        self._ray.kill(self.desk)
