"""Preferences between answers, as rewards: Bradley–Terry from pairs, Plackett–Luce from rankings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from judges.judges.asking import ask_many
from judges.types import Case, Judge, Verdict

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparisons:
    """What a judge said about pairs of candidates.

    Attributes:
        pairs: (winner, loser) indices, one a decided comparison.
        ties: the undecided pairs.
        failed: pairs that the judge could not compare; they are not ties.
        verdicts: the verdicts, in the order of the pairs asked.
    """

    pairs: tuple[tuple[int, int], ...]
    ties: tuple[tuple[int, int], ...]
    failed: tuple[tuple[int, int], ...]
    verdicts: tuple[Verdict, ...]


async def compare(
    judge: Judge, question: str, candidates: Sequence[str], pairs: Sequence[tuple[int, int]] | None = None
) -> Comparisons:
    """Asks a judge which of two candidates answers better, for all pairs or the given ones, in one batch."""
    asked = list(combinations(range(len(candidates)), 2)) if pairs is None else list(pairs)
    verdicts = await ask_many(judge, [Case(question, (candidates[a], candidates[b])) for a, b in asked])
    won, ties, failed = [], [], []
    for (a, b), verdict in zip(asked, verdicts, strict=True):
        if verdict.status != "ok":
            failed.append((a, b))
        elif verdict.answer is None:
            ties.append((a, b))
        else:
            won.append((a, b) if verdict.answer == 0 else (b, a))
    return Comparisons(tuple(won), tuple(ties), tuple(failed), tuple(verdicts))


def preference_rewards(pairs: Sequence[tuple[int, int]], count: int, prior: float = 0.0) -> Array:
    """Bradley–Terry ratings of the candidates: reward differences are the log-odds of being preferred.

    Args:
        pairs: (winner, loser) indices.
        count: number of candidates.
        prior: pseudo-comparisons of every candidate with an average one, half won and half lost; > 0 keeps ratings
            finite where a candidate won or lost everything.

    Returns:
        [count] ratings that sum to zero; NaN for a candidate that was never compared (with `prior` 0).

    Raises:
        ValueError: an index out of range, or ratings that do not exist (a candidate that won or lost everything).
    """
    if prior > 0.0:
        return plackett_luce([list(pair) for pair in pairs], count, prior=prior)
    met = sorted({int(i) for pair in pairs for i in pair})
    if met and not 0 <= met[0] <= met[-1] < count:
        raise ValueError(f"preference_rewards: expected indices below {count}, got {met}")
    rewards = np.full(count, np.nan)
    if met:
        from games import bradley_terry

        place = {candidate: k for k, candidate in enumerate(met)}
        rewards[met] = bradley_terry(np.array([[place[a], place[b]] for a, b in pairs])).ratings
    return rewards


def plackett_luce(
    rankings: Sequence[Sequence[int]], count: int, prior: float = 0.0, tol: float = 1e-10, max_iter: int = 10_000
) -> Array:
    """Plackett–Luce ratings by Hunter's MM algorithm (2004, "MM algorithms for generalized Bradley–Terry models", §5).

    A ranking is drawn by choosing the best of all, then the best of the rest, …, each with probability proportional
    to exp(rating).

    Args:
        rankings: each from best to worst, possibly of some of the candidates only (at least two, none twice).
        count: number of candidates.
        prior: pseudo-comparisons of every candidate with an average one, half won and half lost.
        tol: largest change of a rating at which to stop.
        max_iter: iterations before giving up.

    Returns:
        [count] ratings that sum to zero.

    Raises:
        ValueError: a wrong ranking; no finite ratings (some candidates never lost to the others, or were never
            ranked); or no convergence.
    """
    groups: list[tuple[list[int], float]] = []
    for number, ranking in enumerate(rankings):
        places = [int(i) for i in ranking]
        if len(places) < 2 or len(set(places)) < len(places) or not all(0 <= i < count for i in places):
            raise ValueError(
                f"rankings[{number}]: expected two or more different indices below {count}, got {list(ranking)}"
            )
        groups.append((places, 1.0))
    size = count
    if prior > 0.0:  # the average candidate is one more, at index `count`
        size = count + 1
        groups += [(pair, prior / 2) for i in range(count) for pair in ([i, count], [count, i])]
    _require_connected(groups, size)
    # 1. How often each candidate was chosen: all places but the last of each ranking.
    wins = np.zeros(size)
    for places, weight in groups:
        wins[places[:-1]] += weight
    # 2. Fixed point: strength = wins / Σ over choices it was part of, of 1 / (total strength on offer).
    log = np.zeros(size)
    for _ in range(max_iter):
        strength = np.exp(log)
        offered = np.zeros(size)
        for places, weight in groups:
            remaining = np.cumsum(strength[places][::-1])[::-1][:-1]
            share = np.cumsum(weight / remaining)
            offered[places[:-1]] += share
            offered[places[-1]] += share[-1]
        new = np.log(wins / offered)
        new -= new[:count].mean()
        change = float(np.abs(new - log).max())
        log = new
        if change < tol:
            return np.asarray(log[:count], dtype=np.float64)
    raise ValueError(f"plackett_luce: ratings still moved by {change:.2e} after {max_iter} iterations")


def _require_connected(groups: Sequence[tuple[list[int], float]], size: int) -> None:
    """Ratings are finite if and only if no set of candidates always beats the rest (Ford 1957; Hunter 2004)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = [(a, b) for places, _ in groups for k, a in enumerate(places) for b in places[k + 1 :]]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(size, size))
    parts, member = connected_components(graph, directed=True, connection="strong")
    if parts > 1:
        groups_of = [np.flatnonzero(member == k).tolist() for k in range(parts)]
        raise ValueError(f"no finite ratings: some of {groups_of} always beat others or never met them; use prior > 0")


def group_rewards(scores: ArrayLike) -> Array:
    """Pairwise scores [n, n] of "row is preferred to column" as each row's mean over the other candidates.

    The mean win probability (Borda) needs no model and no connectivity. NaN entries are comparisons that failed; they
    are left out, and a row without any other is NaN. The diagonal is ignored.
    """
    table = np.array(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"group_rewards: expected shape [n, n], got {table.shape}")
    np.fill_diagonal(table, np.nan)
    known = ~np.isnan(table)
    total = np.where(known, table, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan), dtype=np.float64)
