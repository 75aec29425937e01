"""Experiments that are whole training runs: a recipe, what is changed in it, and the numbers read from its log.

A job's run lives in the job's own folder and is resumed there, so that a long experiment that was killed loses at most
one update of the run it was in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from debate.errors import UserError
from debate.experiments.runner import Job

Rows = Sequence[Mapping[str, Any]]


def play(job: Job) -> list[Mapping[str, float]]:
    """Trains a recipe and reads its curves.

    Settings: `recipe` (relative to the experiment's file), `set` (recipe field → value), `series` (measure → {arena,
    path of the number in a log row, seat or agent if several rows share an update}), `final` (measure → path in the
    summary, put into the last row), `window` (updates that are averaged; 0: a row for each time snapshots joined, read
    from the league's own rows).

    Returns:
        One row every `window` updates: `update`, `tokens` (that carried loss, so far) and the measures.
    """
    s = job.settings
    summary, log = run(job, str(s["recipe"]), s.get("set", {}))
    window = int(s.get("window", 1))
    rows = curves(log, s.get("series", {}), window) if window else epochs(log, s.get("series", {}))
    for measure, path in s.get("final", {}).items():
        rows[-1][measure] = number(summary, path)
    return list(rows)


def run(job: Job, recipe_file: str, changes: Mapping[str, Any]) -> tuple[Mapping[str, Any], Rows]:
    """The summary and the log of a run, made or taken up where it was left.

    Raises:
        UserError: the recipe, or a change, is wrong.
    """
    from pathlib import Path

    from debate.recipe import read_recipe
    from debate.run.folder import RunFolder
    from debate.train import train

    path = Path(job.home) / recipe_file
    recipe = read_recipe(path, [f"{key}={json.dumps(value)}" for key, value in changes.items()], job.seed)
    out = job.folder / "run"
    summary = train(recipe, out, resume=True)
    return summary, list(RunFolder.open(out).read_log())


def curves(log: Rows, series: Mapping[str, Mapping[str, Any]], window: int) -> list[dict[str, float]]:
    """Rows of a log averaged over windows of updates; unknown numbers are left out of an average."""
    updates = sorted({int(row["update"]) for row in log if row.get("agent")})
    if not updates:
        raise UserError("experiment: the run has no updates to read curves from")
    spent, rows = 0.0, []
    for start in range(0, len(updates) - window + 1, window):
        block = set(updates[start : start + window])
        here = [row for row in log if row.get("agent") and int(row["update"]) in block]
        spent += sum(known(row.get("tokens") for row in here))
        point = {"update": float(max(block)), "tokens": spent}
        for measure, where in series.items():
            chosen = (r for r in here if all(r.get(k) == v for k, v in where.items() if k != "path"))
            values = known(_at(row, str(where["path"])) for row in chosen)
            point[measure] = sum(values) / len(values) if values else math.nan
        rows.append(point)
    return rows


def epochs(log: Rows, series: Mapping[str, Mapping[str, Any]]) -> list[dict[str, float]]:
    """A row for each time snapshots joined; tokens are those that carried loss until then."""
    rows = []
    for row in (r for r in log if "population" in r):
        spent = sum(known(r.get("tokens") for r in log if r.get("agent") and int(r["update"]) <= int(row["update"])))
        values = {measure: known([_at(row, str(where["path"]))]) for measure, where in series.items()}
        point = {"update": float(row["update"]), "tokens": spent}
        rows.append(point | {measure: found[0] if found else math.nan for measure, found in values.items()})
    return rows


def number(data: Mapping[str, Any], path: str) -> float:
    """A number of the summary by its dotted path; NaN where it is not known.

    Raises:
        UserError: there is no such place.
    """
    value = _at(data, path, required=True)
    return math.nan if value is None else float(value)


def known(values: Iterable[Any]) -> list[float]:
    """The finite numbers among values."""
    return [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]


def _at(data: Mapping[str, Any], path: str, required: bool = False) -> Any:
    value: Any = data
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            if required:
                raise UserError(f"experiment: the summary has no {path!r} (nothing at {part!r})")
            return None
        value = value[part]
    return value
