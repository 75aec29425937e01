"""A run on Ray: the engines the cast is given, and how a wave of matches is played."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from debate.agents.agent import Agent
from debate.errors import UserError
from debate.play import Arena
from debate.progress import Progress
from debate.recipe import Recipe
from debate.run.store import Store
from debate.scale.actors import Dressing, needed
from debate.scale.cluster import ScaleSpec, connected, worker_claim
from debate.scale.engine import RemoteEngine
from debate.scale.pool import Pool
from debate.tournaments.budget import Meter
from debate.transcript import Episode, Match
from judges.types import Case, Verdict


class RayRun:
    """What a session needs to play and learn on Ray."""

    def __init__(self, ray: Any, pool: Pool, recipe: Recipe) -> None:
        self._ray, self._recipe = ray, recipe
        self.pool = pool
        self._named = {f"{agent.name}-v0" for agent in recipe.agents}

    def make_engine(self, kind: str, model: str, options: Mapping[str, Any]) -> RemoteEngine:
        """Stands in for `debate.cast.make_engine`."""
        return RemoteEngine(self._ray, self.pool, kind, model, options)

    def play(self, arena: Arena, matches: Sequence[Match], cast: Mapping[str, Agent], seed: int) -> list[Episode]:
        """Stands in for `debate.play.play`: the same episodes."""
        return self.pool.play(arena.name, matches, self._dressing(cast, needed(matches)), seed)

    def judge(self, arena: Arena, place: int, number: int, cases: Sequence[Case]) -> list[Verdict]:
        """Stands in for `debate.tournaments.baselines.ask_here`: the same verdicts."""
        return self.pool.judge(arena.name, place, number, cases)

    def keep_in(self, store: Store, meter: Meter | None = None) -> None:
        """Lets workers keep the completions of costly engines in the run's store, and reserve all calls on its meter.

        To be said before anything is asked of the workers.
        """
        if meter is not None or costly(self._recipe):
            self.pool.store, self.pool.meter = store, meter

    def _dressing(self, cast: Mapping[str, Agent], policies: set[str]) -> Dressing:
        from debate.agents.exploring import Exploring
        from debate.agents.replay import Replaying
        from debate.cast import Cast

        dressing, inner = Dressing(), cast
        if isinstance(inner, Replaying):
            dressing, inner = replace(dressing, replies=inner.table), inner.cast
        if isinstance(inner, Exploring):
            dressing, inner = replace(dressing, guides=inner.guides), inner.cast
        assert isinstance(inner, Cast)
        own = self._named | set(self.pool.published())
        return replace(dressing, agents=tuple(inner[policy] for policy in sorted(policies - own)))

    @contextmanager
    def within(self, recipe: Recipe, questions: Mapping[str, Sequence[Any]], progress: Progress) -> Iterator[RayRun]:
        """Another run on the same cluster, in the room of this one, whose actors end and come back when it is over."""
        self.pool.rest()
        inner = _run(self._ray, self.pool.spec, recipe, questions, progress)
        try:
            yield inner
        finally:
            inner.pool.rest()


def costly(recipe: Recipe) -> bool:
    """Whether anybody speaks or judges with an engine whose answers are worth keeping."""
    judges = [judge for arena in recipe.arenas for judge in arena.judges]
    return any(a.kind not in ("nano", "scripted") for a in recipe.agents) or any(j.kind == "llm" for j in judges)


@contextmanager
def on_ray(
    scale: ScaleSpec | RayRun,
    recipe: Recipe,
    questions: Mapping[str, Sequence[Any]],
    progress: Progress,
    learns: bool = True,
) -> Iterator[RayRun]:
    """A run's workers and learners, for as long as the session lasts.

    Args:
        scale: where, and how many; or the run whose room this one takes for a while.
        recipe: the run's; nodes need the models it names, not its data.
        questions: arena → all its questions.
        progress: told of what was lost.
        learns: whether there will be learners beside the workers.

    Raises:
        UserError: as in `debate.scale.cluster.connected`; or a person plays.
    """
    people = [agent.name for agent in recipe.agents if agent.kind == "human"]
    if people:
        raise UserError(f"--ray: agent {people[0]} is a human, who plays in this process only")
    if isinstance(scale, RayRun):
        with scale.within(recipe, questions, progress) as run:
            yield run
        return
    learners = {name for arena in recipe.arenas for name in recipe.learners(arena).values() if learns}
    with connected(scale, len(learners)) as ray:
        run = _run(ray, scale, recipe, questions, progress)
        try:
            yield run
        finally:
            run.pool.rest()


def _run(
    ray: Any, spec: ScaleSpec, recipe: Recipe, questions: Mapping[str, Sequence[Any]], progress: Progress
) -> RayRun:
    there = replace(recipe, folder=Path(os.path.abspath(recipe.folder)))
    return RayRun(ray, Pool(ray, spec, worker_claim(recipe), there, dict(questions), progress), recipe)
