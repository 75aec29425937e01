"""Vertices of best-reply polytopes by the double description method over the integers.

Motzkin et al. (1953); Fukuda & Prodon (1996), "Double description method revisited". Exact arithmetic makes
degenerate games (ties, clones) as safe as generic ones.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import numpy as np
from numpy.typing import NDArray

from games.equilibria.rational import ObjectArray
from games.equilibrium import NotConverged

Masks = NDArray[np.uint64]
_POPCOUNT = np.array([bin(i).count("1") for i in range(256)], dtype=np.uint8)


def best_reply_vertices(matrix: ObjectArray, max_vertices: int) -> tuple[list[tuple[Fraction, ...]], list[int]]:
    """All vertices, except 0, of {x ≥ 0 : matrix @ x ≤ 1}, scaled to sum 1.

    Args:
        matrix: [q, d] positive integers (q + d ≤ 62).
        max_vertices: gives up beyond.

    Returns:
        V distributions of d fractions, and V bit masks: bit i < d says x_i = 0, bit d + j says inequality j is tight.

    Raises:
        ValueError: more than 62 inequalities.
        NotConverged: more than `max_vertices` vertices turned up.
    """
    q, d = matrix.shape
    if q + d > 62:
        raise ValueError(f"enumerate: expected at most 62 strategies in all, got {q + d}")
    # 1. The cone over the polytope, {(x, t) ≥ 0}, has the unit vectors as rays; bit q + d says t = 0.
    rays: ObjectArray = np.array([[int(i == j) for j in range(d + 1)] for i in range(d + 1)], dtype=object)
    bits = [*range(d), q + d]
    everything = sum(1 << bit for bit in bits)
    masks: Masks = np.array([everything & ~(1 << bit) for bit in bits], dtype=np.uint64)
    for j in range(q):
        # 2. Insert t − matrix[j] · x ≥ 0.
        values = rays[:, -1] - rays[:, :-1] @ matrix[j]
        signs = np.array([(v > 0) - (v < 0) for v in values])
        bit = np.uint64(1 << (d + j))
        masks = np.where(signs == 0, masks | bit, masks)
        above, below = np.flatnonzero(signs > 0), np.flatnonzero(signs < 0)
        fresh_rays, fresh_masks = [], []
        for one, other, common in _adjacent(masks, above, below, d - 1):
            ray = values[one] * rays[other] - values[other] * rays[one]
            fresh_rays.append(ray // gcd(*ray))
            fresh_masks.append(common | int(bit))
        keep = signs >= 0
        parts = [rays[keep], np.array(fresh_rays, dtype=object).reshape(-1, d + 1)]
        rays = np.concatenate(parts)
        masks = np.concatenate([masks[keep], np.array(fresh_masks, dtype=np.uint64)])
        if len(rays) > max_vertices:
            raise NotConverged(f"enumerate: more than {max_vertices} vertices; ask for one equilibrium instead")
    points, labels = [], []
    for ray, mask in zip(rays, masks.tolist(), strict=True):
        total = sum(ray[:-1])
        if total > 0:
            points.append(tuple(Fraction(int(v), int(total)) for v in ray[:-1]))
            labels.append(int(mask))
    return points, labels


def _adjacent(
    masks: Masks, above: NDArray[np.intp], below: NDArray[np.intp], needed: int
) -> list[tuple[int, int, int]]:
    """Pairs of adjacent rays: no third ray lies on all facets the two share (combinatorial test)."""
    if len(above) == 0 or len(below) == 0:
        return []
    shared = masks[above][:, None] & masks[below][None, :]
    counts = _POPCOUNT[shared.view(np.uint8).reshape(*shared.shape, 8)].sum(axis=-1)
    pairs = []
    for i, k in np.argwhere(counts >= needed):
        common = shared[i, k]
        if int(((masks & common) == common).sum()) == 2:
            pairs.append((int(above[i]), int(below[k]), int(common)))
    return pairs
