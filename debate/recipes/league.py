"""The `league` section of a recipe: who trains against whom, and what watches over it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from debate.league.alarms import Limits
from debate.reader import Fields

META_SOLVERS = ("nash", "uniform", "last", "alpharank", "prd", "cce", "ce", "prioritised")


@dataclass(frozen=True, slots=True)
class GuardSpec:
    """The battery and what is done about a fall (see `debate.league.guard`).

    Attributes:
        questions: held-out questions of each task.
        alpha, margin: of the test.
        tasks: names of the arenas that are played as tasks; empty: all.
        roll_back: whether an agent that fell goes back to its last good snapshot; else it is only reported.
    """

    questions: int
    alpha: float = 0.05
    margin: float = 0.0
    tasks: tuple[str, ...] = ()
    roll_back: bool = True


@dataclass(frozen=True, slots=True)
class LeagueSpec:
    """When snapshots join, whom the current policies meet, and what is measured when they do.

    Attributes:
        snapshot_every: updates of an epoch; 0: snapshots at the start and the end alone.
        self_play: probability that a group is played by the current policies alone; 0 is PSRO, whose epochs train best
            responses to the meta-strategy.
        meta: how the others are drawn (see `debate.league.meta`).
        questions: of each cell of the empirical game, at most.
        first: questions of each cell before more is spent where it narrows NashConv most; 0: all of them at once.
        average: questions of a cell on average, once that is spent; used with `first`.
        start: what an epoch starts from: "live" (the current weights) or "first" (version 0, a fresh best response).
        resamples: of the bootstrap behind the interval of NashConv.
        exploiter: updates of the exploiter that is trained against the last meta-strategy after the run; 0: none.
        alarms: limits of the alarms of degenerate play; None: off.
        guard: the battery; None: none.
    """

    snapshot_every: int = 0
    self_play: float = 1.0
    meta: str = "nash"
    questions: int = 0
    first: int = 0
    average: int = 0
    start: Literal["live", "first"] = "live"
    resamples: int = 200
    exploiter: int = 0
    alarms: Limits | None = field(default_factory=Limits)
    guard: GuardSpec | None = None


def read_league(top: Fields, arenas: tuple[str, ...]) -> LeagueSpec:
    """The section, checked; defaults where it is missing.

    Raises:
        UserError: with the field and what was expected.
    """
    section = top.child("league", optional=True)
    if section is None:
        return LeagueSpec()
    share = section.take("self_play", float, 0.5)
    if not 0.0 <= share <= 1.0:
        raise section.error("self_play", f"expected a share between 0 and 1, got {share}")
    questions = section.positive("questions", 32)
    first = section.positive("first", 0, least=0)
    average = section.positive("average", (first + questions + 1) // 2)
    if first > questions:
        raise section.error("first", f"expected at most questions ({questions}), got {first}")
    if not first <= average <= questions:
        raise section.error("average", f"expected first ({first}) to questions ({questions}), got {average}")
    spec = LeagueSpec(
        snapshot_every=section.positive("snapshot_every", 0, least=0),
        self_play=share,
        meta=section.take("meta", str, "nash", META_SOLVERS),
        questions=questions,
        first=first,
        average=average,
        start=section.take("start", str, "live", ("live", "first")),
        resamples=section.positive("resamples", 200),
        exploiter=section.positive("exploiter", 0, least=0),
        alarms=_alarms(section),
        guard=_guard(section, arenas),
    )
    section.done()
    return spec


def _alarms(section: Fields) -> Limits | None:
    if section.data.get("alarms") is False:
        section.ignore("alarms")
        return None
    given = section.child("alarms", optional=True)
    if given is None:
        return Limits()
    values: dict[str, Any] = {}
    for limit in fields(Limits):
        if limit.name in given:
            values[limit.name] = given.take(limit.name, int if limit.name == "window" else float)
    given.done()
    try:
        return Limits(**values)
    except ValueError as error:
        raise section.error("alarms", str(error)) from None


def _guard(section: Fields, arenas: tuple[str, ...]) -> GuardSpec | None:
    given = section.child("guard", optional=True)
    if given is None:
        return None
    spec = GuardSpec(
        questions=given.positive("questions"),
        alpha=given.take("alpha", float, 0.05),
        margin=given.take("margin", float, 0.0),
        tasks=given.strings("tasks", [], arenas),
        roll_back=given.take("roll_back", bool, True),
    )
    if not 0 < spec.alpha < 1:
        raise given.error("alpha", f"expected a level between 0 and 1, got {spec.alpha}")
    if spec.margin < 0:
        raise given.error("margin", f"expected a fall of at least 0, got {spec.margin}")
    given.done()
    return spec
