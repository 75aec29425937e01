"""What runs inside Ray's processes: a rollout worker, and the learner of a device group. Only the cache knows of Ray.

Constructors do next to nothing: what `setup` raises reaches the driver as it is, what a constructor raises does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from debate.agents.agent import Agent
from debate.errors import Failed
from debate.play import Arena, play
from debate.preference import base_id
from debate.recipe import Recipe, build_arena
from debate.scale.weights import Arrays, digest
from debate.transcript import Episode, Match, Policy
from judges.types import Case, Completion, Request, Verdict


class WrongPolicy(Failed):
    """A worker was asked for weights that it does not hold under that name."""


@dataclass(frozen=True)
class Dressing:
    """How the cast of a wave differs from the plain one.

    Attributes:
        guides: policy id → guide by which it picks its plans in training.
        replies: seed of an ask → reply that is known already.
        agents: agents that the recipe does not name, such as scripted baselines.
    """

    guides: Mapping[str, Any] = field(default_factory=dict)
    replies: Mapping[int, Any] = field(default_factory=dict)
    agents: tuple[Agent, ...] = ()


class RolloutWorker:
    """Plays matches with engines of its own; judges and reward rules run here too."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._held: dict[str, str] = {}
        self._arenas: dict[str, Arena] = {}
        self._meter: Any = None

    def setup(
        self, recipe: Recipe, questions: Mapping[str, Sequence[Any]], desk: Any = None, metered_as: int = 0
    ) -> dict[str, str]:
        """Builds engines, agents, judges and arenas.

        Args:
            recipe: the run's.
            questions: arena → its questions.
            desk: the way to the driver's store (`debate.scale.desk.Desk`), where completions are kept.
            metered_as: its number among the workers, where the driver's meter must admit every call; else 0.

        Returns:
            Policy id → digest of the weights it starts with.

        Raises:
            UserError: a model, a device or a file is not there.
        """
        from debate.cast import Cast
        from debate.judging import build_judges

        measure = None
        if metered_as:
            import ray

            from debate.scale.reservations import DeskMeter
            from debate.tournaments.budget import metered

            self._meter = DeskMeter(ray, desk, metered_as)
            measure = metered(self._meter)
        self._cast = Cast(recipe, None if desk is None else _cached(desk), teach=False, measure=measure)
        for spec in recipe.arenas:
            judges = build_judges(spec, recipe, self._cast)
            self._arenas[spec.name] = build_arena(spec, questions[spec.name], judges)
        for agent in recipe.agents:
            if agent.learns:
                policy = self._cast.live[agent.name]
                engine = self._cast.engine(agent.kind, agent.model, agent.options)
                self._held[policy.id] = digest(engine.first_weights(policy, agent.options))
        return dict(self._held)

    def publish(self, policy: str, weights: Arrays) -> str:
        """Takes a version of an agent's weights in; returns what it now holds under that name."""
        if policy in self._held and self._held[policy] != digest(weights):
            raise WrongPolicy(f"policy {policy!r} is held here with other weights; a version never changes")
        name, _, version = policy.rpartition("-v")
        self._cast.recall(name, int(version), weights)
        self._held[policy] = digest(weights)
        return self._held[policy]

    def forget(self, policy: str) -> None:
        """Drops a version that no match can ask for any more."""
        if policy in self._held:
            self._cast.drop(policy)
            del self._held[policy]

    def play(
        self, arena: str, matches: Sequence[Match], wanted: Mapping[str, str], dressing: Dressing, seed: int
    ) -> list[Episode]:
        """Plays matches to episodes, in order.

        Args:
            arena: of all of them.
            matches: what to play.
            wanted: policy id → digest of the weights that must speak for it.
            dressing: how the cast differs from the plain one.
            seed: of the moves.

        Raises:
            WrongPolicy: other weights, or none, are held under such a name.
        """
        for policy, expected in wanted.items():
            if (held := self._held.get(policy)) != expected:
                raise WrongPolicy(
                    f"policy {policy!r}: asked for weights {expected[:8]}, held are {(held or 'none')[:8]}"
                )
        for agent in dressing.agents:
            self._cast.add(agent)
        cast: Mapping[str, Agent] = self._cast
        if dressing.guides:
            from debate.agents.exploring import Exploring

            cast = Exploring(cast, dressing.guides)
        if dressing.replies:
            from debate.agents.replay import Replaying

            cast = Replaying(cast, dressing.replies)
        try:
            return asyncio.run(play(self._arenas[arena], matches, cast, seed))
        finally:
            self._flush()

    def judge(self, arena: str, place: int, number: int, cases: Sequence[Case]) -> list[Verdict]:
        """Verdicts without a match (`debate.tournaments.baselines.ask_here`)."""
        from debate.tournaments.baselines import ask_here

        try:
            return ask_here(self._arenas[arena], place, number, cases)
        finally:
            self._flush()

    def _flush(self) -> None:
        """Waits until the driver has counted what was spent."""
        if self._meter is not None:
            self._meter.flush()

    def complete(
        self, kind: str, model: str, options: Mapping[str, Any], wanted: Mapping[str, str], requests: Sequence[Request]
    ) -> list[Completion]:
        """Answers requests with the engine of these settings.

        Raises:
            WrongPolicy: as in `play`.
        """
        for policy, expected in wanted.items():
            if self._held.get(policy) != expected:
                raise WrongPolicy(f"policy {policy!r}: other weights are held under this name than asked for")
        return asyncio.run(self._cast.engine(kind, model, options).completer(requests))

    def traffic(self, kind: str, model: str, options: Mapping[str, Any]) -> Any:
        """What an engine of its own counted (`debate.engines.vllm.completer.Traffic`)."""
        return self._cast.engine(kind, model, options).completer.traffic

    def close(self) -> None:
        """Ends processes and removes files of the engines' own."""
        self._cast.close()


class GroupLearner:
    """The learners of agents that are trained on one device: one alone, or several over one base at once."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._joint: Any = None
        self._learners: dict[str, Any] = {}

    def setup(
        self, kind: str, model: str, agents: Mapping[str, tuple[Policy, Mapping[str, Any]]], joint: bool
    ) -> dict[str, Any]:
        """Builds the learners of these agents; agent → state.

        Raises:
            UserError: a model, a device or a file is not there.
        """
        from debate.scale.trainer import trainer

        engine = trainer(kind, model, next(iter(agents.values()))[1])
        if joint:
            self._joint = engine.joint_learner(agents)
            self._learners = dict(self._joint.members)
        else:
            self._learners = {name: engine.learner(policy, own) for name, (policy, own) in agents.items()}
        return self.states()

    def states(self) -> dict[str, Any]:
        """Agent → state, as its learner gives it."""
        return {name: learner.state() for name, learner in self._learners.items()}

    def load(self, states: Mapping[str, Any], bases: Mapping[str, Any]) -> None:
        """Brings states back; `bases` are those from which agents that have looked ahead take their next step."""
        for name, state in states.items():
            self._learners[name].load_state(*_own(state))
        for name, state in bases.items():
            self._learners[name].step_from(_own(state))

    def update(self, batches: Mapping[str, Any]) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
        """One update of every agent with a batch; its measurements, and the states after it."""
        if self._joint is not None:
            metrics = self._joint.update(batches)
        else:
            metrics = {name: self._learners[name].update(batch) for name, batch in batches.items()}
        return metrics, {name: self._learners[name].state() for name in batches}

    def look_ahead(self, name: str, batch: Any) -> tuple[dict[str, float], Any]:
        """Moves an agent to the point its next update looks ahead to; measurements, and the state there."""
        return self._learners[name].look_ahead(batch), self._learners[name].state()

    def turn_states(self, name: str, batch: Any) -> Any:
        """[N, H] an agent's hidden states before each turn of a batch."""
        return self._learners[name].turn_states(batch)

    def divergence(self, name: str, batch: Any, weights: Mapping[str, Any]) -> Any:
        """How far an agent is from other weights, in nats a unit."""
        return self._learners[name].divergence(batch, {key: array.copy() for key, array in weights.items()})


def _own(state: Any) -> Any:
    """A learner's state in memory of its own: arrays from the object store are read-only views that may go away."""
    arrays, meta = state
    return {key: array.copy() for key, array in arrays.items()}, meta


def _cached(desk: Any) -> Any:
    """Puts the run's completion cache around costly engines."""
    import ray

    from debate.run.cache import CachingCompleter
    from debate.scale.desk import DeskStore

    store = DeskStore(ray, desk)
    return lambda completer, name: CachingCompleter(completer, store, name)


def needed(matches: Sequence[Match]) -> set[str]:
    """Ids of the weights that act in some matches."""
    return {base_id(policy) for match in matches for policy in match.seats.values()}
