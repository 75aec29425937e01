"""Pareto fronts and their hypervolume, for any number of objectives.

Axis letters: N points, C objectives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.normal_form import Array


def pareto_front(points: ArrayLike, maximise: bool = True) -> NDArray[np.bool_]:
    """Which points no other point dominates (at least as good on every objective, better on one).

    Args:
        points: [N, C].
        maximise: whether larger is better, on every objective.

    Returns:
        [N] mask; equal points are all kept or all dropped.

    Raises:
        ValueError: not [N, C], or a coordinate that is not finite.
    """
    p = _points(points) * (1.0 if maximise else -1.0)
    mask = np.ones(len(p), dtype=bool)
    for i, point in enumerate(p):
        if mask[i]:  # a dominated point's victims are also victims of what dominates it
            mask &= ~((p <= point).all(axis=1) & (p < point).any(axis=1))
    return mask


def hypervolume(points: ArrayLike, reference: ArrayLike, maximise: bool = True) -> float:
    """Exact volume dominated by the points and bounded by the reference, in the product of the objectives' units.

    The WFG recursion (While, Bradstreet & Barone 2012, "A fast way of calculating exact hypervolumes"): the volume is
    the sum over points of what each adds to those after it, and that is its box less the hypervolume of the others
    limited to it. Two objectives are swept directly.

    Args:
        points: [N, C]; those not strictly better than the reference on every objective add nothing.
        reference: [C] the corner every counted point improves on.
        maximise: whether larger is better, on every objective.

    Raises:
        ValueError: not [N, C], a reference of the wrong length, or a coordinate that is not finite.
    """
    p = _points(points)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != (p.shape[1],) or not np.isfinite(corner).all():
        raise ValueError(f"reference: expected {p.shape[1]} finite coordinates, got {corner.tolist()}")
    gain = (p - corner) * (1.0 if maximise else -1.0)
    gain = gain[(gain > 0).all(axis=1)]
    return _volume(np.unique(gain, axis=0)) if len(gain) else 0.0


def _points(points: ArrayLike) -> Array:
    p = np.asarray(points, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] == 0:
        raise ValueError(f"points: expected shape [N, C], got {p.shape}")
    if not np.isfinite(p).all():
        raise ValueError(f"points: expected finite coordinates, got {p[~np.isfinite(p).all(axis=1)][0].tolist()}")
    return p


def _volume(gain: Array) -> float:
    """Union of the boxes [0, gain_n]; gain [N, C] > 0."""
    front = gain[pareto_front(gain)]
    if front.shape[1] == 1:
        return float(front.max())
    # 1. Ascending in the first objective: limited sets then shrink fastest.
    front = front[np.argsort(front[:, 0], kind="stable")]
    if front.shape[1] == 2:
        widths = np.diff(front[:, 0], prepend=0.0)
        return float(widths @ front[:, 1])
    total = 0.0
    for i, point in enumerate(front):
        # 2. What `point` adds to the points after it: its box less their volume inside that box.
        total += float(point.prod())
        limited = np.minimum(front[i + 1 :], point)
        if len(limited):
            total -= _volume(np.unique(limited, axis=0))
    return total
