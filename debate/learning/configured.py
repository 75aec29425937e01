"""From a recipe's settings to what assigns credit, and from an agent's to how it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from debate.errors import UserError
from debate.learning.assigner import CreditAssigner
from debate.learning.baselines import Baseline, EmaBaseline, GroupBaseline
from debate.learning.learner_config import LearnerConfig
from debate.learning.losses import PRESETS
from debate.learning.plans import PlanGuide
from debate.learning.scalarisers import (
    ChebyshevESR,
    ChebyshevSER,
    Combination,
    Constraint,
    Lagrangian,
    Lexicographic,
    Linear,
    Utility,
)
from debate.learning.tied import tied_criteria
from debate.recipes.specs import AgentSpec, Recipe
from judges.process import anneal


def credit_assigner(recipe: Recipe, agent: str) -> CreditAssigner:
    """What assigns credit to an agent, as its run begins.

    Raises:
        UserError: an anchor for plans that cannot be read, or criteria tied to turns that cannot be credited so.
    """
    spec = recipe.agent(agent)
    arenas = [arena for arena in recipe.arenas if agent in arena.seats.values()]
    for arena in arenas:
        tied = tied_criteria(arena.protocol, spec.weights)
        if tied and (recipe.training.credit.estimator != "role_baseline" or spec.scalariser.kind != "linear"):
            raise UserError(
                f"agent {agent}: {', '.join(tied)} of protocol {arena.protocol.name} is earned by single turns: "
                "expected training.credit.estimator: role_baseline and a linear scalariser, or no weight for it"
            )
    process = {
        name: anneal({"start": p.weight, "steps": p.until, "shape": p.shape, "hold": p.hold})
        for name, p in recipe.training.process.items()
    }
    return CreditAssigner(
        spec.weights,
        scalariser(spec),
        baseline(recipe),
        recipe.training.credit,
        process,
        {arena.protocol.name: arena.protocol for arena in arenas},
        PlanGuide(spec.explore) if spec.explore is not None else None,
    )


def baseline(recipe: Recipe) -> Baseline:
    """What an agent's rewards are held against."""
    if recipe.training.baseline == "ema":
        return EmaBaseline()
    return GroupBaseline(leave_one_out=recipe.training.baseline == "leave_one_out")


def scalariser(spec: AgentSpec) -> Combination | Utility:
    """An agent's scalariser; a Lagrangian starts with multipliers of 0."""
    given = spec.scalariser
    if given.kind == "chebyshev":
        kind = ChebyshevESR if given.mode == "esr" else ChebyshevSER
        return kind(spec.weights, given.ideal)
    if given.kind == "lexicographic":
        return Lexicographic(given.order, given.thresholds, given.resolution)
    if given.kind == "lagrangian":
        limits = tuple(Constraint(name, k, limit) for name, (k, limit) in given.constraints.items())  # type: ignore[arg-type]
        return Lagrangian(spec.weights, limits, given.rate)
    return Linear(spec.weights)


def learner_config(options: Mapping[str, Any]) -> LearnerConfig:
    """An agent's learner settings."""
    truncate = options.get("truncate", 0.0)
    return LearnerConfig(
        lr=options["learning_rate"],
        clip_norm=options["max_norm"],
        loss=replace(
            PRESETS[options["loss"]], entropy=options["entropy"], kl=options.get("kl", 0.0), truncate=truncate
        ),
        compare=truncate > 0,
        magnet_every=options.get("magnet_every", 0),
        lookahead=options.get("lookahead", "none"),
        spike=options.get("spike", 0.0),
        patience=options.get("patience", 10),
        epochs=options["epochs"],
        temperature=options["temperature"],
        part_rows=options.get("part_rows", 0),
        layout=options.get("layout", "padded"),
        layout_width=options.get("layout_width", 0),
        bf16=options.get("bf16", False),
        checkpointing=options.get("checkpointing", False),
    )
