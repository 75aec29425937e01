"""Baselines: what a reward is compared with. Kept apart per (protocol, role, seat position, criterion).

Pooling over seats would bury the signal: where one seat wins 90 % and the other 10 %, only 36 % of the pooled second
moment is signal. A reward that has no baseline (a group of one) has no advantage: NaN, never the raw reward.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from debate.learning.samples import Sample

Array = NDArray[np.float64]


def codes(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """[N] number of each key, in the order of first appearance."""
    table: dict[Hashable, int] = {}
    return np.array([table.setdefault(key, len(table)) for key in keys], dtype=np.int64)


def moments(values: Array, code: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Count, mean and sample standard deviation (ddof = 1) of each sample's group, NaN left out.

    Args:
        values: [N, C] with NaN where not known.
        code: [N] group numbers.

    Returns:
        count, mean, std, each [N, C], read at every sample's own group; mean is NaN for empty groups, std for
        groups with fewer than two numbers.
    """
    groups = int(code.max()) + 1 if code.size else 0
    known = np.isfinite(values)
    count = np.zeros((groups, values.shape[1]))
    total, square = count.copy(), count.copy()
    np.add.at(count, code, known)
    np.add.at(total, code, np.where(known, values, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        np.add.at(square, code, np.where(known, values - mean[code], 0.0) ** 2)
        std = np.where(count > 1, np.sqrt(square / (count - 1)), np.nan)
    return count[code], mean[code], std[code]


class Baseline(Protocol):
    """What rewards are compared with. `read` never changes it; `absorb` is called after the batch was read."""

    def read(self, samples: Sequence[Sample], values: Array, criteria: Sequence[str]) -> tuple[Array, Array]:
        """Baseline and spread of each sample and criterion, both [N, C]; NaN where there is none."""
        ...

    def absorb(self, samples: Sequence[Sample], values: Array, criteria: Sequence[str]) -> None:
        """Learns from a batch that was read."""
        ...

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores `state()` bit for bit."""
        ...


@dataclass
class GroupBaseline:
    """Mean over the episodes of one group (GRPO, 2402.03300; per criterion as GDPO, 2601.05242).

    Attributes:
        leave_one_out: compare with the mean of the *others* (RLOO, 2402.14740), an unbiased baseline.
    """

    leave_one_out: bool = False

    def read(self, samples: Sequence[Sample], values: Array, criteria: Sequence[str]) -> tuple[Array, Array]:
        """Group mean and group standard deviation (ddof = 1); NaN in a group of one."""
        count, mean, std = moments(values, codes([(sample.place, sample.group) for sample in samples]))
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.leave_one_out:
                mean = (count * mean - values) / (count - 1)
        return np.where(count > 1, mean, np.nan), std

    def absorb(self, samples: Sequence[Sample], values: Array, criteria: Sequence[str]) -> None:
        """Nothing: a group is its own baseline."""

    def state(self) -> dict[str, Any]:
        """No state but the kind."""
        return {"kind": "group", "leave_one_out": self.leave_one_out}

    def load(self, state: Mapping[str, Any]) -> None:
        """Checks that the state belongs to the same kind of baseline."""
        _expect(state, self.state(), ("kind", "leave_one_out"))


@dataclass
class EmaBaseline:
    """Role-conditioned exponential moving average (SPIRAL, 2506.24119, decay 0.95), read before it is updated.

    A place that was never seen has no average yet: its first batch is compared leave-one-out with itself (so no
    reward is ever part of its own baseline), and the average starts at that batch's mean.
    The spread is the batch's standard deviation (ddof = 1) within the place.
    """

    decay: float = 0.95
    values: dict[tuple[str, str, int, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses a decay outside [0, 1)."""
        if not 0 <= self.decay < 1:
            raise ValueError(f"EmaBaseline.decay: expected a number in [0, 1), got {self.decay}")

    def read(self, samples: Sequence[Sample], values: Array, criteria: Sequence[str]) -> tuple[Array, Array]:
        """The averages as they stood before this batch, and the batch's spread in each place."""
        count, mean, std = moments(values, codes([sample.place for sample in samples]))
        with np.errstate(invalid="ignore", divide="ignore"):
            others = np.where(count > 1, (count * mean - values) / (count - 1), np.nan)
        known = np.array(
            [[self.values.get((*sample.place, name), np.nan) for name in criteria] for sample in samples]
        ).reshape(values.shape)
        return np.where(np.isnan(known), others, known), std

    def absorb(self, samples: Sequence[Sample], values: Array, criteria: Sequence[str]) -> None:
        """Moves b ← decay · b + (1 − decay) · r, sample by sample in the order given."""
        _, mean, _ = moments(values, codes([sample.place for sample in samples]))
        fresh = {(*sample.place, name) for sample in samples for name in criteria} - set(self.values)
        for n, sample in enumerate(samples):
            for c, name in enumerate(criteria):
                key = (*sample.place, name)
                if np.isnan(values[n, c]):
                    continue
                if key in fresh:
                    self.values.setdefault(key, float(mean[n, c]))
                else:
                    self.values[key] = self.decay * self.values[key] + (1 - self.decay) * float(values[n, c])

    def state(self) -> dict[str, Any]:
        """The averages; Python's floats survive JSON bit for bit."""
        return {"kind": "ema", "decay": self.decay, "values": [[*key, self.values[key]] for key in sorted(self.values)]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores the averages."""
        _expect(state, self.state(), ("kind", "decay"))
        self.values = {
            (str(protocol), str(role), int(position), str(name)): float(value)
            for protocol, role, position, name, value in state["values"]
        }


def _expect(state: Mapping[str, Any], own: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuses state of another baseline.

    Raises:
        ValueError: which setting differs.
    """
    for key in keys:
        if state.get(key) != own[key]:
            raise ValueError(f"baseline state: expected {key} = {own[key]!r}, got {state.get(key)!r}")
