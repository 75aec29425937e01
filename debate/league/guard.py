"""The guard: does a new snapshot still do what the old one did? Pass, warn, or roll back.

A battery is a fixed set of held-out tasks, each a fixed list of questions played with fixed seeds, so that two
checkpoints differ in nothing but their weights and item by item comparison is fair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from debate.seeds import generator
from judges.statistics.multiplicity import holm

Outcome = Literal["pass", "warn", "roll_back"]


@dataclass(frozen=True, slots=True)
class TaskChange:
    """One task before and after.

    Attributes:
        task: its name.
        before, after: mean score over the items known on both sides.
        low, high: 95 % percentile interval of the change.
        p: one-sided bootstrap p-value that the task became worse.
        adjusted: the same after Holm's correction over the battery.
        items: how many were compared.
    """

    task: str
    before: float
    after: float
    low: float
    high: float
    p: float
    adjusted: float
    items: int

    @property
    def change(self) -> float:
        """The mean change."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What the battery says of a checkpoint: the outcome, and each task's change."""

    outcome: Outcome
    tasks: tuple[TaskChange, ...]

    def words(self) -> str:
        """One line for the log and the progress."""
        if self.outcome == "pass":
            return "guard: pass"
        worst = min(self.tasks, key=lambda t: t.p)
        said = "roll back" if self.outcome == "roll_back" else "warn"
        return f"guard: {said}: {worst.task} {worst.before:.3f} → {worst.after:.3f} (Holm p = {worst.adjusted:.3g})"


def compare(
    before: Mapping[str, ArrayLike],
    after: Mapping[str, ArrayLike],
    alpha: float = 0.05,
    margin: float = 0.0,
    resamples: int = 2000,
    seed: int = 0,
) -> GuardReport:
    """Compares two checkpoints on a battery.

    1. Each task: paired bootstrap over items of the mean change; p = share of changes, resampled around zero, that fall
       at least as far (Efron and Tibshirani 1993, algorithm 16.2), counted with the observed one among them.
    2. Holm's correction over the tasks.
    3. Roll back where a corrected p ≤ α and the fall exceeds the margin; warn where only the uncorrected one is;
       pass otherwise.

    Args:
        before: task → [N] scores of the items; NaN where an item's score is not known.
        after: the same tasks and items.
        alpha: level of the family-wise test.
        margin: a fall of the mean that is tolerated, ≥ 0.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: other tasks or items on the two sides, no item known on both, or settings out of range.
    """
    if not 0 < alpha < 1 or margin < 0 or resamples < 1:
        raise ValueError(
            f"guard: expected 0 < alpha < 1, margin >= 0, resamples >= 1; got {alpha}, {margin}, {resamples}"
        )
    if set(before) != set(after) or not before:
        raise ValueError(f"guard: expected the same tasks before and after, got {sorted(before)} and {sorted(after)}")
    changes = [_change(task, before[task], after[task], resamples, seed) for task in before]
    adjusted = holm([c.p for c in changes])
    tasks = tuple(
        TaskChange(c.task, c.before, c.after, c.low, c.high, c.p, float(a), c.items)
        for c, a in zip(changes, adjusted, strict=True)
    )
    fallen = [t for t in tasks if t.change < -margin]
    outcome: Outcome = "pass"
    if any(t.p <= alpha for t in fallen):
        outcome = "warn"
    if any(t.adjusted <= alpha for t in fallen):
        outcome = "roll_back"
    return GuardReport(outcome, tasks)


def _change(task: str, before: ArrayLike, after: ArrayLike, resamples: int, seed: int) -> TaskChange:
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"guard: task {task}: expected the same items before and after, got {a.shape} and {b.shape}")
    known = np.isfinite(a) & np.isfinite(b)
    if not known.any():
        raise ValueError(f"guard: task {task}: no item has a known score on both sides")
    a, b = a[known], b[known]
    moved = b - a
    rng = generator(seed, "guard", task)
    means = np.concatenate(
        [
            moved[rng.integers(len(moved), size=(size, len(moved)))].mean(axis=1)
            for size in _chunks(resamples, max(1, 2_000_000 // len(moved)))
        ]
    )
    observed = float(moved.mean())
    # Ties count as reached: with no change at all every resample reaches it, and p = 1.
    reached = int((means - observed <= observed + 1e-12).sum())
    low, high = np.quantile(means, [0.025, 0.975])
    p = (1 + reached) / (1 + resamples)
    return TaskChange(task, float(a.mean()), float(b.mean()), float(low), float(high), p, p, len(moved))


def _chunks(total: int, size: int) -> Sequence[int]:
    return [min(size, total - start) for start in range(0, total, size)]
