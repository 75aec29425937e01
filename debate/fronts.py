"""What agents that are told their preferences do with them: mean rewards over a grid of weights, and their front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from debate.evaluate import evaluation_matches
from debate.preference import grid, preferring, words
from debate.session import Session, live_seats
from debate.transcript import Episode


def fronts(session: Session) -> list[dict[str, Any]]:
    """One front for each seat of such an agent, on held-out questions, everybody else as they are now.

    Returns:
        Rows {arena, seat, agent, criteria, questions, points}; a point has its `weights`, the mean `rewards` (null
        where not known) and whether another point `dominates` it (null where a reward is not known).
    """
    rows = []
    for spec in session.recipe.arenas:
        arena = session.arenas[spec.name]
        questions = session.test_ids[spec.name][: session.recipe.evaluation]
        for seat, name in spec.seats.items():
            told = session.recipe.agent(name).preferences
            if told is None or not questions:
                continue
            points = grid(told.over, told.grid)
            session.progress.start(f"preferences of {name} in seat {seat}", len(points) * len(questions))
            means = []
            for weights in points:
                seats = live_seats(session, spec)
                seats[seat] = preferring(seats[seat], weights)
                stage = f"eval/preferences/{seat}/{words(weights)}"
                matches = evaluation_matches(arena, stage, questions, seats)
                means.append(_means(list(session.play(f"{stage}/{spec.name}", matches)), seat, told.over))
            rows.append(
                {
                    "arena": spec.name,
                    "seat": seat,
                    "agent": name,
                    "criteria": list(told.over),
                    "questions": len(questions),
                    "points": _points(points, np.array(means)),
                }
            )
    return rows


def _means(episodes: Sequence[Episode], seat: str, criteria: Sequence[str]) -> list[float]:
    """Mean of each criterion over the episodes in which it is known."""
    result = []
    for name in criteria:
        values = [
            float(e.rewards.values[e.rewards.seats.index(seat), e.rewards.criteria.index(name)])
            for e in episodes
            if e.rewards is not None and e.failure is None
        ]
        known = [value for value in values if math.isfinite(value)]
        result.append(math.fsum(known) / len(known) if known else math.nan)
    return result


def _points(weights: Sequence[dict[str, float]], means: np.ndarray) -> list[dict[str, Any]]:
    from games.vector.pareto import pareto_front

    known = np.isfinite(means).all(axis=1)
    best = np.zeros(len(means), dtype=bool)
    if known.any():
        best[known] = pareto_front(means[known])
    return [
        {
            "weights": w,
            "rewards": {n: float(v) if math.isfinite(v) else None for n, v in zip(w, row, strict=True)},
            "dominated": bool(not b) if k else None,
        }
        for w, row, b, k in zip(weights, means, best, known, strict=True)
    ]
