"""The bookkeeping of an update: which rows make a step, which parts of it fit in memory, what was measured."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch
from debate.learning.layout import Kind
from debate.learning.logprobs import BatchTensors, to_tensors
from debate.learning.losses import Loss, unit_weights
from debate.learning.row_builder import Ints
from debate.learning.team import ALONE, Team, deal, refuse_to_halve

if TYPE_CHECKING:
    from torch import Tensor

MEASURED = ("loss", "policy_loss", "kl", "entropy", "clipped", "drift", "sampler_gap")
ALIKE = 0.75  # in the sorted layout, the shortest row of a part has at least this share of the longest one's tokens


def cut(widths: Sequence[Ints], part_rows: int, by_length: bool, size: int = 1) -> list[list[tuple[int, int]]]:
    """Parts of the rows of several agents, each a run [start, stop) of every agent's rows.

    Args:
        widths: tokens of every row, an array an agent; from short to long with `by_length`.
        part_rows: most rows of an agent in a part.
        by_length: rows of a part must be about equally long.
        size: processes that share the parts; with more than one, rows are split evenly into as many parts for each.

    >>> cut([np.array([5, 6, 20]), np.array([19])], 2, by_length=True)
    [[(0, 2), (0, 0)], [(2, 3), (0, 1)]]
    >>> cut([np.arange(5)], 4, by_length=False, size=2)
    [[(0, 2)], [(2, 5)]]
    """
    bounds = [[0, len(own)] for own in widths]
    if by_length:
        edge, edges = max((int(own.max(initial=0)) for own in widths), default=0), []
        while edge > 0:
            edges.append(edge)
            shorter = [int(own[own < ALIKE * edge].max(initial=0)) for own in widths]
            edge = max(shorter)
        bounds = [[0, *(int(n) for n in np.searchsorted(own, edges[::-1], side="right"))] for own in widths]
    parts = []
    for n in range(len(bounds[0]) - 1 if bounds else 0):
        runs = [(b[n], b[n + 1]) for b in bounds]
        longest = max(stop - start for start, stop in runs)
        if size > 1:
            count = size * -(-longest // (part_rows * size))
            parts += [
                [(a + (b - a) * k // count, a + (b - a) * (k + 1) // count) for a, b in runs] for k in range(count)
            ]
            continue
        for offset in range(0, longest, part_rows):
            parts.append([(min(a + offset, b), min(a + offset + part_rows, b)) for a, b in runs])
    return parts


class Part(NamedTuple):
    """Rows of a step that are in memory at once: tensors, units in the step, and what they weigh (0: not at all)."""

    tensors: BatchTensors
    units: slice
    weight: float


class Step:
    """The rows of one optimiser step, in parts that fit in memory.

    Attributes:
        batch: the rows.
        recorded, advantages, weights: [U] from the batch, and what each unit weighs in the loss.
        old, reference: [U] log-probabilities measured before the first step; None where they were not.
        part_rows: rows in memory at once.
        team: the processes that share it.
    """

    def __init__(
        self,
        batch: TokenBatch,
        loss: Loss,
        part_rows: int,
        device: str,
        layout: Kind = "padded",
        width: int = 0,
        team: Team = ALONE,
    ) -> None:
        import torch

        self.batch = batch.by_length() if layout == "sorted" else batch
        self.layout, self.width, self.team = layout, width, team
        self.device = device
        rows, turns = torch.from_numpy(self.batch.unit_row), torch.from_numpy(self.batch.unit_turn)
        self.weights = unit_weights(rows, turns, loss.average, loss.length).to(device)
        self.recorded = torch.as_tensor(self.batch.old_logprobs, dtype=torch.float32).to(device)
        self.advantages = torch.as_tensor(self.batch.advantages, dtype=torch.float32).to(device)
        self.old: Tensor | None = None
        self.reference: Tensor | None = None
        self.part_rows = min(part_rows or batch.rows, batch.rows)
        self._parts: list[Part] | None = None

    @property
    def parts(self) -> list[Part]:
        """What this process works through."""
        if self._parts is None:
            runs = cut([self.batch.widths], self.part_rows, self.layout == "sorted", self.team.size)
            there = [run for (run,) in runs if self.batch.select(*run).units]
            costs = [float(self.batch.widths[start:stop].sum()) for start, stop in there]
            self._parts = [self._part(*there[n], counts) for n, counts in deal(costs, self.team)]
        return self._parts

    def _part(self, start: int, stop: int, counts: bool) -> Part:
        tensors = to_tensors(self.batch.select(start, stop), self.device, self.layout, self.width)
        return Part(tensors, self.units(start, stop), float(counts))

    def units(self, start: int, stop: int) -> slice:
        """The units of a run of rows."""
        first, last = np.searchsorted(self.batch.unit_row, [start, stop])
        return slice(int(first), int(last))

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return int(self.batch.widths.max(initial=0))

    def halve(self) -> bool:
        """Makes the parts half as large; False where they are single rows.

        Raises:
            TrainingFailed: several processes share the step.
        """
        refuse_to_halve(self.team, self.part_rows, self.longest)
        if self.part_rows <= 1:
            return False
        self.part_rows = -(-self.part_rows // 2)
        self._parts = None
        return True


class Run:
    """One update in progress: its steps in fixed order, and sums of what was measured in the current pass."""

    def __init__(
        self,
        batch: TokenBatch,
        loss: Loss,
        minibatch_rows: int,
        part_rows: int,
        device: str,
        layout: Kind = "padded",
        width: int = 0,
        team: Team = ALONE,
    ) -> None:
        self.started = time.perf_counter()
        self.batch = batch
        self.cap = loss.truncate or math.inf
        size = minibatch_rows or max(batch.rows, 1)
        cuts = [batch.select(start, min(start + size, batch.rows)) for start in range(0, batch.rows, size)]
        self.steps = [Step(rows, loss, part_rows, device, layout, width, team) for rows in cuts if rows.units]
        self.sums = np.zeros(len(MEASURED))
        self.norms: list[float] = []
        self.skipped = 0
        self.gap = math.nan

    def start_pass(self) -> None:
        """Forgets what the last pass measured."""
        self.sums[:] = 0.0

    def record(self, measured: NDArray[np.float64], norm: float | None) -> None:
        """Adds a step: `MEASURED` (two losses, then sums over units), and its gradient norm, None where skipped."""
        if not self.norms and not self.skipped:
            self.gap = float(measured[-1]) / self.steps[0].batch.units
        self.sums += measured
        if norm is None:
            self.skipped += 1
        else:
            self.norms.append(norm)

    def metrics(self) -> dict[str, float]:
        """What the last pass measured, and counts of the whole update; NaN where nothing was measured."""
        means = dict.fromkeys(MEASURED, math.nan)
        if self.steps:
            means = dict(zip(MEASURED, (self.sums / self.batch.units).tolist(), strict=True))
            means |= {name: float(self.sums[i]) / len(self.steps) for i, name in enumerate(MEASURED[:2])}
            means["kl"] = means["kl"] if self.steps[0].reference is not None else math.nan
        return means | {
            "sampler_gap": self.gap,
            **self._importance(),
            "grad_norm": float(np.mean(self.norms)) if self.norms else math.nan,
            "rows": float(self.batch.rows),
            "tokens": float(self.batch.units),
            "dropped": float(self.batch.dropped),
            "steps": float(len(self.norms)),
            "skipped": float(self.skipped),
            "part_rows": float(min((step.part_rows for step in self.steps), default=0)),
            "seconds": time.perf_counter() - self.started,
        }

    def _importance(self) -> dict[str, float]:
        """How far the engine's policy is from the trainer's own, where that was measured (`LearnerConfig.compare`).

        Returns:
            importance: mean of min(π_old / π_sampler, cap) over units; truncated: share of units above the cap.
        """
        import torch

        compared = [step for step in self.steps if step.old is not None]
        if not compared:
            return {"importance": math.nan, "truncated": math.nan}
        ratios = torch.cat([(step.old - step.recorded).double().exp() for step in compared])  # type: ignore[operator]
        above = ratios > self.cap
        return {"importance": float(ratios.clamp(max=self.cap).mean()), "truncated": float(above.double().mean())}
