"""Which preferences the agents of a plan are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from debate.preference import draw, preferring
from debate.recipe import ArenaSpec, Recipe
from debate.transcript import Match


def with_preferences(plan: Iterable[Match], recipe: Recipe, spec: ArenaSpec) -> list[Match]:
    """The plan with weights drawn for every seat whose agent is conditioned on its preference.

    All matches of a group are played under one draw: they are compared with each other.
    """
    drawn = {seat: recipe.agent(name).preferences for seat, name in spec.seats.items()}
    if not any(drawn.values()):
        return list(plan)
    matches = []
    for match in plan:
        seats = {}
        for seat, policy in match.seats.items():
            told = drawn[seat]
            if told is not None:
                weights = draw(told.over, told.concentration, recipe.seed, match.group or match.id, seat)
                policy = preferring(policy, weights)
            seats[seat] = policy
        matches.append(replace(match, seats=seats))
    return matches
