"""What the alarms watch: the vital signs of an update, read off its log rows and episodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from debate.league.alarms import Vital, copied_share
from debate.learning.process_alarm import process_alarms
from debate.preference import base_id
from debate.session import Session
from debate.transcript import Episode


def watch_update(session: Session, rows: Sequence[dict[str, Any]], episodes: Sequence[Episode]) -> None:
    """Raises the alarms of one arena's update: said at once, and kept in the rows under `alarms`.

    Args:
        session: the run, whose watch remembers earlier updates.
        rows: the update's log rows, one a learning seat.
        episodes: what was played for it.
    """
    process = session.recipe.training.process
    past = list(session.folder.read_log()) if process else []
    copies = _copied(episodes)
    for row in rows:
        found = []
        if session.watch is not None:
            found += [alarm.message for alarm in session.watch.observe(vital_signs(row, episodes, copies))]
        if process:
            who = {key: row[key] for key in ("arena", "seat", "agent")}
            mine = [old for old in past if old.get("rewards") and who.items() <= old.items()]
            found += process_alarms([*mine, row], session.recipe.agent(row["agent"]).weights, process)
        if found:
            row["alarms"] = found
        for message in found:
            session.progress.say(f"alarm after update {row['update']}: {row['agent']} in seat {row['seat']}: {message}")


def vital_signs(row: Mapping[str, Any], episodes: Sequence[Episode], copies: Mapping[str, float]) -> Vital:
    """What the alarms watch, read off a log row and the episodes it stands for."""
    seat = str(row["seat"])
    rewards = row.get("rewards") or {}
    own = [t for e in episodes for t in e.transcript.turns if t.seat == seat and base_id(t.policy) == row["policy"]]
    return Vital(
        update=int(row["update"]),
        agent=str(row["agent"]),
        seat=seat,
        spread=_mean(row.get("advantage_spread", {}).values()),
        entropy=_number(row.get("entropy")),
        length=_mean(float(len(t.tokens)) for t in own if t.tokens is not None and t.option is None),
        grad_norm=_number(row.get("grad_norm")),
        kl=_number(row.get("kl")),
        copied=copies.get(seat, math.nan),
        # A win is paid ±1, so the share of decided matches won is its mean on another scale.
        win=(1.0 + _number(rewards.get("win"))) / 2.0,
        reward=_number(row.get("utility")),
        truth=_number(rewards.get("truth")),
    )


def utility(rewards: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """What an agent makes of its mean rewards: Σ weight · reward over what it weighs; NaN where one is unknown."""
    return math.fsum(w * _number(rewards.get(name)) for name, w in weights.items() if w)


def _copied(episodes: Sequence[Episode]) -> dict[str, float]:
    """Seat → mean share of its public speeches that repeat an earlier one of their match."""
    shares: dict[str, list[float]] = {}
    for episode in episodes:
        said = [(t.seat, t.public) for t in episode.transcript.turns if t.public and t.option is None]
        for seat, share in copied_share(said).items():
            shares.setdefault(seat, []).append(share)
    return {seat: float(np.mean(values)) for seat, values in shares.items()}


def _mean(values: Iterable[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
