"""Experiment (d), first part: what a number of sampled episodes buys of a front of two or more criteria.

Conditions `method`:

- `conditioned`: one run of an agent that is told its weights, drawn anew for each group of episodes;
- `separate`: one run for each weight of the grid, which share the updates evenly between them.

Both are measured on the same held-out questions at every weight of the same grid. Rewards are put on a common scale
first: `range` names the value of each criterion that becomes 0 and the one that becomes 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.experiments.recipes import Rows, known, run
from debate.experiments.runner import Job
from debate.preference import grid

METHODS = ("conditioned", "separate")
Array = NDArray[np.float64]


def play(job: Job) -> list[Mapping[str, float]]:
    """One row: what the weights' policies earn, and what they cost.

    Settings: `recipe`, `agent` (the one that learns), `learner` (its settings without weights), `range` (criterion →
    [value of 0, value of 1]), `steps` of the grid, `updates` in all, `method`.

    Returns:
        `tokens` sampled and trained on by all runs together, `hypervolume` dominated above the corner 0 (1 = all),
        `utility` (mean over the grid of Σ_c w_c r_c, each weight's policy at its own weight, r on the common scale),
        `points` that no other dominates, and for each criterion `best_NAME` on the common scale.

    Raises:
        UserError: settings that do not fit, or rewards that were never known.
    """
    from games.vector.pareto import hypervolume, pareto_front

    s = job.settings
    ranges = {str(name): (float(low), float(high)) for name, (low, high) in s["range"].items()}
    weights = grid(list(ranges), int(s["steps"]))
    earned, tokens = _earned(job, weights, list(ranges))
    low, high = np.array(list(ranges.values())).T
    points = (earned - low) / (high - low)
    shares = np.array([[w[name] for name in ranges] for w in weights])
    row = {
        "tokens": tokens,
        "hypervolume": hypervolume(points, np.zeros(len(ranges))),
        "utility": float((shares * points).sum(axis=1).mean()),
        "points": float(pareto_front(points).sum()),
    }
    return [{**row, **{f"best_{name}": float(v) for name, v in zip(ranges, points.max(axis=0), strict=True)}}]


def _earned(job: Job, weights: Sequence[Mapping[str, float]], criteria: list[str]) -> tuple[Array, float]:
    """[W, C] mean held-out rewards of each weight's policy, and the tokens of all runs."""
    s = job.settings
    method, agent, updates, recipe = str(s["method"]), f"agents.{s['agent']}", int(s["updates"]), str(s["recipe"])
    learner = dict(s["learner"])
    if method == "conditioned":
        told = {"over": criteria, "grid": int(s["steps"])}
        summary, log = run(job, recipe, {agent: {**learner, "preferences": told}, "training.updates": updates})
        found = [[p["rewards"][name] for name in criteria] for p in summary["fronts"][0]["points"]]
        return _checked(np.array(found, dtype=np.float64), criteria), _tokens(log)
    if method != "separate":
        raise UserError(f"front: no method {method!r}; expected one of {', '.join(METHODS)}")
    if updates % len(weights):
        raise UserError(f"front: {updates} updates are not shared evenly by {len(weights)} weights")
    rows, tokens = [], 0.0
    for k, one in enumerate(weights):
        part = replace(job, folder=job.folder / f"weight{k}")
        changes = {agent: {**learner, "weights": dict(one)}, "training.updates": updates // len(weights)}
        _, log = run(part, recipe, changes)
        rows.append(held_out(part, criteria))
        tokens += _tokens(log)
    return _checked(np.array(rows), criteria), tokens


def held_out(job: Job, criteria: Sequence[str]) -> list[float]:
    """Mean of each criterion over the final evaluation of a run with one seat, where it is known (else NaN)."""
    from debate.learning.stored import stored_episodes

    rows = [e.rewards for e in stored_episodes(job.folder / "run", "eval/after/") if e.rewards is not None]
    means = []
    for name in criteria:
        values = known(float(r.values[0, r.criteria.index(name)]) for r in rows)
        means.append(math.fsum(values) / len(values) if values else math.nan)
    return means


def _checked(points: Array, criteria: Sequence[str]) -> Array:
    if not np.isfinite(points).all():
        raise UserError(f"front: {', '.join(criteria)} are not all known at every weight")
    return points


def _tokens(log: Rows) -> float:
    return math.fsum(known(row.get("tokens") for row in log if row.get("agent")))
