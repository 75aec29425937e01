"""Sampled play of tabular policies: many episodes of one game tree side by side, and mixtures of policies.

Axis letters: E episodes, K policies, Q sequences, P players, S steps (moves of players, all episodes together).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.extensive.sequences import realisation
from games.extensive.tree import CHANCE, TERMINAL, ExtensiveGame, IntArray
from games.normal_form import Array, NormalFormGame


@dataclass(frozen=True, eq=False)
class Episodes:
    """What was played.

    Attributes:
        episode: [S] which episode a move belongs to.
        player: [S] who moved.
        sequence: [S] the (information set, action) pair chosen.
        returns: [E, P, C].
    """

    episode: IntArray
    player: IntArray
    sequence: IntArray
    returns: Array

    @property
    def tokens(self) -> int:
        """Moves of players: what a language model would have sampled."""
        return len(self.sequence)


class Sampler:
    """Draws episodes of one game; the tree's first children are looked up once."""

    def __init__(self, game: ExtensiveGame) -> None:
        self.game = game
        n = game.num_nodes
        self.first = np.searchsorted(game.parent, np.arange(n), "left")
        self.count = np.searchsorted(game.parent, np.arange(n), "right") - self.first
        self.terminal = np.full(n, -1)
        self.terminal[game.terminals] = np.arange(len(game.terminals))
        self.widest = int(self.count.max())

    def play(self, policies: ArrayLike, cast: IntArray, rng: np.random.Generator) -> Episodes:
        """Plays one episode a row of `cast`.

        Args:
            policies: [K, Q] or [Q].
            cast: [E, P] which of the policies each player follows.
            rng: all randomness.
        """
        game, table = self.game, np.atleast_2d(np.asarray(policies, dtype=np.float64))
        node = np.zeros(len(cast), dtype=np.int64)
        live = np.arange(len(cast))
        moves: list[tuple[IntArray, IntArray, IntArray]] = []
        while len(live):
            here = node[live]
            mover = game.player[here]
            live = live[mover != TERMINAL]
            here, mover = node[live], mover[mover != TERMINAL]
            if not len(live):
                break
            columns = np.arange(self.widest)
            child = np.minimum(self.first[here][:, None] + columns, game.num_nodes - 1)
            inside = columns < self.count[here][:, None]
            sequence = game.offsets[np.maximum(game.infoset[here], 0)]
            wanted = np.minimum(sequence[:, None] + columns, game.num_sequences - 1)
            player = np.maximum(mover, 0)
            odds = np.where(
                (mover == CHANCE)[:, None], game.probability[child], table[cast[live, player][:, None], wanted]
            )
            edges = np.cumsum(np.where(inside, odds, 0.0), axis=1)
            drawn = (rng.random(len(live))[:, None] * edges[:, -1:] >= edges).sum(axis=1)
            drawn = np.minimum(drawn, self.count[here] - 1)
            acted = mover != CHANCE
            moves.append((live[acted], mover[acted], (sequence + drawn)[acted]))
            node[live] = self.first[here] + drawn
        episode, player, sequence = (
            np.concatenate(part) if moves else np.zeros(0, int) for part in zip(*moves, strict=True)
        )
        return Episodes(episode, player, sequence, game.payoffs[self.terminal[node]])


def mixture(game: ExtensiveGame, policies: ArrayLike, weights: ArrayLike) -> Array:
    """[Q] the behavioural policy that plays like a draw of one policy a player before the game (Kuhn 1953).

    Args:
        game: of perfect recall.
        policies: [K, Q].
        weights: [P, K] each player's probabilities of the policies.
    """
    table, w = np.asarray(policies, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    out = game.uniform_policy()
    for i, s in enumerate(game.sequences):
        if s.stop == s.start:
            continue
        plans = np.stack([realisation(s, row[s.start : s.stop])[1:] for row in table])
        plan = w[i] @ plans
        total = np.add.reduceat(plan, s.first)[s.owner]
        np.divide(plan, total, out=out[s.start : s.stop], where=total > 0)
    return out


def one_shot(game: NormalFormGame) -> ExtensiveGame:
    """A normal-form game as a tree: the players move one after the other and see nothing of each other."""
    return ExtensiveGame.from_state(_Simultaneous(game, ()), game.players, game.objectives)


@dataclass(frozen=True)
class _Simultaneous:
    """A position of the tree: the strategies chosen so far."""

    game: NormalFormGame
    chosen: tuple[int, ...]

    def player(self) -> int:
        return TERMINAL if len(self.chosen) == self.game.num_players else len(self.chosen)

    def actions(self) -> tuple[str, ...]:
        return self.game.strategies[len(self.chosen)]

    def chance(self) -> list[tuple[str, float]]:
        raise AssertionError("chance never moves in a normal-form game")

    def information_state(self) -> str:
        return f"player {len(self.chosen)}"

    def child(self, action: int) -> _Simultaneous:
        return _Simultaneous(self.game, (*self.chosen, action))

    def returns(self) -> Array:
        return np.asarray(np.moveaxis(self.game.payoffs, (0, 1), (-2, -1))[self.chosen])
