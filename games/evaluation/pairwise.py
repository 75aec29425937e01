"""Bradley–Terry and Elo ratings from wins and losses, with simultaneous confidence intervals.

Zermelo (1929); Bradley & Terry (1952): P(i beats j) = 1 / (1 + e^{θ_j − θ_i}). Maximum likelihood without a prior.
The estimate exists exactly where nobody can split the players into two groups such that no one in the second ever
beat one in the first (Ford 1957). Intervals hold for all players together: the covariance is the pseudo-inverse of
the Fisher information on Σ θ = 0, and the critical value is Šidák's (1967), valid for any Gaussian correlation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.equilibrium import NotConverged
from games.normal_form import Array

ELO_PER_LOGIT = 400.0 / np.log(10.0)


@dataclass(frozen=True, eq=False)
class PairwiseRatings:
    """Ratings of k players.

    Attributes:
        ratings: [k], summing to zero.
        intervals: [k, 2] (low, high), which hold simultaneously with probability `confidence` for large samples.
        covariance: [k, k] of the ratings.
        confidence: of all intervals together.
    """

    ratings: Array
    intervals: Array
    covariance: Array
    confidence: float


def bradley_terry(
    pairs: ArrayLike, num_players: int | None = None, confidence: float = 0.95, prior: float = 0.0
) -> PairwiseRatings:
    """Maximum-likelihood log-odds ratings.

    Args:
        pairs: [N, 2] whole numbers (winner, loser), one row a comparison.
        num_players: k; default the largest number in `pairs` plus one.
        confidence: of all intervals together.
        prior: this many imagined wins of everyone over everyone else. 0 is plain maximum likelihood; with more the
            estimate always exists, is pulled towards 0, and intervals count imagined comparisons as if they were real.

    Raises:
        ValueError: pairs are malformed, or without a prior the estimate is infinite or undetermined (perfect
        separation).
        NotConverged: Newton's method did not reach the maximum.
    """
    wins = _wins(pairs, num_players)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    if not (np.isfinite(prior) and prior >= 0.0):
        raise ValueError(f"prior: expected a finite number >= 0, got {prior}")
    k = len(wins)
    if prior > 0:
        wins = wins + prior * (1.0 - np.eye(k))
    _check_separation(wins)
    theta, covariance = _maximum_likelihood(wins)
    from scipy.stats import norm

    each = confidence ** (1.0 / k)
    margin = float(norm.ppf(0.5 + 0.5 * each)) * np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    return PairwiseRatings(theta, np.stack([theta - margin, theta + margin], axis=1), covariance, confidence)


def elo(
    pairs: ArrayLike, num_players: int | None = None, confidence: float = 0.95, prior: float = 0.0
) -> PairwiseRatings:
    """The same estimate on the Elo scale: 400 points are odds of ten to one; the mean is 0.

    It does not depend on the order of the comparisons, unlike Elo's sequential update. Arguments and errors are those
    of `bradley_terry`.
    """
    found = bradley_terry(pairs, num_players, confidence, prior)
    scale = float(ELO_PER_LOGIT)
    return PairwiseRatings(
        found.ratings * scale, found.intervals * scale, found.covariance * scale**2, found.confidence
    )


def _wins(pairs: ArrayLike, num_players: int | None) -> Array:
    """[k, k] how often the row player beat the column player."""
    raw = np.asarray(pairs)
    if raw.ndim != 2 or raw.shape[1] != 2 or len(raw) == 0:
        raise ValueError(f"pairs: expected shape [N, 2] (winner, loser) with N >= 1, got {raw.shape}")
    table = np.asarray(raw, dtype=np.float64)
    if not np.isfinite(table).all() or (table != np.floor(table)).any() or table.min() < 0:
        raise ValueError("pairs: expected whole numbers >= 0")
    index = table.astype(np.intp)
    k = int(index.max()) + 1 if num_players is None else int(num_players)
    if index.max() >= k:
        raise ValueError(f"pairs: expected player numbers below {k}, got {int(index.max())}")
    same = np.flatnonzero(index[:, 0] == index[:, 1])
    if len(same):
        raise ValueError(f"pairs[{int(same[0])}]: player {int(index[same[0], 0])} cannot beat itself")
    wins = np.zeros((k, k))
    np.add.at(wins, (index[:, 0], index[:, 1]), 1.0)
    return wins


def _check_separation(wins: Array) -> None:
    from scipy.sparse.csgraph import connected_components

    groups, label = connected_components(wins > 0, directed=True, connection="strong")
    if groups > 1:
        members = [np.flatnonzero(label == g).tolist() for g in range(groups)]
        raise ValueError(
            "bradley_terry: the estimate is infinite or undetermined (perfect separation, or players never compared): "
            f"no chain of wins leads both ways between the groups {members}; compare more, or pass prior=0.5"
        )


def _maximum_likelihood(wins: Array) -> tuple[Array, Array]:
    """(θ [k] with Σ θ = 0, its covariance [k, k]) by damped Newton steps on the concave log-likelihood."""
    k = len(wins)
    games = wins + wins.T
    theta = np.zeros(k)

    def likelihood(t: Array) -> float:
        return -float((wins * np.logaddexp(0.0, t[None, :] - t[:, None])).sum())

    for _ in range(200):
        chance = 1.0 / (1.0 + np.exp(theta[None, :] - theta[:, None]))
        gradient = (wins - games * chance).sum(axis=1)
        weight = games * chance * (1.0 - chance)
        information = np.diag(weight.sum(axis=1)) - weight
        # Adding the all-ones direction makes the information regular and keeps Σ θ = 0.
        step = np.linalg.solve(information + 1.0 / k, gradient)
        if np.abs(step).max() < 1e-8:  # the error after this step is of the order of its square
            theta = theta + step
            return theta - theta.mean(), np.asarray(np.linalg.inv(information + 1.0 / k) - 1.0 / k, dtype=np.float64)
        here, reach = likelihood(theta), 1.0
        while likelihood(theta + reach * step) < here and reach > 1e-8:
            reach *= 0.5
        theta = theta + reach * step
        theta -= theta.mean()
    raise NotConverged(f"bradley_terry: the last Newton step was {np.abs(step).max():.2e}")
