"""How much an analysis of an empirical game moves when its clusters are drawn again.

The clusters (questions, judges, seeds) are reweighted, never single matches: matches of one cluster are dependent.
The weights are the Bayesian bootstrap's, uniform on the simplex (Rubin 1981), which has the classical bootstrap's
first-order intervals and never leaves a played cell without weight, so no resample has to be thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.empirical.matrix_games import solve_matrix_games
from games.empirical.samples import EmpiricalGame
from games.empirical.tracking import track
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame, Profile

Analysis = Callable[[NormalFormGame], Any]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """What a bootstrap found. Unpacks as `intervals, support_inclusion`.

    Attributes:
        estimate: name → the analysis of the mean game itself.
        intervals: name → (low, high), arrays of the shape of the estimate (floats where that is a float).
        support_inclusion: for each player, the share [k_i] of resamples whose equilibrium plays the strategy; empty
            where the analysis has no profile.
        support_frequency: whole support profile → share of resamples with exactly that support.
        resamples: how many resamples the numbers rest on.
        failures: message → how many further resamples the analysis failed on; they are in no number above.
        level: the coverage aimed at.
        draws: name → [resamples, …] every value, for plots and tests.
    """

    estimate: Mapping[str, Any]
    intervals: Mapping[str, tuple[Any, Any]]
    support_inclusion: tuple[Array, ...]
    support_frequency: Mapping[tuple[tuple[int, ...], ...], float]
    resamples: int
    failures: Mapping[str, int]
    level: float
    draws: Mapping[str, Array]

    def __iter__(self) -> Iterator[Any]:
        """The two things most callers want."""
        return iter((self.intervals, self.support_inclusion))


def cluster_weights(clusters: int, resamples: int, seed: int) -> Array:
    """[R, G] weights of the Bayesian bootstrap: Dirichlet(1, …, 1), each row of mean 1."""
    return np.asarray(np.random.default_rng(seed).dirichlet(np.ones(clusters), size=resamples) * clusters)


def bootstrap(
    empirical: EmpiricalGame,
    analysis: Analysis | str = "nash",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    support_tolerance: float = 1e-6,
) -> Bootstrap:
    """Percentile intervals of any analysis, and how often each strategy is in an equilibrium's support.

    Args:
        empirical: the samples.
        analysis: NormalFormGame → Equilibrium, list of them (the first is taken), array, float, or dict of those; or
            "nash" (or `games.solve` itself): constant-sum games of two players are solved all at once; in general-sum
            ones the first equilibrium of the mean game is followed (`games.empirical.tracking`).
        resamples: R.
        seed: of the cluster weights.
        level: of the intervals.
        support_tolerance: probability above which a strategy counts as played.

    Raises:
        ValueError: an unplayed cell, fewer than two clusters, a bad level, an unknown analysis, or an analysis that
            failed on the mean game or on every resample.
    """
    if empirical.num_clusters < 2:
        raise ValueError("bootstrap: expected at least two clusters, got 1: nothing can be said about how they vary")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"bootstrap: expected resamples ≥ 1 and 0 < level < 1, got {resamples} and {level}")
    if isinstance(analysis, str) and analysis != "nash":
        raise ValueError(f"analysis: expected a callable or 'nash', got {analysis!r}")
    from games.equilibria.dispatch import solve

    if analysis is solve:
        analysis = "nash"
    game = empirical.normal_form()
    means = empirical.weighted_means(cluster_weights(empirical.num_clusters, resamples, seed))
    constant = empirical.constant_sum() if empirical.num_players == 2 else None
    failures: dict[str, int] = {}
    if analysis == "nash" and constant is not None:
        estimate = {name: value[0] for name, value in _zero_sum(game.payoffs[None], constant, empirical).items()}
        draws = _zero_sum(means, constant, empirical)
    elif analysis == "nash" and empirical.num_players == 2:
        reference = _nash(game)[0]
        estimate = _named(reference, empirical)
        assert reference.profile is not None  # a Nash equilibrium is a product profile
        draws, failures = _followed(means[:, :, 0], reference.profile, empirical)
    else:
        function = _nash if isinstance(analysis, str) else analysis
        estimate = _named(function(game), empirical)
        draws, failures = _loop(function, means, game, estimate)
    kept = len(next(iter(draws.values())))
    tail = 50.0 * (1.0 - level)
    intervals: dict[str, tuple[Any, Any]] = {}
    for name, values in draws.items():
        low, high = np.percentile(values, [tail, 100.0 - tail], axis=0)
        intervals[name] = (low, high) if values.ndim > 1 else (float(low), float(high))
    played = [draws[f"profile[{p}]"] > support_tolerance for p in empirical.players if f"profile[{p}]" in draws]
    return Bootstrap(
        estimate=estimate,
        intervals=intervals,
        support_inclusion=tuple(np.asarray(mask.mean(axis=0)) for mask in played),
        support_frequency=_frequencies(played),
        resamples=kept,
        failures=failures,
        level=level,
        draws=draws,
    )


def _zero_sum(means: Array, constant: float, empirical: EmpiricalGame) -> dict[str, Array]:
    """The fast path: every resample's equilibrium from one batched simplex, each verified by its NashConv."""
    rows, columns, values, gaps = solve_matrix_games(means[:, 0, 0])
    first, second = empirical.players
    payoffs = np.stack([values, constant - values], axis=1)
    return {
        f"profile[{first}]": rows,
        f"profile[{second}]": columns,
        "payoffs": payoffs,
        "value": values,
        "nash_conv": gaps,
    }


def _followed(means: Array, profile: Profile, empirical: EmpiricalGame) -> tuple[dict[str, Array], dict[str, int]]:
    """General-sum games of two players: the reported equilibrium, followed through every resample."""
    rows, columns, gaps, failures = track(means, profile)
    found = np.isfinite(gaps)
    if not found.any():
        raise ValueError(f"bootstrap: no resample's equilibrium was found: {failures}")
    payoffs = np.einsum("rm,rpmn,rn->rp", rows[found], means[found], columns[found])[:, :, None]
    first, second = empirical.players
    named = {f"profile[{first}]": rows[found], f"profile[{second}]": columns[found]}
    return {"nash_conv": gaps[found], **named, "payoffs": payoffs}, failures


def _nash(game: NormalFormGame) -> list[Equilibrium]:
    from games.equilibria.dispatch import solve

    return solve(game)


def _loop(
    function: Analysis, means: Array, game: NormalFormGame, estimate: Mapping[str, Any]
) -> tuple[dict[str, Array], dict[str, int]]:
    rows: list[dict[str, Any]] = []
    failures: dict[str, int] = {}
    for tensor in means:
        sample = NormalFormGame(tensor, game.players, game.objectives, game.strategies)
        try:
            named = _named(function(sample), game)
        except NotConverged as error:  # said aloud by the solver, counted here; anything else is a bug and travels on
            failures[str(error)] = failures.get(str(error), 0) + 1
            continue
        rows.append(named)
    if not rows:
        raise ValueError(f"bootstrap: the analysis failed on every resample: {failures}")
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in estimate}, failures


def _named(result: Any, game: EmpiricalGame | NormalFormGame) -> dict[str, Any]:
    """An analysis's answer as name → array or float."""
    if isinstance(result, list) and result and isinstance(result[0], Equilibrium):
        result = result[0]
    if isinstance(result, Equilibrium):
        named: dict[str, Any] = {"nash_conv": float(result.nash_conv)}
        if result.profile is not None:
            named.update({f"profile[{player}]": p for player, p in zip(game.players, result.profile, strict=False)})
        else:
            named["joint"] = np.asarray(result.joint)
        if result.payoffs is not None:
            named["payoffs"] = np.asarray(result.payoffs)
        return named
    if isinstance(result, Mapping):
        return {str(name): np.asarray(value, dtype=np.float64) for name, value in result.items()}
    try:
        value = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"analysis: expected an Equilibrium, array, float or dict of those, got {type(result).__name__}"
        ) from None
    return {"value": float(value) if value.ndim == 0 else value}


def _frequencies(played: list[NDArray[np.bool_]]) -> dict[tuple[tuple[int, ...], ...], float]:
    if not played:
        return {}
    total = len(played[0])
    count: dict[tuple[tuple[int, ...], ...], int] = {}
    for row in zip(*played, strict=True):
        support = tuple(tuple(int(k) for k in np.flatnonzero(mask)) for mask in row)
        count[support] = count.get(support, 0) + 1
    return {support: n / total for support, n in sorted(count.items(), key=lambda item: -item[1])}
