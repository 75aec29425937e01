"""Randomness by name: every draw has its own seed, a hash of the run's seed and what the draw is for.

No result can depend on the order in which draws happen to be made, nor on what else is in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np


def derive(seed: int, *parts: object) -> int:
    """A 63-bit seed for the draw named by `parts` under the run's `seed`."""
    text = "\x1f".join([str(seed), *map(str, parts)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *parts: object) -> np.random.Generator:
    """A numpy generator for the draw named by `parts` under the run's `seed`."""
    return np.random.Generator(np.random.PCG64(derive(seed, *parts)))


def unit(seed: int) -> float:
    """One uniform number in [0, 1) from a derived seed: its top 53 bits."""
    return (seed >> 10) / (1 << 53)


def draw(probabilities: Sequence[float], seed: int) -> int:
    """The index that one uniform number from `seed` selects (inverse of the cumulative distribution)."""
    mark, total = unit(seed), 0.0
    for index, probability in enumerate(probabilities):
        total += probability
        if mark < total:
            return index
    return max(i for i, p in enumerate(probabilities) if p > 0)  # rounding left the sum just under the mark
