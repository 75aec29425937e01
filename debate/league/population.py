"""Snapshots join the population; the cells they open are played; the meta-game is solved and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.exact import exact_meta_nash_conv, exact_nash_conv, finite_variant
from debate.league.cells import cell_match, cell_matches, empirical_game
from debate.league.meta import last_profile, meta_strategy, utility_weights
from debate.session import Session, live_seats
from games.empirical.samples import EmpiricalGame
from games.normal_form import Array, NormalFormGame

if TYPE_CHECKING:
    from debate.recipe import Recipe
    from debate.transcript import Episode


def due(session: Session) -> bool:
    """Whether snapshots join after the update that is about to be committed."""
    every, done = session.recipe.league.snapshot_every, session.update + 1
    return done == session.recipe.training.updates or (every > 0 and done % every == 0)


def join_population(session: Session, done: int) -> dict[str, Any]:
    """Adds the versions after `done` updates as snapshots, plays the new cells, and solves for the meta-strategy.

    Returns:
        The row of the log: `population`, `mixture`, `nash_conv` of the newest profile and its interval, and
        `meta_nash_conv`, what the new snapshots gain against the meta-strategy they were trained against (a lower bound
        on its NashConv, since better responses may exist), with its interval.
    """
    spec = session.recipe.main
    recipe = session.paying(spec)
    before = {seat: dict(zip(ids, session.mixture[seat], strict=True)) for seat, ids in session.population.items()}
    for name in session.cast.learners:
        session.keep(name)
    for seat, policy in live_seats(session, spec).items():
        snapshots = session.population.setdefault(seat, [])
        if policy not in snapshots:
            snapshots.append(policy)
    row: dict[str, Any] = {"update": done, "arena": spec.name, "population": session.population}
    row |= _exact(session)
    if len(spec.seats) < 2 or recipe.league.questions == 0 or session.unpaid(spec):
        session.mixture = {seat: [1.0 / len(ids)] * len(ids) for seat, ids in session.population.items()}
        return row
    game = play_cells(session, recipe)
    calls = session.tallies["train"].calls if "train" in session.tallies else 0
    row["model_calls"] = calls
    unknown = game.unplayed()
    if unknown:  # every match of some cell failed: nothing is known there, so opponents are drawn evenly
        session.mixture = {seat: [1.0 / len(ids)] * len(ids) for seat, ids in session.population.items()}
        return {**row, "mixture": session.mixture, "nash_conv": None, "unknown_cells": len(unknown)}
    session.mixture = meta_strategy(recipe, game, recipe.league.meta)
    return {**row, "mixture": session.mixture, **_measured(session, recipe, game, before), **_exact_meta(session)}


def _exact(session: Session) -> dict[str, Any]:
    """Exact NashConv of the newest versions, where the recipe names a finite variant."""
    found = finite_variant(session)
    if found is None:
        return {}
    return {"exact_nash_conv": exact_nash_conv(session, found[0], live_seats(session, session.recipe.main))[0]}


def _exact_meta(session: Session) -> dict[str, Any]:
    """The same of the meta-strategy."""
    found = finite_variant(session)
    return {} if found is None else {"exact_meta_nash_conv": exact_meta_nash_conv(session, found[0])}


def start_epoch(session: Session) -> None:
    """Where the recipe says so, learners start the next epoch from version 0: a fresh best response (PSRO)."""
    if session.recipe.league.start == "first" and session.update + 1 < session.recipe.training.updates:
        for name in session.cast.learners:
            session.cast.restart(name, session.weights_of(f"{name}-v0"))


def play_cells(session: Session, recipe: Recipe) -> EmpiricalGame:
    """The empirical game of the population.

    All cells on the same questions; or, where the recipe says `first`, that many in each, and then more, a batch after
    the other, in the cells that narrow NashConv most (`games.next_matches`), until a cell has `average` on average.
    """
    spec, league = recipe.main, recipe.league
    questions = session.test_ids[spec.name][: league.questions]
    seats, criteria = session.population, spec.protocol.criteria
    first = league.first or len(questions)
    episodes = list(session.play("league", cell_matches(spec.name, seats, questions[:first]), advance=False))
    game = empirical_game(episodes, seats, criteria)
    cells = int(np.prod(game.shape))
    left = cells * (min(league.average, len(questions)) - first) if league.first else 0
    used = np.full(game.shape, min(first, len(questions)))
    while left > 0 and not game.unplayed():
        matches = _narrowing(recipe, game, used, questions, min(left, max(1, cells)))
        if not matches:
            break
        episodes += _again(session, matches)
        left -= len(matches)
        game = empirical_game(episodes, seats, criteria)
    return game


def _narrowing(recipe: Recipe, game: EmpiricalGame, used: Array, questions: Sequence[str], budget: int) -> list[Any]:
    """The next batch: each chosen cell on its next question; a cell that has had them all is passed over."""
    from games.empirical.matchmaking import next_matches

    matches = []
    for cell in next_matches(game.scalarise(utility_weights(recipe, game)), budget):
        place = tuple(int(k) for k in cell)
        if used[place] < len(questions):
            profile = [row[k] for row, k in zip(game.strategies, place, strict=True)]
            seats = dict(zip(game.players, profile, strict=True))
            matches.append(cell_match(recipe.main.name, seats, questions[int(used[place])]))
            used[place] += 1
    return matches


def _again(session: Session, matches: Sequence[Any]) -> list[Episode]:
    """Plays one more batch of the same stage without forgetting what the stage has counted."""
    tally = session.tallies["league"]
    episodes = list(session.play("league more", matches, advance=False))
    tally.add(session.tallies.pop("league more"))
    session.tallies["league"] = tally
    return episodes


def _measured(
    session: Session, recipe: Recipe, game: EmpiricalGame, before: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """NashConv of the newest profile and of the last meta-strategy, each with its bootstrap interval."""
    weights = utility_weights(recipe, game)
    samples = game.scalarise(weights)
    profiles = {"nash_conv": last_profile(game)}
    if all(any(before.get(seat, {}).values()) for seat in game.players):
        rows = zip(game.players, game.strategies, strict=True)
        profiles["meta_nash_conv"] = [np.array([before[s].get(name, 0.0) for name in names]) for s, names in rows]
    found: dict[str, Any] = {}
    for key, profile in profiles.items():
        value, interval = nash_conv_interval(samples, profile, recipe.league.resamples, session.recipe.seed)
        found |= {key: value, f"{key}_interval": interval}
    return found


def nash_conv_interval(
    samples: EmpiricalGame, profile: Sequence[Array], resamples: int, seed: int
) -> tuple[float, list[float] | None]:
    """NashConv of a profile in the mean game, and its 95 % bootstrap interval; None where there is one question."""
    from games.empirical.bootstrap import bootstrap
    from games.measures import nash_conv

    value = nash_conv(samples.normal_form(), profile)
    if samples.num_clusters < 2:
        return value, None

    def measure(resampled: NormalFormGame) -> float:
        return nash_conv(resampled, profile)

    ((low, high),) = bootstrap(samples, measure, resamples, seed).intervals.values()
    return value, [float(low), float(high)]
