"""A game as self-play sees it: flat policies [Q], and what every action is worth against the others' policies.

A normal-form game is the case of one information set a player. Q counts (information set, action) pairs of all
players, as in `games.extensive`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from games.extensive.sequences import CounterfactualPayoffs, PlayerSequences, realisation
from games.extensive.tree import ExtensiveGame, IntArray
from games.normal_form import Array, NormalFormGame, deviation_payoffs, regrets


class Field(Protocol):
    """Where self-play takes place."""

    @property
    def first(self) -> IntArray:
        """[I] first action of each information set."""
        ...

    @property
    def owner(self) -> IntArray:
        """[Q] information set of each action."""
        ...

    def values(self, policy: Array) -> Array:
        """[Q] expected payoff of the mover after each action, given that its information set is reached."""
        ...

    def nash_conv(self, policy: Array) -> float:
        """NashConv of a policy."""
        ...


def field_of(game: NormalFormGame | ExtensiveGame) -> Field:
    """The field of a scalar game.

    Raises:
        ValueError: the game has several objectives.
    """
    return _MatrixField(game) if isinstance(game, NormalFormGame) else _TreeField(game)


def uniform(field: Field) -> Array:
    """[Q] every action of an information set alike."""
    return np.asarray((1.0 / np.bincount(field.owner))[field.owner])


def normalised(field: Field, logits: Array) -> Array:
    """[Q] log-probabilities from logits: what an information set's actions sum to is taken off."""
    highest = np.maximum.reduceat(logits, field.first)[field.owner]
    shifted = logits - highest
    return np.asarray(shifted - np.log(np.add.reduceat(np.exp(shifted), field.first))[field.owner])


class _MatrixField:
    def __init__(self, game: NormalFormGame) -> None:
        self.game, self.payoff = game, game.scalar()
        ends = np.cumsum(game.shape)
        self.first: IntArray = np.concatenate([[0], ends[:-1]])
        self.owner: IntArray = np.repeat(np.arange(game.num_players), game.shape)

    def profile(self, policy: Array) -> tuple[Array, ...]:
        return tuple(np.split(policy, self.first[1:]))

    def values(self, policy: Array) -> Array:
        profile = self.profile(policy)
        return np.concatenate([deviation_payoffs(self.payoff[i], profile, i) for i in range(self.game.num_players)])

    def nash_conv(self, policy: Array) -> float:
        return float(regrets(self.game, self.profile(policy)).sum())


class _TreeField:
    def __init__(self, game: ExtensiveGame) -> None:
        game.scalar()
        self.game = game
        self.first: IntArray = game.offsets[:-1]
        self.owner = game.sequence_infoset
        # With a payoff of 1 everywhere the same sums give the probability that the others and chance allow a place.
        ones = replace(game, payoffs=np.ones((len(game.terminals), game.num_players, 1)), objectives=("one",))
        self.reach = [CounterfactualPayoffs(ones, i) for i in range(game.num_players)]

    def values(self, policy: Array) -> Array:
        game = self.game
        plans = [realisation(s, policy[s.start : s.stop]) for s in game.sequences]
        out = np.zeros(game.num_sequences)
        for i, s in enumerate(game.sequences):
            own = policy[s.start : s.stop]
            earned = _summed(s, own, game.counterfactual_payoffs[i](plans))
            allowed = _summed(s, own, self.reach[i](plans))
            # A place the others never allow teaches nothing: all its actions are worth the same.
            out[s.start : s.stop] = np.divide(earned, allowed, out=np.zeros_like(earned), where=allowed > 0.0)
        return out

    def nash_conv(self, policy: Array) -> float:
        from games.extensive.best_response import nash_conv_tabular

        return nash_conv_tabular(self.game, policy)


def _summed(sequences: PlayerSequences, own: Array, earnings: Array) -> Array:
    """[Q_i] counterfactual value of each own sequence, the player's later moves following its own policy."""
    values = earnings[1:]
    for level in reversed(sequences.levels):
        if level.low > 0:
            here = slice(level.low, level.high)
            earnings[level.groups] += np.add.reduceat(own[here] * values[here], level.group_sequences)
    return np.asarray(values)
