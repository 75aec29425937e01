"""Means over seeds with Student intervals: what the tables and figures of experiments show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from debate.experiments.runner import Result
from debate.experiments.spec import Experiment

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the `seeds` (`of` so many) in which the number is known; no interval with fewer than two."""

    mean: float
    low: float
    high: float
    seeds: int
    of: int


@dataclass(frozen=True, eq=False)
class Curve:
    """One measure of one condition over x.

    Attributes:
        x: [X] mean over seeds of the horizontal position of each row.
        values: [N, X] one line a seed.
    """

    x: np.ndarray
    values: np.ndarray


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % Student interval over seeds.

    >>> estimate([1.0, 2.0, 3.0, 4.0, 5.0]).low.__round__(3)
    1.037
    """
    from scipy.stats import t

    known = np.array([v for v in values if math.isfinite(v)])
    if len(known) < 2:
        return Estimate(float(known.mean()) if len(known) else math.nan, math.nan, math.nan, len(known), len(values))
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    mean = float(known.mean())
    return Estimate(mean, mean - half, mean + half, len(known), len(values))


def curve(experiment: Experiment, results: Sequence[Result], panel: str, condition: str, measure: str) -> Curve:
    """The seeds' lines of one condition. All seeds of a condition have as many rows."""
    mine = [r for r in results if (r.panel, r.condition) == (panel, condition)]
    length = min(len(r.rows) for r in mine)
    x = [[row.get(experiment.x, math.nan) for row in r.rows[:length]] for r in mine]
    y = [[row.get(measure, math.nan) for row in r.rows[:length]] for r in mine]
    return Curve(np.mean(np.array(x), axis=0), np.array(y))


def finals(results: Sequence[Result], panel: str, condition: str, measure: str) -> dict[int, float]:
    """Seed → the measure in the last row."""
    mine = (r for r in results if (r.panel, r.condition) == (panel, condition))
    return {r.seed: r.rows[-1].get(measure, math.nan) for r in mine}


def difference(results: Sequence[Result], panel: str, first: str, second: str, measure: str) -> Estimate:
    """Mean difference of the final values, paired by seed."""
    a, b = (finals(results, panel, name, measure) for name in (first, second))
    return estimate([a[seed] - b[seed] for seed in a if seed in b])
