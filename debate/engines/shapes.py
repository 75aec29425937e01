"""Which requests go through the model together, and padded to what shape.

Matrix products differ in the last bits between shapes, not between the neighbours inside one shape. `fixed` shapes
therefore make a result a function of the request alone: always the same number of rows (filled up with filler rows),
each prompt padded to a length that depends on nothing but its own. That is cheap for the embedded model and dear for
real ones, where `fixed=False` packs prompts of similar length and lets finished rows leave.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shapes:
    """A batching plan.

    Attributes:
        rows: most requests in one forward; with `fixed`, always exactly as many rows.
        step: lengths are padded to multiples of it (with `fixed`, coarser as they grow: at most a quarter is padding).
        fixed: whether a row's shape may depend on nothing but the row.
    """

    rows: int
    step: int
    fixed: bool

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ValueError: rows or step below 1.
        """
        if self.rows < 1 or self.step < 1:
            raise ValueError(f"Shapes: expected rows and step of at least 1, got {self.rows} and {self.step}")

    def padded(self, length: int) -> int:
        """The length a row of `length` tokens is padded to.

        >>> Shapes(128, 8, fixed=True).padded(19), Shapes(128, 8, fixed=True).padded(130)
        (24, 160)
        """
        step = max(self.step, 1 << max(0, length.bit_length() - 3)) if self.fixed else self.step
        return -(-length // step) * step

    def plan(self, lengths: Sequence[int]) -> list[tuple[list[int], int]]:
        """Batches of requests.

        Args:
            lengths: [N] tokens of each.

        Returns:
            (indices into `lengths`, common padded length), every index once, at most `rows` of them a batch.
        """
        if self.fixed:
            groups: dict[int, list[int]] = defaultdict(list)
            for i, length in enumerate(lengths):
                groups[self.padded(length)].append(i)
            piles = [groups[key] for key in sorted(groups)]
        else:
            piles = [sorted(range(len(lengths)), key=lambda i: (lengths[i], i))]
        batches = [pile[start : start + self.rows] for pile in piles for start in range(0, len(pile), self.rows)]
        return [(batch, self.padded(max(lengths[i] for i in batch))) for batch in batches]

    def height(self, live: int) -> int:
        """Rows of a batch with `live` requests in it."""
        return self.rows if self.fixed else live
