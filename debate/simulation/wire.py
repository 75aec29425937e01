"""A remote model over a line that fails as planned, and the client that has to live with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from debate.engines.retrying import Transient
from debate.errors import UserError
from debate.run.cache import completion_key
from debate.run.codec import decode_completion, encode_completion
from debate.seeds import derive, unit
from debate.simulation.plan import PAID, FaultPlan, Happened
from judges.types import Completer, Completion, Request


class WorkerDied(BaseException):
    """The worker's process ends here and now; nobody may catch it."""


@dataclass
class Wire:
    """Calls of a remote model, one at a time, with the faults of a plan.

    Attributes:
        model: what answers at the other end.
        plan: what goes wrong.
        happened: every fault, in order.
        served: call → how often the model worked for it: what is paid.
        lost: call → how often work was paid whose answer never arrived.
        tries: call → tries of it.
    """

    model: Completer
    plan: FaultPlan
    happened: list[Happened] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    async def ask(self, request: Request) -> Completion:
        """One call.

        Raises:
            Transient, ConnectionError, WorkerDied: as planned. A planned time-out never comes back.
        """
        call = completion_key(request)
        attempt = self.tries[call]
        self.tries[call] += 1
        self.calls += 1
        number = self.calls
        if number in self.plan.deaths:
            self.happened.append(Happened(number, call, attempt, "the worker dies"))
            raise WorkerDied
        kind = self.plan.fault(call, attempt)
        if kind is not None:
            self.happened.append(Happened(number, call, attempt, kind))
        await asyncio.sleep(0.05 + unit(derive(self.plan.seed, call, attempt, "latency")))  # answers come in any order
        if kind == "429 too many requests":
            raise Transient("429 too many requests", retry_after=1.0 + attempt)
        if kind == "500 server error":
            raise Transient("500 server error")
        if kind == "connection reset":
            raise ConnectionResetError("by peer")
        if kind == "time-out before the work":
            await asyncio.sleep(1e6)
        self.served[call] += 1
        if kind in PAID:
            self.lost[call] += 1
        (answer,) = await self.model([request])
        if kind == "time-out after the work":
            await asyncio.sleep(1e6)
        if kind == "late reply":
            await asyncio.sleep(20.0)
        return read_reply(_damaged(encode_completion(answer), kind))


def read_reply(body: str) -> Completion:
    """The completion in a reply's body.

    Raises:
        Transient: the body is not one whole completion.
    """
    try:
        return decode_completion(body, "reply")
    except (UserError, KeyError, TypeError, ValueError) as error:
        raise Transient(f"the reply cannot be read: {error}") from None


def _damaged(body: str, kind: str | None) -> str:
    if kind == "truncated reply":
        return body[: len(body) * 2 // 3]
    if kind == "duplicated reply":
        return body + body
    if kind == "bad JSON":
        return "<html><body>502 Bad Gateway</body></html>"
    return body
