"""Plays a tournament's rounds wave by wave: what the store holds is read, the rest played and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from debate.agents.agent import Agent
from debate.errors import UserError
from debate.play import Arena, Player, play
from debate.progress import Progress
from debate.run.store import Store
from debate.run.waves import waves
from debate.tournaments.budget import LOST, Meter, episode_cost
from debate.tournaments.formats import rounds
from debate.tournaments.pairing import Field
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan
from debate.transcript import Episode, Match
from judges.types import Cost

WAVE = 256  # matches in the air, and in one commit


def play_here(arena: Arena, matches: Sequence[Match], cast: Mapping[str, Agent], seed: int) -> list[Episode]:
    """Plays matches in this process."""
    return asyncio.run(play(arena, matches, cast, seed))


def play_tournament(
    field: Field,
    plan: Plan,
    arena: Arena,
    cast: Mapping[str, Agent],
    store: Store,
    results: Results,
    meter: Meter,
    progress: Progress,
    wave: int = WAVE,
    uncached: Iterable[str] = (),
    player: Player = play_here,
    sealed: str = "",
) -> None:
    """Plays until the format's end; `results` then holds every match.

    Args:
        field: who competes.
        plan: what is played.
        arena: the game.
        cast: the agents by policy id.
        store: where matches are kept.
        results: filled as matches come in.
        meter: the budgets.
        progress: where to report to.
        wave: matches in the air at once.
        uncached: policies whose completions the store does not keep: what they cost is read from stored matches.
        player: plays a wave, in this process or on Ray.
        sealed: why no match may be played, only read; "" where they may.

    Raises:
        BudgetSpent: a budget is used up; everything that was acknowledged is stored.
        UserError: a match of a sealed run was never played.
    """
    uncached = tuple(uncached)
    for number, matches in enumerate(rounds(field, plan, results)):
        for episodes in play_waves(matches, arena, cast, store, meter, field.seed, wave, uncached, player, sealed):
            for episode in episodes:
                results.add(episode)
            progress.advance(len(episodes), f"round {number + 1}")


def play_waves(
    matches: Iterable[Match],
    arena: Arena,
    cast: Mapping[str, Agent],
    store: Store,
    meter: Meter,
    seed: int,
    wave: int = WAVE,
    uncached: Iterable[str] = (),
    player: Player = play_here,
    sealed: str = "",
) -> Iterator[list[Episode]]:
    """Episodes of planned matches, wave by wave and in order; those that the store holds are not played again.

    Arguments and errors are those of `play_tournament`.
    """
    uncached = tuple(uncached)
    for planned in waves(matches, wave):
        known = {match.id: episode for match in planned if (episode := stored(store, match.id)) is not None}
        for episode in known.values():
            meter.cost += episode_cost(episode, uncached)
        missing = [match for match in planned if match.id not in known]
        if missing and sealed:
            raise UserError(f"{store.path.parent}: {sealed}, and match {missing[0].id!r} is not in it")
        if missing:
            meter.check()
            before = meter.clock()
            with store.unhurt():
                fresh = player(arena, missing, cast, seed)
            with store.batch():
                store.put_many(fresh)
                store.log("seconds", {missing[0].id: {"seconds": meter.clock() - before}})
            known.update({episode.match.id: episode for episode in fresh})
        yield [known[match.id] for match in planned]


def stored(store: Store, match_id: str) -> Episode | None:
    """The stored episode, without the cost of a full read where there is none."""
    return store.get(match_id) if match_id in store else None


def spent_before(store: Store, limits: Mapping[str, float], clock: Callable[[], float]) -> Meter:
    """A meter that knows what earlier sessions paid: their kept completions, calls lost with workers, and seconds."""
    seconds = sum(float(row["seconds"]) for _, row in store.events("seconds"))
    cost = store.completions_cost()
    for _, row in store.events(LOST):
        cost += Cost(int(row["calls"]), 0, int(row["tokens"]))
    return Meter(limits, cost, seconds, clock)
