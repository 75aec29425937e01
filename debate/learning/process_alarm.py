"""The sign that a process reward is being hacked: it rises while what it should lead to stays flat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

WINDOW = 10


def rise(values: Sequence[float]) -> float:
    """How many standard errors the mean of the later half stands above that of the earlier half.

    NaN with fewer than two known values in a half; infinite where the halves differ and nothing varies within them.
    """
    half = len(values) // 2
    parts = [np.array([v for v in part if math.isfinite(v)]) for part in (values[:half], values[len(values) - half :])]
    if min(map(len, parts)) < 2:
        return math.nan
    gain = float(parts[1].mean() - parts[0].mean())
    error = math.sqrt(sum(float(part.var(ddof=1)) / len(part) for part in parts))
    if error == 0.0:
        return math.copysign(math.inf, gain) if gain else 0.0
    return gain / error


def process_alarm(
    process: Sequence[float], outcome: Sequence[float], window: int = WINDOW, sure: float = 3.0, flat: float = 1.0
) -> str | None:
    """What to say of the last `window` updates; None where there is nothing to say, or too little is known.

    Args:
        process: mean process reward of each update, the newest last.
        outcome: mean outcome of each update.
        window: updates that are looked at.
        sure: standard errors by which the process reward must have risen.
        flat: standard errors below which the outcome has not.

    Raises:
        ValueError: series of different lengths, or a window below 4.
    """
    if len(process) != len(outcome) or window < 4:
        raise ValueError(f"process_alarm: expected equal series and a window >= 4, got {len(process)}, {len(outcome)}")
    if len(process) < window:
        return None
    up, result = rise(process[-window:]), rise(outcome[-window:])
    if up >= sure and result < flat:
        return (
            f"rose by {up:.1f} standard errors over the last {window} updates while the outcome stayed flat "
            f"({result:+.1f}): it may be hacked"
        )
    return None


def process_alarms(
    rows: Sequence[Mapping[str, Any]], weights: Mapping[str, float], process: Iterable[str], window: int = WINDOW
) -> list[str]:
    """The alarms after the newest of an agent's log rows.

    Args:
        rows: of one agent in one seat, the newest last; each with its mean `rewards`.
        weights: criterion → weight, of the outcome.
        process: names of the process criteria.
        window: updates that are looked at.
    """
    found = []
    means = [row["rewards"] for row in rows]
    outcome = [math.fsum(w * _known(r, name) for name, w in weights.items() if w) for r in means]
    for name in process:
        message = process_alarm([_known(r, name) for r in means], outcome, window)
        if message is not None:
            found.append(f"process reward {name} {message}")
    return found


def _known(rewards: Mapping[str, float | None], name: str) -> float:
    value = rewards.get(name)
    return math.nan if value is None else float(value)
