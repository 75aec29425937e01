"""One seed: a tournament under its fault plan, held against the same tournament without faults.

What must hold:

1. The tournament comes to its end, however often the worker died on the way.
2. Every match is stored once, whole, and nothing else is: nothing lost, nothing twice.
3. A match without a doomed call is exactly the match without faults; so is the table where no call is doomed.
4. A match with a doomed call is a counted failure and has no reward.
5. No call is paid for twice, except where its answer was lost on the line or with the worker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.engines.retrying import Backoff, RetryingCompleter
from debate.errors import Failed
from debate.play import Arena, play
from debate.progress import Silent
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.run.cache import CachingCompleter
from debate.run.codec import encode_transcript
from debate.run.store import Store
from debate.simulation.clock import VirtualLoop
from debate.simulation.model import rule_model
from debate.simulation.plan import FaultPlan, Happened
from debate.simulation.wire import Wire, WorkerDied
from debate.tournaments.budget import Meter
from debate.tournaments.pairing import Field
from debate.tournaments.play import play_tournament
from debate.tournaments.results import Results
from debate.tournaments.spec import FORMATS, Plan
from debate.tournaments.standings import standings
from debate.transcript import Episode, Match, Policy
from judges.judges.llm import LLMJudge
from judges.rules import make_rule
from judges.types import Completer

BACKOFF = Backoff(attempts=6)
MOST_LIVES = 20
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the worker dies, not the machine: no need for a disk
Guard = Callable[[Wire], Completer]


class SimulationFailed(Failed):
    """What must hold did not; the message has the seed and the faults it expands to."""

    def __init__(self, seed: int, what: str, plan: FaultPlan, happened: Sequence[Happened]) -> None:
        lines = [f"  {fault}" for fault in happened] or ["  none"]
        super().__init__(
            f"seed {seed}: {what}\n{plan}\nfaults that happened:\n"
            + "\n".join(lines)
            + f"\nagain: python -m debate.simulation {seed}"
        )
        self.seed, self.what, self.happened = seed, what, tuple(happened)


@dataclass(frozen=True, eq=False)
class Played:
    """A simulated tournament: its matches by id, its table, and its number of lives."""

    episodes: dict[str, Episode]
    table: dict[str, Any]
    lives: int


def guarded(wire: Wire) -> Completer:
    """The client that real engines use, on a wire."""
    return RetryingCompleter(wire.ask, BACKOFF, timeout=30.0, concurrency=8)


def simulate(seed: int, plan: FaultPlan | None = None, guard: Guard = guarded) -> Played:
    """Plays the tournament of a seed under its faults and holds it to the five rules.

    Args:
        seed: of the faults, and of which format is played.
        plan: in place of the seed's.
        guard: the client on the wire; another one in tests that plant a bug.

    Raises:
        SimulationFailed: a rule is broken.
    """
    plan = plan or FaultPlan.draw(seed)
    kind = FORMATS[seed % len(FORMATS)]
    wire = Wire(rule_model, plan)

    def fail(what: str) -> SimulationFailed:
        return SimulationFailed(seed, what, plan, wire.happened)

    with TemporaryDirectory(prefix="debate-simulation-", dir=MEMORY) as folder:
        path = Path(folder) / "store.sqlite"
        try:
            found, kept = live(kind, wire, guard, path)
        except SimulationFailed:
            raise
        except Exception as error:  # whatever breaks in a simulated run is told with its seed and faults
            raise fail(f"{type(error).__name__}: {error}") from error
    expected = faultless(kind)
    doomed = any(plan.is_doomed(call) for call in wire.tries)
    # A failed match may lead the later rounds of a format elsewhere; what both played must still be the same.
    if (not doomed or kind == "round_robin") and found.episodes.keys() != expected.episodes.keys():
        raise fail(f"{len(found.episodes)} matches are stored, {len(expected.episodes)} were to be played")
    for match_id in found.episodes.keys() & expected.episodes.keys():
        problem = compare(found.episodes[match_id], expected.episodes[match_id])
        if problem:
            raise fail(f"match {match_id}: {problem}")
    failed = [e for e in found.episodes.values() if e.failure is not None]
    if failed and not doomed:
        raise fail(f"match {failed[0].match.id} failed ({failed[0].failure}), and no call was doomed")
    if not failed and found.table != expected.table:
        raise fail("the table is not the one without faults")
    if sum(found.table["failures"].values()) != len(failed):
        raise fail(f"{len(failed)} matches failed, the table counts {found.table['failures']}")
    for call, paid in wire.served.items():
        lost = wire.lost[call] + kept[call]
        if paid > 1 + lost:
            raise fail(f"call {call[:12]} was paid {paid} times, and its answer was lost {lost} times")
    return found


def live(kind: str, wire: Wire, guard: Guard, path: Path) -> tuple[Played, dict[str, int]]:
    """Lives until the tournament is over; also how many paid answers died with the worker, by call."""
    died: dict[str, int] = dict.fromkeys(wire.served, 0)
    for life in range(1, MOST_LIVES + 1):
        before = dict(wire.served)
        with Store(path) as store:
            try:
                results = one_life(kind, wire, guard, store)
            except WorkerDied:
                for call, paid in wire.served.items():
                    if paid > before.get(call, 0) and store.completion(call) is None:
                        died[call] = died.get(call, 0) + 1
                continue
            problems = store.check()
            if problems:
                raise RuntimeError(f"the store is damaged: {problems}")
            episodes = {episode.match.id: episode for episode in store.episodes()}
            if len(store) != results.matches:
                raise RuntimeError(f"{len(store)} matches are stored, the table counts {results.matches}")
            return Played(episodes, standings(results), life), {call: died.get(call, 0) for call in wire.served}
    raise RuntimeError(f"not over after {MOST_LIVES} lives")


def one_life(kind: str, wire: Wire, guard: Guard, store: Store) -> Results:
    """From the store's state to the end, or to the worker's death."""
    field, plan, arena, cast = scene(kind, CachingCompleter(guard(wire), store))
    results = Results(field, plan.criterion)
    meter = Meter(clock=lambda: 0.0)
    play_tournament(field, plan, arena, cast, store, results, meter, Silent(), wave=8, player=play_in_virtual_time)
    return results


def play_in_virtual_time(arena: Arena, matches: Sequence[Match], cast: Mapping[str, Agent], seed: int) -> list[Episode]:
    """Plays matches in a loop whose time passes at once."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(play(arena, matches, cast, seed))


def scene(kind: str, completer: Completer) -> tuple[Field, Plan, Arena, dict[str, Agent]]:
    """A small tournament: three agents and the judge speak through one completer."""
    protocol = load_protocol("debate_simultaneous", {"rounds": 1, "tokens": 12})
    questions = tuple(
        Question(f"q{k}", f"Is statement {k} true?", ("yes", "no"), k % 2, f"Statement {k}.") for k in range(2)
    )
    speaker = LanguageSpeaker(completer, max_tokens=12)
    names = ("ada", "ben", "cyd")
    cast = {f"{name}-v0": Agent(Policy(name, 0, "rule"), speaker) for name in names}
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    judge = LLMJudge(completer, "Who is right?", swap=True, name="rule", model="rule")
    arena = Arena("debate", protocol, {q.id: q for q in questions}, (judge,), rules)
    field = Field("debate", protocol, tuple(cast), ("A", "B"), {}, questions, 7)
    plan = Plan(
        kind,
        names,
        questions=2,
        repeats=1,
        rounds=2,
        matches=14,
        batch=2,
        epsilon=0.0,
        criterion="margin",
        self_play=False,
        baselines=False,
        resamples=1,
    )
    return field, plan, arena, cast


@cache
def faultless(kind: str) -> Played:
    """The same tournament where nothing goes wrong."""
    wire = Wire(rule_model, FaultPlan(0, rate=0.0))
    with TemporaryDirectory(prefix="debate-simulation-", dir=MEMORY) as folder:
        return live(kind, wire, guarded, Path(folder) / "store.sqlite")[0]


def compare(found: Episode, expected: Episode) -> str:
    """What is wrong with a match; nothing where it is as it must be."""
    if found.failure is not None:
        if found.failure.kind not in ("completion", "verdict"):
            return f"failed with {found.failure}"
        if found.rewards is not None and np.isfinite(_judged(found)).any():
            return f"failed ({found.failure.kind}), and has rewards {found.rewards.values.tolist()}"
        return ""
    for name, one, other in (
        ("transcript", encode_transcript(found.transcript), encode_transcript(expected.transcript)),
        ("verdicts", found.verdicts, expected.verdicts),
    ):
        if one != other:
            return f"another {name} than without faults"
    if found.rewards is None or expected.rewards is None:
        return "has no rewards"
    if not np.array_equal(found.rewards.values, expected.rewards.values, equal_nan=True):
        return "other rewards than without faults"
    return ""


def _judged(episode: Episode) -> np.ndarray:
    """The rewards that a verdict pays."""
    assert episode.rewards is not None
    paid = [k for k, name in enumerate(episode.rewards.criteria) if name in ("win", "margin", "truth")]
    return np.asarray(episode.rewards.values[:, paid])
