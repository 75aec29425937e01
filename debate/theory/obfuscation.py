"""Obfuscated arguments: a tree of b^d claims, one of them wrong, and q inspections.

B. Barnes and P. Christiano, "Debate update: obfuscated arguments problem" (2020): a debater who does not know which
claim is wrong, and cannot narrow it down on the way, finds it with probability min(1, q / b^d) by q distinct
inspections; a judge who is led to it at every level needs d steps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def detection(branching: int, depth: int, inspections: int) -> float:
    """P(the wrong leaf is among `inspections` distinct uniform ones) = min(1, q / b^d).

    Raises:
        ValueError: branching below 1, or a negative depth or number of inspections.
    """
    _check(branching, depth, inspections)
    return min(1.0, inspections / float(branching**depth))


def detection_by_misses(branching: int, depth: int, inspections: int) -> float:
    """The same without the formula: 1 − Π (1 − 1 / leaves left), one factor an inspection that misses."""
    _check(branching, depth, inspections)
    leaves, missed = branching**depth, 1.0
    for done in range(min(inspections, leaves)):
        missed *= 1.0 - 1.0 / (leaves - done)
    return 1.0 - missed


def simulate(branching: int, depth: int, inspections: int, trees: int, seed: int) -> float:
    """Share of `trees` random trees in which the walk of distinct inspections met the wrong leaf.

    Each tree hides its flaw by drawing a child at every level; leaves are inspected in a random order.

    Raises:
        ValueError: sizes out of range, or more than 10^7 leaves in all.
    """
    _check(branching, depth, inspections)
    leaves = branching**depth
    if leaves * trees > 10_000_000:
        raise ValueError(f"simulate: {trees} trees of {leaves} leaves are too many")
    rng = np.random.default_rng(seed)
    path = rng.integers(branching, size=(trees, depth))
    flaw = path @ branching ** np.arange(depth - 1, -1, -1) if depth else np.zeros(trees, dtype=np.int64)
    order: NDArray[np.int64] = rng.permuted(np.tile(np.arange(leaves), (trees, 1)), axis=1)
    looked = order[:, : min(inspections, leaves)]
    return float((looked == flaw[:, None]).any(axis=1).mean())


def inspections_for(branching: int, depth: int, probability: float) -> int:
    """Fewest inspections that find the flaw with at least this probability: ⌈p · b^d⌉, exponential in the depth."""
    if not 0 <= probability <= 1:
        raise ValueError(f"inspections_for: expected a probability, got {probability}")
    return math.ceil(probability * float(branching**depth) - 1e-9)


def _check(branching: int, depth: int, inspections: int) -> None:
    if branching < 1 or depth < 0 or inspections < 0:
        raise ValueError(
            f"obfuscation tree: expected branching >= 1, depth and inspections >= 0; got {branching}, {depth}, "
            f"{inspections}"
        )
