"""Payoffs as exact rational numbers, and linear equations over them."""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.normal_form import Array

ObjectArray = NDArray[Any]


def exact_fractions(values: Array) -> ObjectArray:
    """Every double as the rational number it is; same shape, dtype object."""
    out = np.empty(values.shape, dtype=object)
    out.flat[:] = [Fraction(float(v)) for v in values.flat]
    return out


def plain_fractions(values: Array, bound: int = 100_000) -> ObjectArray:
    """Every double as the fraction its writer probably meant: 0.1 as 1/10, 0.333… as 1/3.

    Ties between mixtures of decimal payoffs are lost when each decimal is rounded to binary on its own; degenerate
    games then turn into nearly degenerate ones with spurious near-duplicate equilibria. A double within two units in
    the last place of a fraction with denominator at most `bound` is read as that fraction (a random double is, with
    probability about 1e-6), any other exactly.
    """
    out = np.empty(values.shape, dtype=object)
    out.flat[:] = [_plain(float(v), bound) for v in values.flat]
    return out


def _plain(value: float, bound: int) -> Fraction:
    exact = Fraction(value)
    if exact.denominator <= bound:
        return exact
    near = exact.limit_denominator(bound)
    return near if abs(near - exact) <= 2 * Fraction(float(np.spacing(abs(value)))) else exact


def common_integers(values: ObjectArray) -> ObjectArray:
    """The smallest integers in the same ratios as an array of fractions (least common denominator, then divisor)."""
    scale = lcm(*(q.denominator for q in values.flat))
    integers = [int(q * scale) for q in values.flat]
    divisor = gcd(*integers) or 1
    out = np.empty(values.shape, dtype=object)
    out.flat[:] = [i // divisor for i in integers]
    return out


def solve_near(matrix: list[list[Fraction]], rhs: list[Fraction], guess: list[Fraction]) -> list[Fraction] | None:
    """A rational solution of matrix · x = rhs whose undetermined coordinates equal `guess`; None where there is none.

    Gauss–Jordan elimination; earlier columns are preferred as pivots, so later ones stay free.
    """
    rows = [[*row, b] for row, b in zip(matrix, rhs, strict=True)]
    width = len(guess)
    pivots: list[int] = []
    for column in range(width):
        at = len(pivots)
        source = next((r for r in range(at, len(rows)) if rows[r][column] != 0), None)
        if source is None:
            continue
        rows[at], rows[source] = rows[source], rows[at]
        head = rows[at][column]
        rows[at] = [v / head for v in rows[at]]
        for r, row in enumerate(rows):
            if r != at and row[column] != 0:
                factor = row[column]
                rows[r] = [v - factor * p for v, p in zip(row, rows[at], strict=True)]
        pivots.append(column)
    if any(row[-1] != 0 for row in rows[len(pivots) :]):
        return None
    solution = list(guess)
    free = [c for c in range(width) if c not in pivots]
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = row[-1] - sum((row[c] * guess[c] for c in free), Fraction(0))
    return solution
