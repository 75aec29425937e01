"""Preferences that a policy is told: part of the id it plays under, `alice-v3@win=0.300,truth=0.700`.

So a match's plan says which weights a seat was given, its transcript records them, and a tournament may hold one policy
under several preferences as so many strategies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement

from debate.errors import UserError
from debate.seeds import generator

MARK = "@"
DIGITS = 3


def base_id(policy: str) -> str:
    """The id of the weights, without the preference.

    >>> base_id("alice-v3@win=0.300,truth=0.700")
    'alice-v3'
    """
    return policy.partition(MARK)[0]


def preference_of(policy: str) -> dict[str, float]:
    """Criterion → weight that a policy's id names; empty where it names none.

    >>> preference_of("alice-v3@win=0.300,truth=0.700")
    {'win': 0.3, 'truth': 0.7}

    Raises:
        UserError: something after the mark that is no list of weights.
    """
    _, mark, text = policy.partition(MARK)
    if not mark:
        return {}
    weights = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            raise UserError(f"policy {policy!r}: expected NAME=NUMBER after {MARK}, got {part!r}") from None
    return weights


def preferring(policy: str, weights: Mapping[str, float]) -> str:
    """The id of a policy that is told these weights."""
    return f"{base_id(policy)}{MARK}{words(weights)}"


def words(weights: Mapping[str, float]) -> str:
    """Weights as text."""
    return ",".join(f"{name}={weight:.{DIGITS}f}" for name, weight in weights.items())


def draw(over: Sequence[str], concentration: float, seed: int, *parts: object) -> dict[str, float]:
    """Weights from a symmetric Dirichlet distribution, rounded so that they still sum to 1.

    Args:
        over: the criteria.
        concentration: 1 = uniform on the simplex, smaller = nearer to its corners.
        seed: the run's.
        parts: what the draw is for.
    """
    raw = generator(seed, "preference", *parts).dirichlet([concentration] * len(over))
    unit = 10**DIGITS
    counts = [int(share * unit) for share in raw]
    counts[max(range(len(over)), key=lambda c: raw[c])] += unit - sum(counts)
    return {name: count / unit for name, count in zip(over, counts, strict=True)}


def grid(over: Sequence[str], steps: int) -> list[dict[str, float]]:
    """Every point of the simplex whose weights are multiples of 1/steps.

    >>> [words(w) for w in grid(["a", "b"], 2)]
    ['a=1.000,b=0.000', 'a=0.500,b=0.500', 'a=0.000,b=1.000']
    """
    points = []
    for chosen in combinations_with_replacement(range(len(over)), steps):
        points.append({name: chosen.count(c) / steps for c, name in enumerate(over)})
    return points
