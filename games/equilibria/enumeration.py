"""All equilibria of a bimatrix game: extreme equilibria, maximal Nash subsets and connected components.

Mangasarian (1964); Avis, Rosenberg, Savani & von Stengel (2010), "Enumeration of Nash equilibria for two-player
games". The equilibria are the pairs of vertices of the two best-reply polytopes that carry all labels; the
equilibrium set is the union of the convex hulls X × Y of its maximal cliques X × Y of such pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from games.equilibria.lemke_howson import positive_integers
from games.equilibria.rational import exact_fractions, plain_fractions
from games.equilibria.verification import TOLERANCE, verify
from games.equilibria.vertices import best_reply_vertices
from games.equilibrium import Equilibrium
from games.normal_form import Array, NormalFormGame

Subset = tuple[frozenset[int], frozenset[int]]


def solve_enumerate(
    game: NormalFormGame,
    *,
    select: str | None = None,
    max_vertices: int = 20_000,
    stop_after: int | None = None,
    tol: float = TOLERANCE,
    seed: int = 0,
) -> list[Equilibrium]:
    """All extreme equilibria of a two-player game, or by supports for other numbers of players.

    Each carries `details["component"]` (its connected component), `details["components"]` (how many there are),
    `details["subsets"]` (the maximal Nash subsets it belongs to; any mixture within one is an equilibrium) and
    `details["exact_profile"]` in fractions. Payoffs within rounding of a short fraction are read as that fraction;
    `exact` is true where this changed nothing.

    Args:
        game: scalar; two players with at most 62 strategies together, in practice about 12 each.
        select: None for all, "max_welfare" or "max_entropy" for the one equilibrium that maximises it over the whole
        set.
        max_vertices: how many vertices of one best-reply polytope to enumerate before giving up.
        stop_after: how many equilibria are enough; None returns all.
        tol: allowed regret, relative to the range of payoffs.
        seed: of the random starts used for three and more players.

    Raises:
        ValueError: unknown selection, or too many strategies.
        NotConverged: too many vertices, or an answer did not verify.
    """
    if select not in (None, "max_welfare", "max_entropy"):
        raise ValueError(f'method "enumerate": expected select None, "max_welfare" or "max_entropy", got {select!r}')
    if game.num_players != 2:
        if select is not None:
            raise ValueError(f"select: {select!r} is not defined for games of {game.num_players} players")
        from games.equilibria.supports import enumerate_supports

        return enumerate_supports(game, tol=tol, seed=seed, stop_after=stop_after)
    payoff = game.scalar()
    a, b = (positive_integers(matrix) for matrix in payoff)
    m, n = a.shape
    # 1. Vertices with their labels; in Q the labels of zero coordinates come after those of the inequalities.
    xs, x_labels = best_reply_vertices(b.T, max_vertices)
    ys, y_raw = best_reply_vertices(a, max_vertices)
    y_labels = [(mask >> n) | ((mask & ((1 << n) - 1)) << m) for mask in y_raw]
    # 2. Pairs that carry every label are the extreme equilibria.
    full = np.uint64((1 << (m + n)) - 1)
    carried = np.array(x_labels, dtype=np.uint64)[:, None] | np.array(y_labels, dtype=np.uint64)[None, :]
    pairs = [(int(i), int(j)) for i, j in np.argwhere((carried & full) == full)]
    # 3. Structure of the set.
    subsets = maximal_subsets(pairs)
    component = components(pairs)
    exact = bool((exact_fractions(payoff) == plain_fractions(payoff)).all())
    found = []
    for i, j in pairs if select is not None else pairs[:stop_after]:
        profile = (_floats(xs[i]), _floats(ys[j]))
        details = {
            "component": component[i, j],
            "components": len(set(component.values())),
            "subsets": tuple(k for k, (left, right) in enumerate(subsets) if i in left and j in right),
            "exact_profile": (xs[i], ys[j]),
        }
        found.append(verify(game, profile, "enumerate", tol=tol, exact=exact, details=details))
    if select == "max_welfare":
        # Welfare is bilinear on each subset, so an extreme equilibrium attains its maximum.
        return [max(found, key=lambda one: _welfare(one))]
    if select == "max_entropy":
        return [_max_entropy(game, xs, ys, subsets, tol)]
    return found


def maximal_subsets(pairs: list[tuple[int, int]]) -> list[Subset]:
    """Maximal cliques X × Y ⊆ pairs: the closed sets of the bipartite relation."""
    replies: dict[int, set[int]] = {}
    for i, j in pairs:
        replies.setdefault(i, set()).add(j)
    closed: set[frozenset[int]] = set()
    for right in replies.values():
        closed |= {frozenset(right & old) for old in closed} | {frozenset(right)}
    closed.discard(frozenset())
    cliques = {(frozenset(i for i, right in replies.items() if ys <= right), ys) for ys in closed}
    return sorted(cliques, key=lambda clique: (sorted(clique[0]), sorted(clique[1])))


def components(pairs: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Number of the connected component of each extreme equilibrium: neighbours share a vertex."""
    number: dict[tuple[int, int], int] = {}
    for start in pairs:
        if start in number:
            continue
        label, queue = len(set(number.values())), [start]
        number[start] = label
        while queue:
            i, j = queue.pop()
            for pair in pairs:
                if pair not in number and (pair[0] == i or pair[1] == j):
                    number[pair] = label
                    queue.append(pair)
    return number


def _floats(row: Iterable[Fraction]) -> Array:
    return np.array([float(q) for q in row], dtype=np.float64)


def _welfare(found: Equilibrium) -> float:
    assert found.payoffs is not None
    return float(found.payoffs.sum())


def _max_entropy(
    game: NormalFormGame,
    xs: list[tuple[Fraction, ...]],
    ys: list[tuple[Fraction, ...]],
    subsets: list[Subset],
    tol: float,
) -> Equilibrium:
    payoff = game.scalar()
    best, score = None, -np.inf
    for left, right in subsets:
        x_points = np.array([_floats(xs[i]) for i in sorted(left)])
        y_points = np.array([_floats(ys[j]) for j in sorted(right)])
        # Entropy of a product is the sum of entropies, so each factor is maximised on its own.
        x = _most_mixed(payoff[1].T, x_points, y_points.max(axis=0) > 0)
        y = _most_mixed(payoff[0], y_points, x_points.max(axis=0) > 0)
        entropy = sum(-float(p[p > 0] @ np.log(p[p > 0])) for p in (x, y))
        if entropy > score + 1e-9:
            best, score = (x, y), entropy
    assert best is not None  # a finite game has an equilibrium
    return verify(game, best, "enumerate", tol=tol, details={"select": "max_entropy", "entropy": score})


def _most_mixed(payoff: Array, points: Array, played: Array) -> Array:
    """The most mixed point of the convex hull of `points` [V, k], one factor of a maximal Nash subset.

    The factor is the set of distributions on the points' joint support to which every strategy in `played` is a best
    reply of the other player, whose payoffs are `payoff` [k_other, k].
    """
    if len(points) == 1:
        return np.asarray(points[0])
    from games.equilibria.entropy import max_entropy_point

    own = np.flatnonzero(points.max(axis=0) > 0)
    # Every strategy played in the other factor is a best reply to every point here: two-sided for those, one for the
    # rest.
    reference = payoff[np.flatnonzero(played)[0]][own]
    rows = payoff[:, own] - reference
    rows = np.vstack([rows, -rows[np.asarray(played, dtype=bool)]])
    rows = rows[np.abs(rows).max(axis=1) > 1e-12 * max(1.0, float(np.abs(payoff).max()))]
    p = np.zeros(points.shape[1])
    p[own] = max_entropy_point(rows, np.zeros(len(rows)))
    return p
