"""The whole of training, top to bottom.

Every update: plan matches, play them, turn rewards into advantages, update every learner, publish the new versions.
Every few updates: snapshots join the population, and the game they form is solved for the next opponents.
At the end: a tournament between all snapshots, its equilibrium, the report.

Left out on purpose: parallel actors (`debate.scale` puts them behind the same calls), and how credit is assigned
(baselines, critics, scalarisers: `debate.learning.assigner`). Each has its place elsewhere and is not needed to
understand this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.conclude import conclude
from debate.drift import audit_judges
from debate.evaluate import evaluate
from debate.experience import gain_experience
from debate.league.battery import guard
from debate.league.exploiter import exploit
from debate.league.matchmaking import Lineups, moved_ahead, plan_update
from debate.league.population import due, join_population, start_epoch
from debate.league.told import with_preferences
from debate.league.watching import utility, watch_update
from debate.preference import base_id
from debate.progress import Progress
from debate.recipe import ArenaSpec, Recipe
from debate.session import Session, live_seats, open_session
from debate.transcript import Episode

if TYPE_CHECKING:
    from debate.scale.cluster import ScaleSpec


def train(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    progress: Progress | None = None,
    argv: Sequence[str] | None = None,
    scale: ScaleSpec | None = None,
) -> dict[str, Any]:
    """Runs a recipe through to its report.

    Args:
        recipe: what to do.
        out: the run folder.
        resume: go on with the run that is there.
        progress: where to report to.
        argv: the command line, for the manifest.
        scale: play and learn on Ray; the results are the same.

    Returns:
        The summary, as in summary.json.

    Raises:
        UserError: something about the recipe, its data, its models or the folder is wrong.
    """
    with open_session(recipe, out, resume, progress, argv, scale) as session:
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
            audit_judges(session)
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
                rows += guard(session, session.update + 1)
                rows.append(join_population(session, session.update + 1))
                start_epoch(session)
            session.commit(rows)
            session.progress.advance(1, note(rows))
        # 3. What came of it.
        audit_judges(session)
        session.check_trust()
        session.exploiters = exploit(session, update)
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
    drawn = plan_update(
        spec.name,
        session.update,
        session.train_ids[spec.name],
        recipe.training.groups,
        recipe.training.group_size,
        lineups,
        recipe.seed,
    )
    plan = with_preferences(drawn, recipe, spec)
    played = gain_experience(session, spec, plan, learning, live)
    ahead = [name for name in played.batches if session.cast.looks_ahead(name) and played.batches[name].units]
    if ahead:  # extragradient: play on at the point looked ahead to, learn from that, step from here
        there = {name: session.cast.look_ahead(name, played.batches[name]) for name in ahead}
        moved = {seat: there[name].id for seat, name in learning.items() if name in there}
        plan = [moved_ahead(match, live, moved) for match in plan]
        played = gain_experience(session, spec, plan, learning, {**live, **moved})
        for policy in there.values():
            session.cast.forget(policy)
    metrics = session.cast.update({name: batch for name, batch in played.batches.items() if batch.units})
    rows = []
    for seat, name in learning.items():
        mean = mean_rewards(played.episodes, seat, played.live[seat])
        rows.append(
            {
                **metrics.get(name, {}),
                "update": session.update + 1,
                "arena": arena.name,
                "seat": seat,
                "agent": name,
                "policy": played.live[seat],
                "rewards": mean,
                "utility": utility(mean, recipe.agent(name).weights),
                "advantage_spread": dict(played.credit[name].credit.spread),
                "excluded": dict(played.left_out[name]),
                **played.credit[name].log,
                **session.cast.traffic(name),
            }
        )
    watch_update(session, rows, played.episodes)
    return rows


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
