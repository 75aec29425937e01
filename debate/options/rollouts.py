"""Rollouts of the option game: every joint plan, played by agents that are forced to it, on the same questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from debate.agents.agent import Agent
from debate.league.cells import empirical_game
from debate.options.forced import force
from debate.options.game import plans_of
from debate.options.states import PlanSlot
from debate.transcript import Episode, Match
from games.empirical.samples import EmpiricalGame


def forced_populations(
    slots: Sequence[PlanSlot], sitting: Mapping[str, Agent]
) -> tuple[dict[str, list[str]], list[Agent]]:
    """For each seat its agent forced to each of its plans.

    Args:
        slots: where plan moves are picked.
        sitting: seat → agent.

    Returns:
        Seat → policy ids, in the order of `plans_of` (a seat that never picks keeps its agent); and the new agents.
    """
    keys = {(a.policy.id, plan): a for seat, a in sitting.items() for plan in plans_of(slots, seat) if plan}
    agents = force([(agent, plan) for (_, plan), agent in keys.items()])
    names = {key: agent.policy.id for key, agent in zip(keys, agents, strict=True)}
    populations = {
        seat: [names[agent.policy.id, plan] if plan else agent.policy.id for plan in plans_of(slots, seat)]
        for seat, agent in sitting.items()
    }
    return populations, agents


def plan_matches(
    arena: str, populations: Mapping[str, Sequence[str]], questions: Sequence[str], repeats: int = 1
) -> Iterator[Match]:
    """One match for each joint plan, question and repeat; its id says all three, so that none is ever played twice."""
    seats = list(populations)
    for profile in product(*populations.values()):
        lineup = dict(zip(seats, profile, strict=True))
        for question in questions:
            for repeat in range(repeats):
                yield Match(f"options/{arena}/{'+'.join(profile)}/{question}/{repeat}", arena, question, lineup)


def option_samples(
    episodes: Iterable[Episode],
    slots: Sequence[PlanSlot],
    populations: Mapping[str, Sequence[str]],
    criteria: Sequence[str],
) -> EmpiricalGame:
    """The empirical game over sequences of plan moves; clusters are questions.

    Raises:
        ValueError: no episodes.
    """
    played = empirical_game(episodes, populations, criteria)
    names = [[" → ".join(plan) or "(no plan)" for plan in plans_of(slots, seat)] for seat in populations]
    return EmpiricalGame.from_samples(
        played.profiles, played.rewards, played.clusters, played.players, played.objectives, names
    )
