"""Best mixed deviations of a player whose utility is any function of its expected payoff vector.

Axis letters: B profiles at once, k own strategies, C objectives, D candidate deviations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from games.normal_form import Array
from games.vector.preference_map import simplex_grid

Utility = Callable[[Array], Array]

_LATTICE = 400  # about how many lattice points cover the simplex of one player's mixtures
_KEPT = 4  # how many of the best are refined
_SHRINK = 0.5
_SMALLEST = 1e-13  # steps below this change nothing that float64 can show
_ROUNDS = 150  # at most; in a narrow valley the steps grow and shrink many times before they vanish


def lattice(size: int) -> Array:
    """[D, size] evenly spaced mixtures, corners included; a player with one strategy has one."""
    steps = 1
    while size > 1 and _binomial(steps + 1 + size - 1, size - 1) <= _LATTICE:
        steps += 1
    return simplex_grid(size, steps) if size > 1 else np.ones((1, 1))


def evaluate(utility: Utility, vectors: Array) -> Array:
    """Applies a utility to vectors [..., C] and checks what it returns.

    Raises:
        ValueError: not one finite number for each vector.
    """
    value = np.asarray(utility(vectors), dtype=np.float64)
    if value.shape != vectors.shape[:-1]:
        raise ValueError(f"utility: expected [..., C] → [...], got {vectors.shape} → {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError("utility: expected finite numbers for every payoff vector within reach")
    return value


def best_deviation(utility: Utility, vectors: Array) -> tuple[Array, Array]:
    """The best mixture of a player's strategies in B situations.

    A lattice over the whole simplex, then zooming in on the best few points by halves: no derivative, no concavity; a
    peak narrower than the lattice spacing can be missed.

    Args:
        utility: [..., C] → [...].
        vectors: [B, k, C] payoff vector of each own pure strategy.

    Returns:
        value [B] and mixture [B, k].
    """
    own = vectors.shape[1]
    grid = lattice(own)
    values = evaluate(utility, np.einsum("dk,bkc->bdc", grid, vectors))
    kept = np.argsort(-values, axis=1)[:, : min(_KEPT, len(grid))]
    centre, best = grid[kept], np.take_along_axis(values, kept, axis=1)  # [B, K, k], [B, K]
    if own > 1:
        # Steps move probability from one strategy to another; clipping keeps them on the simplex.
        steps = (np.eye(own)[:, None] - np.eye(own)[None]).reshape(-1, own)
        steps = steps[np.abs(steps).sum(axis=1) > 0]
        reach = np.full(best.shape, 1.0 / max(2.0, float(len(grid)) ** (1.0 / (own - 1))))
        for _ in range(_ROUNDS):
            tried = np.clip(centre[:, :, None, :] + reach[:, :, None, None] * steps, 0.0, None)
            tried /= tried.sum(axis=-1, keepdims=True)
            found = evaluate(utility, np.einsum("bjdk,bkc->bjdc", tried, vectors))
            pick = found.argmax(axis=2)
            top = np.take_along_axis(found, pick[..., None], axis=2)[..., 0]
            moved = np.take_along_axis(tried, pick[..., None, None], axis=2)[..., 0, :]
            better = top > best
            centre, best = np.where(better[..., None], moved, centre), np.maximum(best, top)
            # A step that paid may pay again, also a longer one: halving regardless stops short in narrow valleys.
            reach = np.where(better, np.minimum(reach / _SHRINK, 1.0), reach * _SHRINK)
            if reach.max() < _SMALLEST:
                break
    chosen = best.argmax(axis=1)
    every = np.arange(len(chosen))
    return best[every, chosen], centre[every, chosen]


def _binomial(n: int, k: int) -> int:
    from math import comb

    return comb(n, k)
