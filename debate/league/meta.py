"""The meta-game: what the population's policies are worth against each other, and how to mix them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from debate.recipe import Recipe
from games.empirical.samples import EmpiricalGame
from games.equilibrium import Equilibrium
from games.normal_form import NormalFormGame


def utility_weights(recipe: Recipe, game: EmpiricalGame | NormalFormGame) -> np.ndarray:
    """[P, C] what each seat's agent cares about: the weights in its recipe. One without weights weighs all alike."""
    seats = recipe.main.seats
    rows = []
    for seat in game.players:
        weights = recipe.agent(seats[seat]).weights
        rows.append([float(weights.get(name, 0.0 if weights else 1.0)) for name in game.objectives])
    return np.array(rows)


def solve_meta(recipe: Recipe, game: EmpiricalGame) -> Equilibrium:
    """A Nash equilibrium of the meta-game under the agents' own preferences.

    Raises:
        ValueError: a cell that nobody played.
        games.NotConverged: no method found a verified equilibrium.
    """
    from games.equilibria.dispatch import solve

    return solve(game.normal_form().scalarise(utility_weights(recipe, game)), "nash")[0]


def meta_strategy(recipe: Recipe, game: EmpiricalGame, rule: str) -> dict[str, list[float]]:
    """Seat → probabilities of its snapshots, by the recipe's rule.

    Args:
        recipe: whose agents' weights scalarise the payoffs.
        game: the meta-game, every cell played.
        rule: "nash", "uniform" (fictitious play's opponent) or "last" (self-play against the newest snapshot).
    """
    if rule == "nash":
        profile: Sequence[np.ndarray] = solve_meta(recipe, game).profile or ()
    elif rule == "uniform":
        profile = [np.full(k, 1.0 / k) for k in game.shape]
    else:
        profile = [np.eye(k)[-1] for k in game.shape]
    return {seat: p.tolist() for seat, p in zip(game.players, profile, strict=True)}


def first_profile(game: EmpiricalGame) -> list[np.ndarray]:
    """The pure profile in which every seat plays its first snapshot."""
    return [np.eye(k)[0] for k in game.shape]


def last_profile(game: EmpiricalGame) -> list[np.ndarray]:
    """The pure profile in which every seat plays its last snapshot."""
    return [np.eye(k)[-1] for k in game.shape]
