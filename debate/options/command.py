"""`debate options`: plays the option game of a recipe's first arena, solves it and exports what agents can use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from debate.errors import UserError
from debate.league.meta import utility_weights
from debate.options.game import OptionEquilibrium, check_size, option_tree, solve_options
from debate.options.rollouts import forced_populations, option_samples, plan_matches
from debate.options.states import plan_slots
from debate.session import Session, live_seats
from games.empirical.samples import EmpiricalGame
from games.equilibrium import NotConverged

CELLS = 1024
PRIORS = "option_priors.json"


def options(session: Session, questions: int, repeats: int = 1, cells: int = CELLS) -> Iterator[str]:
    """Estimates and solves the option game between the agents that sit in the arena now, and yields lines.

    Every joint plan is played on the same held-out questions, each `repeats` times. A match that the run's store has
    is read, never played again. Written to the run's folder `options`: all that `debate solve` writes of an empirical
    game, its strategies being sequences of plan moves; the tree as option_game.efg; its equilibrium as
    option_equilibrium.json, and as the priors that agents take, option_priors.json.

    Args:
        session: the run.
        questions: how many.
        repeats: of every match, with other randomness.
        cells: most joint plans.

    Raises:
        UserError: no plan moves, too many joint plans, or a joint plan without a known reward.
    """
    spec = session.recipe.main
    slots = plan_slots(spec.protocol)
    count = check_size(slots, spec.protocol.seats, cells)
    ids = session.test_ids[spec.name][:questions]
    sitting = {seat: session.cast[policy] for seat, policy in live_seats(session, spec).items()}
    populations, agents = forced_populations(slots, sitting)
    for agent in agents:
        session.cast.add(agent)
    session.progress.start("option game", count * len(ids) * repeats)
    episodes = session.play("options", plan_matches(spec.name, populations, ids, repeats))
    game = option_samples(episodes, slots, populations, spec.protocol.criteria)
    yield f"option game: {count} joint plans, {len(ids)} questions × {repeats}, {len(game.profiles)} matches"
    if game.unplayed():
        raise UserError(f"{len(game.unplayed())} joint plans have no known reward: every match there failed")
    weights = utility_weights(session.recipe, game)
    try:
        found = solve_options(option_tree(slots, game), weights, session.recipe.seed)
        yield from _export(session, game, weights, found)
    except NotConverged as error:
        raise UserError(f"option game: {error}") from error


def _export(session: Session, game: EmpiricalGame, weights: Any, found: OptionEquilibrium) -> Iterator[str]:
    from games.analysis.analyse import analyse
    from games.files.efg import write_efg

    out, recipe = session.folder.path / "options", session.recipe
    analysis = analyse(game, weights=weights, resamples=recipe.tournament.resamples or 1000, seed=recipe.seed)
    analysis.export(out, provenance={"recipe": recipe.name, "seed": recipe.seed, "stage": "options"})
    write_efg(found.game, out / "option_game.efg")
    payoffs = analysis.bootstrap.intervals.get("payoffs") if analysis.bootstrap else None
    report = {
        "method": found.method,
        "nash_conv": float(found.regrets.sum()),
        "payoffs": dict(zip(game.players, found.payoffs.tolist(), strict=True)),
        "payoff_intervals": None if payoffs is None else [np.ravel(bound).tolist() for bound in payoffs],
        "policy": {name: dict(row) for name, row in found.policy.items()},
    }
    (out / "option_equilibrium.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / PRIORS).write_text(json.dumps(found.priors(), indent=1) + "\n", encoding="utf-8")
    yield f"equilibrium ({found.method}): NashConv {found.regrets.sum():.2e} in the estimated game"
    for name, row in found.policy.items():
        yield f"  {name}: " + ", ".join(f"{option} {p:.4f}" for option, p in row.items())
    for seat, payoff in zip(game.players, found.payoffs, strict=True):
        yield f"  {seat} receives {payoff:+.4f}"
    yield f"analysis: {out}"
    yield f"priors for agents: {out / PRIORS}"
