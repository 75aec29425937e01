"""Curves over training, from the rows of the log: rewards, health of learning, and the league."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from debate.report.figures import Curves, panels, smoothing
from debate.report.markup import Markup, join, tag

Rows = Sequence[Mapping[str, Any]]

# What a row says about itself, and what has a section of its own.
NAMES = (
    "update",
    "arena",
    "seat",
    "agent",
    "policy",
    "version",
    "rewards",
    "population",
    "mixture",
    "nash_conv",
    "judge_accuracy",
    "alarms",
)
FIRST = (
    "loss",
    "policy_loss",
    "entropy",
    "kl",
    "grad_norm",
    "advantage_spread",
    "illegal",
    "excluded",
    "tokens",
    "seconds",
)


def learning(rows: Rows) -> Markup:
    """Mean reward of each seat by criterion, and the judge's accuracy during training, a figure an arena."""
    content = []
    for number, arena in enumerate(dict.fromkeys(str(row.get("arena", "")) for row in rows)):
        mine = [row for row in rows if str(row.get("arena", "")) == arena]
        groups: dict[str, Curves] = {
            name: series(mine, ("rewards", name), seat_of) for name in names_of(mine, "rewards")
        }
        groups["judge accuracy in training"] = series(mine, ("judge_accuracy",), lambda _: "judge")
        content += figure(f"learning{number}", arena, groups, "Mean reward of an update's episodes.", 3)
    return join(content) if content else tag("p", "No update was logged.", class_="soft")


def health(rows: Rows) -> Markup:
    """Everything else that learners logged, a panel a number."""
    content = []
    for number, arena in enumerate(dict.fromkeys(str(row.get("arena", "")) for row in rows)):
        mine = [row for row in rows if str(row.get("arena", "")) == arena]
        keys = dict.fromkeys(key for row in mine for key in row if key not in NAMES)
        groups: dict[str, Curves] = {}
        for key in sorted(keys, key=lambda k: (FIRST.index(k) if k in FIRST else len(FIRST), k)):
            parts = names_of(mine, key)
            if parts:
                for name in parts:
                    groups[f"{words(key)}: {name}"] = series(mine, (key, name), agent_of)
            else:
                groups[words(key)] = series(mine, (key,), agent_of)
        content += figure(f"health{number}", arena, groups, "What the learners measured of themselves.", 3)
    return join(content)


def league(rows: Rows) -> Markup:
    """NashConv of the newest versions as the league grew, where it was logged at least twice."""
    curve = series(rows, ("nash_conv",), lambda _: "")
    if not curve or len(curve[""][0]) < 2:
        return Markup()
    drawn = panels(
        "league", {"NashConv of the newest snapshots, as the league grew": curve}, "NashConv in training", columns=1
    )
    caption = (
        "In the empirical game of the snapshots there were at that time: a deviation found later can raise it again."
    )
    return tag("figure", drawn, tag("figcaption", caption))


def figure(key: str, arena: str, groups: Mapping[str, Curves], caption: str, columns: int) -> list[Markup]:
    """One figure with a heading; nothing where no number is known."""
    known = {title: curves for title, curves in groups.items() if curves}
    if not known:
        return []
    longest = max(len(x) for curves in known.values() for x, _ in curves.values())
    span = smoothing(longest)
    if span > 1:
        caption += f" Bold: mean of the last {span} updates; faint: each update."
    drawn = panels(key, known, f"{caption} Arena {arena}.", columns=columns)
    heading = [tag("h3", f"Arena: {arena}")] if arena else []
    return [*heading, tag("figure", drawn, tag("figcaption", caption))]


def series(rows: Rows, path: tuple[str, ...], name_of: Any) -> Curves:
    """Each name's (updates, values) of a number in the rows; unknown ones are gaps, names without any are left out."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for position, row in enumerate(rows):
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if key_missing(row, path):
            continue
        known = isinstance(value, int | float) and not isinstance(value, bool)
        x, y = curves.setdefault(name_of(row), ([], []))
        x.append(float(row.get("update", position)))
        y.append(float(value) if known else math.nan)
    return {name: (x, y) for name, (x, y) in curves.items() if any(map(math.isfinite, y))}


def key_missing(row: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a row does not speak of this number at all (a null does: it is a gap)."""
    value: Any = row
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return True
        value = value[key]
    return False


def names_of(rows: Rows, key: str) -> list[str]:
    """The names under a key that holds a mapping, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows if isinstance(row.get(key), Mapping) for name in row[key]))


def seat_of(row: Mapping[str, Any]) -> str:
    """The seat and its agent."""
    seat, agent = row.get("seat"), row.get("agent")
    return f"{seat} ({agent})" if seat and agent else str(seat or agent or "")


def agent_of(row: Mapping[str, Any]) -> str:
    """The agent, or the seat where there is none."""
    return str(row.get("agent") or row.get("seat") or "")


def words(key: str) -> str:
    """A key as words."""
    return key.replace("_", " ")
