"""From a plan of matches to what the learners learn from: episodes, samples, advantages, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from debate.agents.replay import Replaying
from debate.learning.batch import TokenBatch
from debate.learning.branches import branch_samples, known_replies, plan_forks
from debate.learning.samples import Sample, gather
from debate.recipe import ArenaSpec, Recipe
from debate.session import Session
from debate.transcript import Episode, Match


@dataclass(frozen=True)
class Experience:
    """What an update learns from.

    Attributes:
        live: learning seat → id of the policy that played there.
        episodes: as played.
        batches: agent → its rows with their advantages.
        credit: agent → how the advantages came about.
        left_out: agent → what was excluded, by reason.
    """

    live: Mapping[str, str]
    episodes: list[Episode]
    batches: dict[str, TokenBatch]
    credit: dict[str, Any]
    left_out: dict[str, Mapping[str, int]]


def gain_experience(
    session: Session, spec: ArenaSpec, plan: Sequence[Match], learning: Mapping[str, str], live: Mapping[str, str]
) -> Experience:
    """Plays a plan and turns what the learning policies did into batches.

    Args:
        session: the run.
        spec: the arena.
        plan: its matches.
        learning: seat → agent that learns there.
        live: seat → id of the policy with which it plays.
    """
    recipe = session.paying(spec)
    cast = session.training_cast()
    episodes = list(session.play("train", plan, advance=False, cast=cast))
    # Where credit is by branches, every turn is played on from, and it is the candidates that are learned from.
    forks = plan_forks(episodes, live, recipe.training.credit, recipe.seed) if branching(recipe) else []
    replaying = Replaying(cast, known_replies(forks, episodes, recipe.seed))
    continued = list(session.play("train", [fork.match for fork in forks], advance=False, cast=replaying))
    gained = Experience(live, episodes, {}, {}, {})
    for name, policy in {name: live[seat] for seat, name in learning.items()}.items():
        if branching(recipe):
            samples, gained.left_out[name] = branch_samples(episodes, forks, continued, policy)
        else:
            samples, gained.left_out[name] = gather(episodes, policy)
        states = partial(states_of, session.cast.learners[name])
        found = session.credit[name].assign(samples, states, session.update, session.frozen(spec))
        gained.credit[name] = found
        gained.batches[name] = TokenBatch.from_samples(samples, found.advantages)
    return gained


def branching(recipe: Recipe) -> bool:
    """Whether credit comes from playing on from every turn."""
    return recipe.training.credit.estimator == "branch"


def states_of(learner: Any, samples: Sequence[Sample]) -> Any:
    """[T, H] a learner's hidden state before each turn of some samples."""
    return learner.turn_states(TokenBatch.from_samples(samples, np.zeros(len(samples))))
