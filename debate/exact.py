"""Exact NashConv of a run's agents on the finite variant that its recipe names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from debate.bridge import CompiledGame, TabularPolicy, as_game, policy_of
from debate.play import Arena
from debate.session import Session
from games.learning.sampled import mixture
from games.measures import nash_conv
from judges.rules import make_rule


def finite_variant(session: Session) -> tuple[CompiledGame, int] | None:
    """The finite variant as an extensive game, and over how many questions; None where the recipe has none."""
    from debate.data import load_questions

    spec = session.recipe.exact
    if spec is None:
        return None
    questions = load_questions(spec.data, session.recipe.seed)
    rules = {c.name: make_rule(c.rule, **c.params) for c in spec.protocol.rewards}
    judges = session.arenas[session.recipe.main.name].judges
    arena = Arena("exact", spec.protocol, {q.id: q for q in questions}, judges, rules)
    return as_game(arena, [spec.criterion]), len(questions)


def exact_nash_conv(session: Session, compiled: CompiledGame, seats: Mapping[str, str]) -> tuple[float, TabularPolicy]:
    """NashConv when the given policies sit in the seats, and what they play, read off their option probabilities."""
    policy = asyncio.run(policy_of(compiled, {seat: session.cast[name] for seat, name in seats.items()}))
    return float(nash_conv(compiled.game, policy.probabilities)), policy


def exact_meta_nash_conv(session: Session, compiled: CompiledGame) -> float:
    """NashConv of the meta-strategy: every seat draws one of its snapshots before the game, as its mixture says."""
    seats, game = session.recipe.main.seats, compiled.game
    named = {s: zip(session.population[s], session.mixture[s], strict=True) for s in seats}
    support = {s: [(name, share) for name, share in pairs if share > 0] for s, pairs in named.items()}
    rows: list[np.ndarray] = []
    weights = np.zeros((game.num_players, sum(len(pairs) for pairs in support.values())))
    for i, seat in enumerate(game.players):
        for name, share in support[seat]:
            # The other seats' parts of the policy do not matter here: this row has weight for one seat alone.
            lineup = {s: name if s == seat else support[s][0][0] for s in seats}
            _, policy = exact_nash_conv(session, compiled, lineup)
            weights[i, len(rows)] = share
            rows.append(game.policy(policy.probabilities))
    return float(nash_conv(game, mixture(game, np.stack(rows), weights)))
