"""Who plays whom in an update: the current policies against each other, or one against a draw from the population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from debate.preference import base_id
from debate.seeds import generator
from debate.transcript import Match


@dataclass(frozen=True)
class Lineups:
    """What a plan draws from.

    Attributes:
        live: seat → id of the policy being trained (or of the fixed one that sits there).
        learning: the seats whose policy learns.
        population: seat → snapshot ids.
        mixture: seat → probabilities of the snapshots (the meta-strategy).
        self_play: probability that all seats are live.
    """

    live: Mapping[str, str]
    learning: Sequence[str]
    population: Mapping[str, Sequence[str]]
    mixture: Mapping[str, Sequence[float]]
    self_play: float


def plan_update(
    arena: str, update: int, questions: Sequence[str], groups: int, group_size: int, lineups: Lineups, seed: int
) -> list[Match]:
    """The matches of one update: `groups` questions, `group_size` matches on each with one line-up.

    Outside self-play one learning seat, each in its turn, meets the others' meta-strategy; it alone then learns, since
    the others act with frozen policies.

    Raises:
        ValueError: fewer questions than groups.
    """
    if len(questions) < groups:
        raise ValueError(f"arena {arena}: an update needs {groups} questions, the training data has {len(questions)}")
    chosen = generator(seed, "questions", arena, update).permutation(len(questions))[:groups]
    matches = []
    for group, index in enumerate(chosen):
        rng = generator(seed, "lineup", arena, update, group)
        seats = _lineup(lineups, group, rng)
        name = f"train/{update:05d}/{arena}/{group:03d}"
        matches += [
            Match(f"{name}/{repeat:03d}", arena, questions[index], seats, group=name) for repeat in range(group_size)
        ]
    return matches


def _lineup(lineups: Lineups, group: int, rng: np.random.Generator) -> dict[str, str]:
    seats = dict(lineups.live)
    if len(seats) < 2 or not lineups.learning or rng.random() < lineups.self_play:
        return seats
    focus = lineups.learning[group % len(lineups.learning)]
    for seat in seats:
        if seat != focus and lineups.population.get(seat):
            seats[seat] = str(rng.choice(list(lineups.population[seat]), p=np.asarray(lineups.mixture[seat])))
    return seats


def moved_ahead(match: Match, live: Mapping[str, str], ahead: Mapping[str, str]) -> Match:
    """The same match with the policies that an extragradient step looks ahead to in the place of the live ones.

    Args:
        match: as planned.
        live: seat → policy that is moved where it sits in the match.
        ahead: seat → the policy it becomes.
    """
    seats = {
        seat: policy.replace(live[seat], ahead[seat], 1) if seat in ahead and base_id(policy) == live[seat] else policy
        for seat, policy in match.seats.items()
    }
    group = f"{match.group}/ahead" if match.group else ""
    return replace(match, id=f"{match.id}/ahead", seats=seats, group=group)
