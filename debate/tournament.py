"""The tournament between all snapshots, and the analysis of the game it fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from debate.league.cells import cell_matches, empirical_game
from debate.league.meta import first_profile, last_profile, utility_weights
from debate.session import Session
from games.analysis.analyse import Analysis, analyse
from games.empirical.bootstrap import bootstrap
from games.empirical.samples import EmpiricalGame
from games.measures import nash_conv
from games.normal_form import NormalFormGame


def tournament(session: Session) -> EmpiricalGame | None:
    """Every profile of snapshots in the main arena on the same held-out questions; None where there is no game.

    Cells that the league has played already are read from the store.
    """
    recipe, spec = session.recipe, session.recipe.main
    count = recipe.tournament.questions
    if len(spec.seats) < 2 or count == 0:
        return None
    questions = session.test_ids[spec.name][:count]
    cells = int(np.prod([len(ids) for ids in session.population.values()]))
    session.progress.start("tournament", cells * len(questions))
    return empirical_game(
        session.play("tournament", cell_matches(spec.name, session.population, questions)),
        session.population,
        spec.protocol.criteria,
    )


def analyse_run(session: Session, game: EmpiricalGame, trace: Mapping[str, Sequence[float]] | None) -> Analysis:
    """The analysis of a tournament under the agents' own preferences."""
    return analyse(
        game,
        weights=utility_weights(session.paying(session.recipe.main), game),
        resamples=session.recipe.tournament.resamples,
        seed=session.recipe.seed,
        trace=trace,
    )


def profile_regrets(session: Session, game: EmpiricalGame) -> dict[str, Any]:
    """NashConv of the profiles of first and of last snapshots, with a bootstrap interval of the latter."""
    weights = utility_weights(session.paying(session.recipe.main), game)
    samples = game.scalarise(weights)
    scalar = samples.normal_form()
    last = last_profile(game)

    def measure(resampled: NormalFormGame) -> float:
        return nash_conv(resampled, last)

    interval = None
    if samples.num_clusters > 1:
        found = bootstrap(samples, measure, session.recipe.tournament.resamples, session.recipe.seed)
        ((low, high),) = found.intervals.values()
        interval = [low, high]
    return {"before": nash_conv(scalar, first_profile(game)), "after": nash_conv(scalar, last), "interval": interval}
