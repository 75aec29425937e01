"""One call from played matches to everything the exports show; what does not apply is left out with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from games.analysis.ratings import Ratings, rate
from games.empirical.bootstrap import Bootstrap, bootstrap
from games.empirical.bounds import nash_conv_bounds
from games.empirical.judge_noise import JudgeNoise, robust_to_judge
from games.empirical.samples import EmpiricalGame
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import Array, NormalFormGame

T = TypeVar("T")
FLIP_RATES = tuple(float(rate) for rate in np.linspace(0.0, 0.4, 41))
LAMBDAS = tuple(float(v) for v in np.concatenate([[0.0], np.geomspace(0.1, 100.0, 61)]))


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything known about an empirical game. Parts that do not apply are None; `left_out` says why.

    Attributes:
        empirical: the samples, all objectives.
        weights: [P, C] with which objectives were scalarised for everything that needs one number.
        game: mean rewards, all objectives.
        scalar: mean rewards, scalarised.
        equilibria: Nash equilibria of `scalar`, the first is the one everything else refers to.
        correlated: max-welfare correlated and coarse correlated equilibria, by concept.
        bootstrap: of the first equilibrium.
        bounds: (low, high) anytime-valid bounds of its true NashConv.
        ratings: payoffs against uniform and equilibrium opponents, with simultaneous intervals.
        alpharank: masses over strategies (one population) or profiles.
        logit: logit equilibria along λ.
        preferences: weight vectors [M, C] and the equilibria of each.
        judge_noise: what judge errors could do.
        trace: measured progress of what made the strategies: "iterations", "model_calls", "nash_conv", equally long.
        left_out: part → why it is not there.
        settings: seeds and options, for the manifest.
    """

    empirical: EmpiricalGame
    weights: Array
    game: NormalFormGame
    scalar: NormalFormGame
    equilibria: tuple[Equilibrium, ...]
    correlated: Mapping[str, Equilibrium]
    bootstrap: Bootstrap | None
    bounds: tuple[float, float] | None
    ratings: Ratings | None
    alpharank: Equilibrium | None
    logit: tuple[Equilibrium, ...]
    preferences: tuple[Array, tuple[tuple[Equilibrium, ...], ...]] | None
    judge_noise: JudgeNoise | None
    trace: Mapping[str, Sequence[float]] | None
    left_out: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def equilibrium(self) -> Equilibrium:
        """The Nash equilibrium the analysis refers to."""
        return self.equilibria[0]

    def export(
        self,
        folder: str | Path,
        provenance: Mapping[str, Any] | None = None,
        figures: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Writes data, figures (None: all) and manifest into a folder; returns the manifest: see `analysis.export`."""
        from games.analysis.export import FIGURES, export

        return export(self, Path(folder), provenance, FIGURES if figures is None else figures)

    def table(self) -> list[list[str]]:
        """Rows of text, the first one the header: one for each strategy of each player."""
        from games.analysis.tables import strategy_table

        return strategy_table(self)


def analyse(
    empirical: EmpiricalGame,
    weights: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    delta: float = 0.05,
    payoff_range: tuple[float, float] | None = None,
    flip_rates: Sequence[float] = FLIP_RATES,
    alpha: float = 10.0,
    population_size: int = 50,
    trace: Mapping[str, Sequence[float]] | None = None,
) -> Analysis:
    """Solves an empirical game in every way the exports show.

    Args:
        empirical: the samples; every cell must have been played.
        weights: [C] or [P, C] for scalarising; None weighs all objectives equally (sum 1).
        resamples: of the cluster bootstrap.
        seed: of everything random.
        level: of bootstrap intervals.
        delta: of the NashConv bounds.
        payoff_range: (lowest, highest) possible scalarised reward, as in `nash_conv_bounds`.
        flip_rates: judge error rates to examine.
        alpha: selection intensity of α-rank, for payoffs of range 1 (divided by the range of others).
        population_size: of α-rank.
        trace: see `Analysis`.

    Raises:
        ValueError: an unplayed cell, or weights that do not fit.
        NotConverged: no Nash equilibrium of the scalarised game was found.
    """
    from games.equilibria.dispatch import solve

    game = empirical.normal_form()
    count = game.num_objectives
    w = np.full(count, 1.0 / count) if weights is None else np.asarray(weights, dtype=np.float64)
    samples = empirical.scalarise(w)
    # The mean of the scalarised samples: with failed episodes it differs from the scalarised means.
    scalar = samples.normal_form()
    equilibria = tuple(solve(scalar, seed=seed))
    best = equilibria[0]
    assert best.profile is not None  # a Nash equilibrium is a product profile
    profile = best.profile
    left_out: dict[str, str] = {}

    def part(name: str, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except (ValueError, NotConverged) as error:
            left_out[name] = str(error)
            return None

    correlated = {}
    for concept in ("ce", "cce"):
        found = part(concept, partial(_max_welfare, scalar, concept))
        if found is not None:
            correlated[concept] = found
    resampled = part("bootstrap", lambda: bootstrap(samples, resamples=resamples, seed=seed, level=level))
    return Analysis(
        empirical=empirical,
        weights=np.array(np.broadcast_to(w, (game.num_players, count))),
        game=game,
        scalar=scalar,
        equilibria=equilibria,
        correlated=correlated,
        bootstrap=resampled,
        bounds=part("bounds", lambda: nash_conv_bounds(samples, profile, delta, payoff_range)),
        ratings=part("ratings", lambda: rate(samples, profile, resamples, seed, level)),
        alpharank=part("alpharank", lambda: _alpharank(scalar, alpha, population_size)),
        logit=part("logit", lambda: _logit(scalar)) or (),
        preferences=part("preferences", lambda: _preferences(game)),
        judge_noise=part("judge_noise", lambda: robust_to_judge(scalar, flip_rates)),
        trace=trace,
        left_out=left_out,
        settings={
            "weights": w.tolist(),
            "resamples": resamples,
            "seed": seed,
            "level": level,
            "delta": delta,
            "payoff_range": payoff_range,
            "alpha": alpha,
            "population_size": population_size,
        },
    )


def _max_welfare(scalar: NormalFormGame, concept: str) -> Equilibrium:
    from games.equilibria.dispatch import solve

    return solve(scalar, concept, select="max_welfare")[0]


def _alpharank(scalar: NormalFormGame, alpha: float, population_size: int) -> Equilibrium:
    from games.evaluation.alpharank import alpharank

    spread = float(np.ptp(scalar.payoffs)) or 1.0
    return alpharank(scalar, alpha=alpha / spread, population_size=population_size)


def _logit(scalar: NormalFormGame) -> tuple[Equilibrium, ...]:
    from games.equilibria.quantal import logit_path

    if sum(scalar.shape) > 60:
        raise ValueError(f"logit path: {sum(scalar.shape)} strategies in all are too many to draw (60 at most)")
    # λ per payoff range, so that one scale suits win rates and token counts alike.
    spread = float(np.ptp(scalar.payoffs)) or 1.0
    return tuple(logit_path(scalar, np.array(LAMBDAS) / spread))


def _preferences(game: NormalFormGame) -> tuple[Array, tuple[tuple[Equilibrium, ...], ...]]:
    from games.vector.preference_map import preference_map, simplex_grid

    if game.num_objectives not in (2, 3):
        raise ValueError(f"preference map: drawn for two or three objectives, got {game.num_objectives}")
    weights = simplex_grid(game.num_objectives, 100 if game.num_objectives == 2 else 16)
    return weights, tuple(tuple(found) for found in preference_map(game, weights))
