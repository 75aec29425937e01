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
from debate.scale.actors import Dressing, needed
from debate.scale.cluster import ScaleSpec, connected, worker_claim
from debate.scale.engine import RemoteEngine
from debate.scale.pool import Pool
from debate.transcript import Episode, Match


class RayRun:
    """What a session needs to play and learn on Ray."""

    def __init__(self, ray: Any, pool: Pool, recipe: Recipe) -> None:
        self._ray = ray
        self.pool = pool
        self._named = {f"{agent.name}-v0" for agent in recipe.agents}

    def make_engine(self, kind: str, model: str, options: Mapping[str, Any]) -> RemoteEngine:
        """Stands in for `debate.cast.make_engine`."""
        return RemoteEngine(self._ray, self.pool, kind, model, options)

    def play(self, arena: Arena, matches: Sequence[Match], cast: Mapping[str, Agent], seed: int) -> list[Episode]:
        """Stands in for `debate.play.play`: the same episodes."""
        return self.pool.play(arena.name, matches, self._dressing(cast, needed(matches)))

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
def on_ray(
    spec: ScaleSpec, recipe: Recipe, questions: Mapping[str, Sequence[Any]], progress: Progress
) -> Iterator[RayRun]:
    """A run's workers and learners, for as long as the session lasts.

    Args:
        spec: where, and how many.
        recipe: the run's; nodes need the models it names, not its data.
        questions: arena → all its questions.
        progress: told of what was lost.

    Raises:
        UserError: as in `debate.scale.cluster.connected`; a person plays; or the recipe wants what runs in one process
            only (a guard, extragradient).
    """
    people = [agent.name for agent in recipe.agents if agent.kind == "human"]
    if people:
        raise UserError(f"--ray: agent {people[0]} is a human, who plays in this process only")
    if recipe.league.guard is not None:
        raise UserError("--ray: league.guard measures learners in this process; it does not work on Ray yet")
    ahead = [agent.name for agent in recipe.agents if agent.options.get("lookahead") == "extragradient"]
    if ahead:
        raise UserError(f"--ray: agent {ahead[0]}: lookahead: extragradient does not work on Ray yet")
    learners = {name for arena in recipe.arenas for name in recipe.learners(arena).values()}
    with connected(spec, len(learners)) as ray:
        there = replace(recipe, folder=Path(os.path.abspath(recipe.folder)))
        pool = Pool(ray, spec, worker_claim(recipe), there, dict(questions), progress)
        yield RayRun(ray, pool, recipe)
