"""The whole of training, top to bottom.

Every update: plan matches, play them, turn rewards into advantages, update every learner, publish the new versions.
Every few updates: snapshots join the population, and the game they form is solved for the next opponents.
At the end: a tournament between all snapshots, its equilibrium, the report.

Left out on purpose: parallel actors (one process plays and learns in turn), and how credit is assigned (baselines,
critics, scalarisers: `debate.learning.assigner`). Each has its place elsewhere and is not needed to understand this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from debate.agents.replay import Replaying
from debate.conclude import conclude
from debate.evaluate import evaluate
from debate.league.cells import cell_matches, empirical_game
from debate.league.matchmaking import Lineups, plan_update
from debate.league.meta import last_profile, meta_strategy, utility_weights
from debate.league.told import with_preferences
from debate.learning.batch import TokenBatch
from debate.learning.branches import branch_samples, known_replies, plan_forks
from debate.learning.process_alarm import process_alarms
from debate.learning.samples import Sample, gather
from debate.preference import base_id
from debate.progress import Progress
from debate.recipe import ArenaSpec, Recipe
from debate.session import Session, live_seats, open_session
from debate.transcript import Episode


def train(
    recipe: Recipe, out: Path, resume: bool = False, progress: Progress | None = None, argv: Sequence[str] | None = None
) -> dict[str, Any]:
    """Runs a recipe through to its report.

    Args:
        recipe: what to do.
        out: the run folder.
        resume: go on with the run that is there.
        progress: where to report to.
        argv: the command line, for the manifest.

    Returns:
        The summary, as in summary.json.

    Raises:
        UserError: something about the recipe, its data, its models or the folder is wrong.
    """
    with open_session(recipe, out, resume, progress, argv) as session:
        # 1. Where everybody starts from.
        for admission in session.check_trust():
            session.progress.say(f"note: {admission}")
        if session.update == 0:
            session.folder.log([join_population(session, 0)])
            evaluate(session, "before")
        # 2. Learning.
        session.progress.start("train", recipe.training.updates)
        session.progress.advance(session.update)
        while session.update < recipe.training.updates:
            session.check_trust()
            if session.withdrawn and not any(session.learners(spec) for spec in recipe.arenas):
                session.stopped = f"after update {session.update}: no judge that is left may pay any reward"
                session.progress.say(f"stopped {session.stopped}")
                if any(policy not in session.population[s] for s, policy in live_seats(session, recipe.main).items()):
                    session.folder.log([join_population(session, session.update)])
                    session.save()
                break
            rows = [row for spec in recipe.arenas for row in update(session, spec)]
            for name in session.cast.learners:
                session.cast.publish(name)
            if due(session):
                rows.append(join_population(session, session.update + 1))
            session.commit(rows)
            session.progress.advance(1, note(rows))
        # 3. What came of it.
        return conclude(session)


def update(session: Session, spec: ArenaSpec) -> list[dict[str, Any]]:
    """One update of every learner in one arena; returns the rows of the log."""
    recipe, arena = session.paying(spec), session.arenas[spec.name]
    learning = session.learners(spec)
    if session.withdrawn and not learning:  # every criterion here was paid by a judge that may not pay any more
        return []
    live = {seat: session.cast.live[name].id for seat, name in learning.items()}
    main = spec is recipe.main
    lineups = Lineups(
        live=live_seats(session, spec),
        learning=list(learning),
        population=session.population if main else {},
        mixture=session.mixture if main else {},
        self_play=recipe.league.self_play if main else 1.0,
    )
    plan = plan_update(
        spec.name,
        session.update,
        session.train_ids[spec.name],
        recipe.training.groups,
        recipe.training.group_size,
        lineups,
        recipe.seed,
    )
    cast = session.training_cast()
    episodes = list(session.play("train", with_preferences(plan, recipe, spec), advance=False, cast=cast))
    # Where credit is by branches, every turn is played on from, and it is the candidates that are learned from.
    forks = plan_forks(episodes, live, recipe.training.credit, recipe.seed) if branching(recipe) else []
    replaying = Replaying(cast, known_replies(forks, episodes, recipe.seed))
    continued = list(session.play("train", [fork.match for fork in forks], advance=False, cast=replaying))
    batches, found, left_out = {}, {}, {}
    for name in dict.fromkeys(learning.values()):
        learner, policy = session.cast.learners[name], session.cast.live[name].id
        if branching(recipe):
            samples, left_out[name] = branch_samples(episodes, forks, continued, policy)
        else:
            samples, left_out[name] = gather(episodes, policy)
        states = partial(states_of, learner)
        found[name] = session.credit[name].assign(samples, states, session.update, session.frozen(spec))
        batches[name] = TokenBatch.from_samples(samples, found[name].advantages)
    metrics = session.cast.update({name: batch for name, batch in batches.items() if batch.units})
    rows = []
    for seat, name in learning.items():
        rows.append(
            {
                **metrics.get(name, {}),
                "update": session.update + 1,
                "arena": arena.name,
                "seat": seat,
                "agent": name,
                "rewards": mean_rewards(episodes, seat, live[seat]),
                "advantage_spread": dict(found[name].credit.spread),
                "excluded": dict(left_out[name]),
                **found[name].log,
                **session.cast.traffic(name),
            }
        )
    return watched(session, rows)


def watched(session: Session, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with what there is to say of process rewards that rise while the outcome is flat."""
    process = session.recipe.training.process
    past = list(session.folder.read_log()) if process else []
    for row in rows if process else ():
        who = {key: row[key] for key in ("arena", "seat", "agent")}
        mine = [old for old in past if old.get("rewards") and who.items() <= old.items()]
        weights = session.recipe.agent(row["agent"]).weights
        row["alarms"] = process_alarms([*mine, row], weights, process)
        for alarm in row["alarms"]:
            session.progress.say(f"alarm after update {row['update']}: {row['agent']}: {alarm}")
    return rows


def branching(recipe: Recipe) -> bool:
    """Whether credit comes from playing on from every turn."""
    return recipe.training.credit.estimator == "branch"


def states_of(learner: Any, samples: Sequence[Sample]) -> Any:
    """[T, H] a learner's hidden state before each turn of some samples."""
    return learner.turn_states(TokenBatch.from_samples(samples, np.zeros(len(samples))))


def due(session: Session) -> bool:
    """Whether snapshots join after the update that is about to be committed."""
    every, done = session.recipe.league.snapshot_every, session.update + 1
    return done == session.recipe.training.updates or (every > 0 and done % every == 0)


def join_population(session: Session, done: int) -> dict[str, Any]:
    """Adds the versions after `done` updates as snapshots, plays the new cells, and solves for the meta-strategy."""
    spec = session.recipe.main
    recipe = session.paying(spec)
    for name in session.cast.learners:
        session.keep(name)
    for seat, policy in live_seats(session, spec).items():
        snapshots = session.population.setdefault(seat, [])
        if policy not in snapshots:
            snapshots.append(policy)
    row: dict[str, Any] = {"update": done, "arena": spec.name, "population": session.population}
    if len(spec.seats) < 2 or recipe.league.questions == 0 or session.unpaid(spec):
        session.mixture = {seat: [1.0 / len(ids)] * len(ids) for seat, ids in session.population.items()}
        return row
    questions = session.test_ids[spec.name][: recipe.league.questions]
    matches = cell_matches(spec.name, session.population, questions)
    game = empirical_game(session.play("league", matches, advance=False), session.population, spec.protocol.criteria)
    calls = session.tallies["train"].calls if "train" in session.tallies else 0
    row["model_calls"] = calls
    unknown = game.unplayed()
    if unknown:  # every match of some cell failed: nothing is known there, so opponents are drawn evenly
        session.mixture = meta_strategy(recipe, game, "uniform")
        return {**row, "mixture": session.mixture, "nash_conv": None, "unknown_cells": len(unknown)}
    session.mixture = meta_strategy(recipe, game, recipe.league.meta)
    scalar = game.normal_form().scalarise(utility_weights(recipe, game))
    from games.measures import nash_conv

    return {**row, "mixture": session.mixture, "nash_conv": nash_conv(scalar, last_profile(game))}


def mean_rewards(episodes: Sequence[Episode], seat: str, policy: str) -> dict[str, float]:
    """Criterion → mean over the episodes in which this policy sat in this seat; NaN where it was never known."""
    rows = [e.rewards for e in episodes if e.rewards is not None and base_id(e.match.seats[seat]) == policy]
    if not rows:
        return {}
    values = np.stack([rewards.values[rewards.seats.index(seat)] for rewards in rows])
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return {
        name: float(total[c] / known[:, c].sum()) if known[:, c].any() else math.nan
        for c, name in enumerate(rows[0].criteria)
    }


def note(rows: Sequence[dict[str, Any]]) -> str:
    """The mean rewards of an update in one short line."""
    parts = []
    for row in rows:
        rewards = row.get("rewards") or {}
        shown = " ".join(f"{name} {value:+.2f}" for name, value in rewards.items() if math.isfinite(value))
        if shown:
            parts.append(f"{row['agent']}: {shown}")
    return " | ".join(parts)
