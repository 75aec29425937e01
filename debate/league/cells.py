"""The empirical game: every profile of policies on the same questions, one cell after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from debate.transcript import Episode, Match
from games.empirical.samples import EmpiricalGame


def cell_matches(arena: str, populations: Mapping[str, Sequence[str]], questions: Sequence[str]) -> Iterator[Match]:
    """One match for each profile and question; its id says both, so that no cell is ever played twice.

    Args:
        arena: name of the arena.
        populations: seat → policy ids.
        questions: ids; the same for all profiles, so that cells can be compared question by question.
    """
    seats = list(populations)
    for profile in product(*populations.values()):
        lineup = dict(zip(seats, profile, strict=True))
        for question in questions:
            yield cell_match(arena, lineup, question)


def cell_match(arena: str, lineup: Mapping[str, str], question: str) -> Match:
    """The match of one profile on one question."""
    return Match(f"cell/{arena}/{'+'.join(lineup.values())}/{question}", arena, question, dict(lineup))


def empirical_game(
    episodes: Iterable[Episode], populations: Mapping[str, Sequence[str]], criteria: Sequence[str]
) -> EmpiricalGame:
    """The game that cell episodes amount to: players are seats, strategies policies, clusters questions.

    A failed episode has unknown rewards; it is counted by the game, never averaged.

    Args:
        episodes: the cells' matches.
        populations: seat → policy ids.
        criteria: C names of the rewards.

    Raises:
        ValueError: no episodes.
    """
    seats = list(populations)
    index = {seat: {policy: i for i, policy in enumerate(policies)} for seat, policies in populations.items()}
    profiles: list[list[int]] = []
    clusters: list[str] = []
    values: list[np.ndarray] = []
    unknown = np.full((len(seats), len(criteria)), np.nan)
    for episode in episodes:
        profiles.append([index[seat][episode.match.seats[seat]] for seat in seats])
        clusters.append(episode.match.question_id)
        rewards = episode.rewards
        if rewards is None or episode.failure is not None:
            values.append(unknown)
        else:
            values.append(rewards.values[[rewards.seats.index(seat) for seat in seats]])
    if not values:
        raise ValueError("the empirical game has no episodes")
    return EmpiricalGame.from_samples(profiles, np.stack(values), clusters, seats, criteria, list(populations.values()))
