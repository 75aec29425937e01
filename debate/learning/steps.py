"""The bookkeeping of an update: which rows make a step, which parts of it fit in memory, what was measured."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch
from debate.learning.logprobs import BatchTensors, to_tensors
from debate.learning.losses import Loss, unit_weights

if TYPE_CHECKING:
    from torch import Tensor

MEASURED = ("loss", "policy_loss", "kl", "entropy", "clipped", "drift", "sampler_gap")


class Step:
    """The rows of one optimiser step, in parts that fit in memory.

    Attributes:
        batch: the rows.
        recorded, advantages, weights: [U] from the batch, and what each unit weighs in the loss.
        old, reference: [U] log-probabilities measured before the first step; None where they were not.
        part_rows: rows in memory at once.
    """

    def __init__(self, batch: TokenBatch, loss: Loss, part_rows: int, device: str) -> None:
        import torch

        self.batch = batch
        self.device = device
        rows, turns = torch.from_numpy(batch.unit_row), torch.from_numpy(batch.unit_turn)
        self.weights = unit_weights(rows, turns, loss.average, loss.length).to(device)
        self.recorded = torch.as_tensor(batch.old_logprobs, dtype=torch.float32).to(device)
        self.advantages = torch.as_tensor(batch.advantages, dtype=torch.float32).to(device)
        self.old: Tensor | None = None
        self.reference: Tensor | None = None
        self.part_rows = min(part_rows or batch.rows, batch.rows)
        self._parts: list[tuple[BatchTensors, slice]] | None = None

    @property
    def parts(self) -> list[tuple[BatchTensors, slice]]:
        """Tensors of each part, and which units of the step it holds."""
        if self._parts is None:
            self._parts = []
            for start in range(0, self.batch.rows, self.part_rows):
                stop = min(start + self.part_rows, self.batch.rows)
                first, last = np.searchsorted(self.batch.unit_row, [start, stop])
                part = self.batch.select(start, stop)
                if part.units:
                    self._parts.append((to_tensors(part, self.device), slice(int(first), int(last))))
        return self._parts

    def halve(self) -> None:
        """Makes the parts half as large."""
        self.part_rows = -(-self.part_rows // 2)
        self._parts = None


class Run:
    """One update in progress: its steps in fixed order, and sums of what was measured in the current pass."""

    def __init__(self, batch: TokenBatch, loss: Loss, minibatch_rows: int, part_rows: int, device: str) -> None:
        self.started = time.perf_counter()
        self.batch = batch
        size = minibatch_rows or max(batch.rows, 1)
        cuts = [batch.select(start, min(start + size, batch.rows)) for start in range(0, batch.rows, size)]
        self.steps = [Step(cut, loss, part_rows, device) for cut in cuts if cut.units]
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
            "grad_norm": float(np.mean(self.norms)) if self.norms else math.nan,
            "rows": float(self.batch.rows),
            "tokens": float(self.batch.units),
            "dropped": float(self.batch.dropped),
            "steps": float(len(self.norms)),
            "skipped": float(self.skipped),
            "seconds": time.perf_counter() - self.started,
        }
