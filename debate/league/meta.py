"""The meta-game: what the population's policies are worth against each other, and how to mix them.

Rules: "nash", "alpharank", "prd" (projected replicator dynamics), "cce" and "ce" of maximum entropy, "uniform"
(fictitious play's opponent), "last" (self-play against the newest snapshot), and "prioritised" (hard opponents more
often: Vinyals et al. 2019, "Grandmaster level in StarCraft II", f_hard).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from debate.recipe import Recipe
from games.empirical.samples import EmpiricalGame
from games.equilibrium import Equilibrium
from games.normal_form import Array, NormalFormGame

HARDNESS = 2.0


def utility_weights(recipe: Recipe, game: EmpiricalGame | NormalFormGame) -> np.ndarray:
    """[P, C] what each seat's agent cares about: the weights in its recipe. A fixed agent weighs all criteria alike."""
    seats = recipe.main.seats
    rows = []
    for seat in game.players:
        weights = recipe.agent(seats[seat]).weights
        rows.append([float(weights.get(name, 0.0)) for name in game.objectives])
    return np.array([row if any(row) else [1.0] * len(row) for row in rows])


def meta_strategy(recipe: Recipe, game: EmpiricalGame, rule: str) -> dict[str, list[float]]:
    """Seat → probabilities of its snapshots, by the recipe's rule; of a joint distribution, its marginals.

    Args:
        recipe: whose agents' weights scalarise the payoffs.
        game: the meta-game, every cell played.
        rule: see the module.

    Raises:
        games.NotConverged: no method found a verified equilibrium.
    """
    if rule == "last":
        profile: Sequence[Array] = last_profile(game)
    elif rule == "prioritised":
        profile = prioritised(game.normal_form().scalarise(utility_weights(recipe, game)))
    else:
        from games.empirical.meta_solvers import META_SOLVERS

        joint = META_SOLVERS[rule](game.normal_form().scalarise(utility_weights(recipe, game)))
        axes = range(joint.ndim)
        profile = [np.asarray(joint.sum(axis=tuple(j for j in axes if j != i))) for i in axes]
    return {seat: p.tolist() for seat, p in zip(game.players, profile, strict=True)}


def prioritised(game: NormalFormGame) -> list[Array]:
    """For each player, its strategies weighted by how hard they are for the others' newest ones.

    1. u = what the others' newest strategies earn together against each strategy, scaled to [0, 1] over the game.
    2. Weight (1 − u)², normalised; uniform where nothing is hard.
    """
    payoff = game.scalar()
    weights = []
    for i in range(game.num_players):
        others = [j for j in range(game.num_players) if j != i]
        newest = tuple(slice(None) if j == i else -1 for j in range(game.num_players))
        total = payoff[others].sum(axis=0) if others else payoff[0]
        spread = float(np.ptp(total))
        earned = (total[newest] - total.min()) / spread if spread else np.zeros(game.shape[i])
        hard = (1.0 - earned) ** HARDNESS
        weights.append(hard / hard.sum() if hard.sum() > 0 else np.full(game.shape[i], 1.0 / game.shape[i]))
    return weights


def solve_meta(recipe: Recipe, game: EmpiricalGame) -> Equilibrium:
    """A Nash equilibrium of the meta-game under the agents' own preferences.

    Raises:
        ValueError: a cell that nobody played.
        games.NotConverged: no method found a verified equilibrium.
    """
    from games.equilibria.dispatch import solve

    return solve(game.normal_form().scalarise(utility_weights(recipe, game)), "nash")[0]


def first_profile(game: EmpiricalGame) -> list[Array]:
    """The pure profile in which every seat plays its first snapshot."""
    return [np.eye(k)[0] for k in game.shape]


def last_profile(game: EmpiricalGame) -> list[Array]:
    """The pure profile in which every seat plays its last snapshot."""
    return [np.eye(k)[-1] for k in game.shape]
