"""Several tests at once: p-values that keep the chance of any false alarm at its level."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment; valid under any dependence (Holm 1979, Scand. J. Statist. 6, 65–70).

    1. Sort ascending; the i-th smallest of m (from 0) is multiplied by m − i.
    2. No adjusted value is below one before it, nor above 1.

    Args:
        p_values: [m] in [0, 1].

    Returns:
        [m] in the order given: rejecting where it is ≤ α keeps the family-wise error rate at α.

    Raises:
        ValueError: not one-dimensional, or a value outside [0, 1] (NaN included).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"holm: expected [m] p-values in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
