"""The battery in a run: fixed questions, fixed seeds, fixed opponents; and what is done where an agent has fallen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from debate.league.guard import GuardReport, compare
from debate.learning.batch import TokenBatch
from debate.learning.samples import gather
from debate.seeds import derive
from debate.session import Session
from debate.transcript import Episode, Match
from games.normal_form import Array


def guard(session: Session, done: int) -> list[dict[str, Any]]:
    """Every learning agent's current version against its last good one; rows for the log.

    The first version of an agent is good. A version that passes, or only warns, is the new good one. One that is to be
    rolled back gives its learner the good one's weights again, as a new version and with a fresh optimiser.
    """
    spec = session.recipe.league.guard
    if spec is None:
        return []
    rows = []
    for name in session.cast.learners:
        now = session.cast.live[name].id
        good = session.good.setdefault(name, f"{name}-v0")
        if now == good:
            continue
        before, after = run_battery(session, name, good), run_battery(session, name, now)
        report = compare(*_scores(session, name, before, after), spec.alpha, spec.margin, seed=session.recipe.seed)
        row = _row(session, name, now, done, report, after)
        session.progress.say(f"{name} after update {done}: {report.words()}")
        if report.outcome != "roll_back":
            session.good[name] = now
        elif spec.roll_back:
            row["rolled_back_to"] = good
            session.good[name] = session.cast.restart(name, session.weights_of(good)).id
        rows.append(row)
    return rows


def run_battery(session: Session, name: str, policy: str, trained: bool = False) -> dict[str, list[Episode]]:
    """Task → episodes of one version of an agent; played once, then read from the store.

    Tasks are the arenas in which the agent sits, on their last held-out questions; other seats hold first versions.

    Args:
        session: the run.
        name: the agent.
        policy: the version that plays.
        trained: on questions of the training data instead: the new prompts beside the old ones.
    """
    spec = session.recipe.league.guard
    assert spec is not None
    found = {}
    for arena in session.recipe.arenas:
        if name not in arena.seats.values() or (spec.tasks and arena.name not in spec.tasks):
            continue
        questions = (session.train_ids if trained else session.test_ids)[arena.name][-spec.questions :]
        seats = {s: policy if a == name else f"{a}-v0" for s, a in arena.seats.items()}
        planned = [
            Match(f"guard/{arena.name}/{name}/{'new' if trained else 'old'}/{q}", arena.name, q, seats)
            for q in questions
        ]
        found[arena.name] = _played(session, planned, policy)
    return found


def _played(session: Session, planned: list[Match], policy: str) -> list[Episode]:
    """Episodes whose randomness is named by the match without the version, stored under a name with it."""
    stored = [session.store.get(f"{match.id}/{policy}") for match in planned]
    missing = [match for match, episode in zip(planned, stored, strict=True) if episode is None]
    if missing:
        arena = session.arenas[missing[0].arena]
        fresh = session.player(arena, missing, session.cast, derive(session.recipe.seed, "guard"))
        session.store.put_many(_renamed(episode, policy) for episode in fresh)
    return [episode for match in planned if (episode := session.store.get(f"{match.id}/{policy}")) is not None]


def _renamed(episode: Episode, policy: str) -> Episode:
    name = f"{episode.match.id}/{policy}"
    return replace(episode, match=replace(episode.match, id=name), transcript=replace(episode.transcript, id=name))


def _scores(
    session: Session, name: str, before: Mapping[str, list[Episode]], after: Mapping[str, list[Episode]]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Task → [N] utility of the agent on each question, on both sides."""
    return tuple({task: _utilities(session, name, e) for task, e in side.items()} for side in (before, after))  # type: ignore[return-value]


def _utilities(session: Session, name: str, episodes: list[Episode]) -> Array:
    weights = session.recipe.agent(name).weights
    values = []
    for episode in episodes:
        seat = next(s for s, p in episode.match.seats.items() if p.startswith(f"{name}-v"))
        rewards = episode.rewards
        if rewards is None:
            values.append(math.nan)
            continue
        row = rewards.values[rewards.seats.index(seat)]
        paid = [w * row[rewards.criteria.index(c)] for c, w in weights.items() if w and c in rewards.criteria]
        values.append(math.fsum(paid))
    return np.array(values)


def _row(
    session: Session, name: str, now: str, done: int, report: GuardReport, after: Mapping[str, list[Episode]]
) -> dict[str, Any]:
    """The log's row: the outcome, each task's change, and the KL to the first version on old and on new prompts."""
    tasks = {
        t.task: {"before": t.before, "after": t.after, "low": t.low, "high": t.high, "p": t.p, "holm": t.adjusted}
        for t in report.tasks
    }
    return {
        "update": done,
        "guard": name,
        "outcome": report.outcome,
        "tasks": tasks,
        "kl_old_prompts": _from_start(session, name, after),
        "kl_new_prompts": _from_start(session, name, run_battery(session, name, now, trained=True)),
    }


def _from_start(session: Session, name: str, played: Mapping[str, list[Episode]]) -> float | None:
    """KL of the current weights to the first version on what they said themselves; None where they said nothing."""
    samples, _ = gather([e for episodes in played.values() for e in episodes], session.cast.live[name].id)
    batch = TokenBatch.from_samples(samples, np.zeros(len(samples))) if samples else None
    if batch is None or not batch.units:
        return None
    found: float = session.cast.learners[name].divergence(batch, session.weights_of(f"{name}-v0"))
    return found
