"""Vector rewards: one number for each seat and criterion, present only where its status is "ok"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from judges.types import Record, Status


@dataclass(frozen=True, slots=True)
class Reading:
    """One seat's measurement on one criterion. A number exists exactly where the status is "ok"."""

    value: float
    status: Status = "ok"

    def __post_init__(self) -> None:
        """Refuses a number that is not one.

        Raises:
            ValueError: a value that is not finite with status "ok", or a number with another status.
        """
        if (self.status == "ok") != math.isfinite(self.value):
            raise ValueError(
                f"a reward rule returned {self.value} with status {self.status!r}: "
                "a finite number goes with ok, NaN with anything else"
            )


UNKNOWN = Reading(math.nan, "abstain")


class RewardRule(Protocol):
    """Turns a record into one reading for each seat, in the order of `record.seats`."""

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; raises only on a bug, an unknown value is `UNKNOWN`."""
        ...


@dataclass(frozen=True, eq=False)
class Rewards:
    """The rewards of one episode.

    Attributes:
        values: [S, C]; NaN exactly where the status is not "ok".
        criteria: C names.
        status: S rows of C statuses.
        seats: S names.
    """

    values: NDArray[np.float64]
    criteria: tuple[str, ...]
    status: tuple[tuple[Status, ...], ...]
    seats: tuple[str, ...]

    def __post_init__(self) -> None:
        """Holds the shapes and the rule that a number exists exactly where the status is "ok".

        Raises:
            ValueError: a shape that does not fit, or a value that contradicts its status.
        """
        shape = (len(self.seats), len(self.criteria))
        if (
            self.values.shape != shape
            or len(self.status) != shape[0]
            or any(len(row) != shape[1] for row in self.status)
        ):
            raise ValueError(
                f"Rewards: expected values and status of shape {shape} (seats, criteria), got {self.values.shape}"
            )
        for seat, row, statuses in zip(self.seats, self.values.tolist(), self.status, strict=True):
            for name, value, status in zip(self.criteria, row, statuses, strict=True):
                if (status == "ok") != math.isfinite(value):
                    raise ValueError(f"Rewards: {name!r} of seat {seat!r} is {value} with status {status!r}")


def measure_rewards(rules: Mapping[str, RewardRule], record: Record) -> Rewards:
    """Applies one rule a criterion to a record.

    Raises:
        ValueError: a rule returned the wrong number of readings, or NaN with status "ok" (a bug, never a reward).
    """
    seats = len(record.seats)
    columns = []
    for name, rule in rules.items():
        readings = rule(record)
        if len(readings) != seats:
            raise ValueError(f"reward rule {name!r}: expected {seats} readings, one a seat, got {len(readings)}")
        columns.append(readings)
    values = np.array([[column[s].value for column in columns] for s in range(seats)]).reshape(seats, len(columns))
    status = tuple(tuple(column[s].status for column in columns) for s in range(seats))
    return Rewards(values, tuple(rules), status, record.seats)
