"""The tables of an experiment: final values with intervals (Markdown), and every point of every seed (CSV)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from debate.experiments.runner import Result
from debate.experiments.spec import Experiment
from debate.experiments.statistics import Estimate, difference, estimate, finals


def table(experiment: Experiment, results: Sequence[Result]) -> str:
    """Markdown: one row a panel and condition, one column a measure, then the contrasts."""
    shown = list(dict.fromkeys((r.panel, r.condition) for r in results))
    panels = len(experiment.panels) > 1
    head = [*(["task"] if panels else []), "condition", *(m.label for m in experiment.measures)]
    rows = []
    for panel, condition in shown:
        cells = [words(estimate(list(finals(results, panel, condition, m.name).values()))) for m in experiment.measures]
        rows.append([*([panel] if panels else []), condition, *cells])
    text = f"# {experiment.title}\n\n{experiment.question}\n\n{_markdown(head, rows)}"
    contrasts = [
        [*([panel] if panels else []), f"{c.first} − {c.second}"]
        + [words(difference(results, panel, c.first, c.second, m.name)) for m in experiment.measures]
        for panel in experiment.panels
        for c in experiment.contrasts
        if {(panel, c.first), (panel, c.second)} <= set(shown)
    ]
    if contrasts:
        columns = [*(["task"] if panels else []), "contrast", *(m.label for m in experiment.measures)]
        text += f"\n\nDifferences, paired by seed:\n\n{_markdown(columns, contrasts)}"
    seeds = len(experiment.seeds)
    return f"{text}\n\nMean over {seeds} seeds with the 95 % Student interval; values at the end of each run.\n"


def points(experiment: Experiment, results: Sequence[Result]) -> str:
    """CSV: panel, condition, seed, x and every measure, one line a row of a job."""
    out = io.StringIO()
    names = [m.name for m in experiment.measures]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["panel", "condition", "seed", *([experiment.x] if experiment.x else []), *names])
    for r in results:
        for row in r.rows:
            x = [_number(row.get(experiment.x, math.nan))] if experiment.x else []
            writer.writerow([r.panel, r.condition, r.seed, *x, *(_number(row.get(name, math.nan)) for name in names)])
    return out.getvalue()


def words(value: Estimate) -> str:
    """`0.123 [0.101, 0.145]`; an unknown value is a dash, and seeds in which it is unknown are counted."""
    if not math.isfinite(value.mean):
        return "–"
    known = f" ({value.seeds} of {value.of} seeds)" if value.seeds < value.of else ""
    if not math.isfinite(value.low):
        return f"{_short(value.mean)}{known}"
    return f"{_short(value.mean)} [{_short(value.low)}, {_short(value.high)}]{known}"


def _short(value: float) -> str:
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _number(value: float) -> str:
    return "" if not math.isfinite(value) else repr(round(value, 10))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
