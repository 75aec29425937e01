"""Prompts that begin alike, read once: which of them to group, and how much of each group is common.

Sorted, prompts with a long common beginning stand next to each other. A family is a run of them; it costs its common
prefix once and the rest of every member. The cheapest cut into families is found exactly, by dynamic programming over
the sorted prompts (Bellman 1957), families of at most `most` members.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Family(NamedTuple):
    """Prompts (indices) whose first `prefix` ids are the same; `prefix` is 0 for a prompt that is read alone."""

    prefix: int
    members: tuple[int, ...]


def families(prompts: Sequence[Sequence[int]], most: int = 32, least: int = 16) -> list[Family]:
    """The cheapest grouping of prompts.

    Args:
        prompts: ids, each of at least one token.
        most: most members of a family.
        least: shortest prefix worth sharing: below it the bookkeeping costs more than the reading.

    Returns:
        Families, every index once. The last id of a prompt is never in its prefix, so that each member is left with
        something to read: its last position is what is asked for.
    """
    order = sorted(range(len(prompts)), key=lambda i: tuple(prompts[i]))
    common = [_common(prompts[a], prompts[b]) for a, b in pairwise(order)]
    sizes = [len(prompts[i]) for i in order]
    cost = [0] + [0] * len(order)
    cut = [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        cost[end], cut[end] = cost[end - 1] + sizes[end - 1], end - 1  # alone
        total, shared = sizes[end - 1], sizes[end - 1] - 1
        for start in range(end - 2, max(-1, end - 1 - most), -1):
            total += sizes[start]
            shared = min(shared, common[start], sizes[start] - 1)
            if shared < least:
                break
            together = cost[start] + total - (end - start - 1) * shared
            if together < cost[end]:
                cost[end], cut[end] = together, start
    found = []
    end = len(order)
    while end:
        start = cut[end]
        members = tuple(order[start:end])
        shared = min([*common[start : end - 1], *(sizes[k] - 1 for k in range(start, end))]) if end - start > 1 else 0
        found.append(Family(shared, members))
        end = start
    return found[::-1]


def tokens_read(prompts: Sequence[Sequence[int]], grouped: Sequence[Family]) -> int:
    """How many ids a grouping reads."""
    return sum(f.prefix + sum(len(prompts[i]) - f.prefix for i in f.members) for f in grouped)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    length = min(len(one), len(other))
    for k in range(length):
        if one[k] != other[k]:
            return k
    return length
