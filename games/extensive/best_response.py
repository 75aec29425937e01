"""Exact best responses, regrets and NashConv of behavioural policies in extensive-form games."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from games.extensive.sequences import PlayerSequences, realisation
from games.extensive.tree import ExtensiveGame
from games.normal_form import Array


class BestResponse(NamedTuple):
    """A best response.

    Attributes:
        value: what the responding player gets.
        policy: [Q] the given policy with the player's own part replaced by a pure best response.
    """

    value: float
    policy: Array


def best_response(game: ExtensiveGame, policy: Any, player: int) -> BestResponse:
    """A pure best response of one player to a policy, by backward induction over its information sets.

    1. Weight the terminal payoffs by chance and by the others' realisation plans, summed over each own sequence.
    2. From the deepest level up, take the best action of every information set and add its value to the sequence
       before.

    Args:
        game: a scalar game.
        policy: in any accepted form (`games.extensive.policy`); the player's own part does not matter.
        player: whose response. Ties go to the first action.

    Raises:
        ValueError: the game is not scalar, the policy does not fit, or there is no such player.
    """
    game.scalar()
    if not 0 <= player < game.num_players:
        raise ValueError(f"player: expected 0 … {game.num_players - 1}, got {player}")
    sigma = game.policy(policy)
    earnings = game.counterfactual_payoffs[player](_plans(game, sigma))
    mine = game.sequences[player]
    value = best_value(mine, earnings)
    sigma[mine.start : mine.stop] = _pure(mine, earnings)
    return BestResponse(float(value), sigma)


def best_value(sequences: PlayerSequences, earnings: Array) -> Array:
    """The value of a best response.

    Args:
        sequences: the player's index arrays.
        earnings: [Q_i + 1] or [Q_i + 1, M] counterfactual payoffs; overwritten by the value of each sequence.

    Returns:
        a number, or [M].
    """
    for level in reversed(sequences.levels):
        best = np.maximum.reduceat(earnings[level.low + 1 : level.high + 1], level.infosets, axis=0)
        earnings[level.groups] += np.add.reduceat(best, level.group_infosets, axis=0)
    return np.asarray(earnings[0])


def regrets_tabular(game: ExtensiveGame, policy: Any) -> Array:
    """[P] what each player could gain by a best unilateral deviation from the policy; never negative.

    Raises:
        ValueError: the game is not scalar or the policy does not fit it.
    """
    game.scalar()
    plans = _plans(game, game.policy(policy))
    gains = []
    for i, sequences in enumerate(game.sequences):
        earnings = game.counterfactual_payoffs[i](plans)
        current = float(plans[i] @ earnings)
        gains.append(max(0.0, float(best_value(sequences, earnings)) - current))
    return np.array(gains)


def nash_conv_tabular(game: ExtensiveGame, policy: Any) -> float:
    """Σ_i [best-response value of i − value of i], as OpenSpiel's NashConv; zero exactly at Nash equilibria.

    Raises:
        ValueError: the game is not scalar or the policy does not fit it.
    """
    return float(regrets_tabular(game, policy).sum())


def _plans(game: ExtensiveGame, sigma: Array) -> list[Array]:
    return [realisation(s, sigma[s.start : s.stop]) for s in game.sequences]


def _pure(sequences: PlayerSequences, values: Array) -> Array:
    """[Q_i] 1 at the first best action of every information set, from the values of the sequences."""
    own = values[1:]
    pure = np.zeros(len(own))
    if len(own):
        best = np.maximum.reduceat(own, sequences.first)[sequences.owner]
        places = np.where(own == best, np.arange(len(own)), len(own))
        pure[np.minimum.reduceat(places, sequences.first)] = 1.0
    return pure
