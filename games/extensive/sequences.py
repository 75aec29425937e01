"""The sequence form of one player: index arrays by level, realisation plans, and counterfactual values.

B. von Stengel, "Efficient computation of behavior strategies", Games and Economic Behavior 14, 1996.

A player's sequences are numbered locally: 0 is the empty sequence, k + 1 the k-th of its own. Arrays may carry one
trailing axis M (several games or policies evaluated at once). Payoffs enter as one sparse matrix for each player,
rows: own sequences, columns: combinations of the others' last sequences; chance is multiplied in once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from games.extensive.tree import ExtensiveGame, IntArray
from games.normal_form import Array


@dataclass(frozen=True, eq=False)
class Level:
    """The information sets of one player after the same number of own actions.

    Attributes:
        low, high: their sequences, in the player's own count from 0, are low … high − 1.
        parent: [high − low] local number of the sequence before each of them.
        infosets: [·] first sequence of every information set, relative to low.
        groups: [·] distinct local numbers of the parent sequences, ascending.
        group_sequences: [·] first sequence below each of `groups`, relative to low.
        group_infosets: [·] first information set below each of `groups`, relative to the level.
    """

    low: int
    high: int
    parent: IntArray
    infosets: IntArray
    groups: IntArray
    group_sequences: IntArray
    group_infosets: IntArray


@dataclass(frozen=True, eq=False)
class PlayerSequences:
    """One player's part of the sequence form.

    Attributes:
        start, stop: the player's sequences among all Q.
        first: [I_i] first sequence of each information set, counted from `start`.
        owner: [Q_i] information set of each sequence, counted from the player's first.
        levels: shallowest first.
    """

    start: int
    stop: int
    first: IntArray
    owner: IntArray
    levels: tuple[Level, ...]


def player_sequences(game: ExtensiveGame, player: int) -> PlayerSequences:
    """Collects the levels of one player from the canonical order."""
    mine = np.flatnonzero(game.infoset_player == player)
    if len(mine) == 0:
        empty = np.zeros(0, dtype=np.int64)
        return PlayerSequences(0, 0, empty, empty, ())
    start, stop = int(game.offsets[mine[0]]), int(game.offsets[mine[-1] + 1])
    first = game.offsets[mine] - start
    sizes = game.num_actions[mine]
    owner = np.repeat(np.arange(len(mine)), sizes)
    above = np.where(game.parent_sequence[mine] < 0, 0, game.parent_sequence[mine] - start + 1)  # local numbers
    depth = np.zeros(len(mine), dtype=np.int64)
    for j in np.flatnonzero(above):  # parents come before their children in the canonical order
        depth[j] = depth[owner[above[j] - 1]] + 1
    levels = []
    for d in range(int(depth[-1]) + 1):
        rows = np.flatnonzero(depth == d)
        low, high = int(first[rows[0]]), int(first[rows[-1]] + sizes[rows[-1]])
        groups, group_infosets = np.unique(above[rows], return_index=True)
        infosets = first[rows] - low
        parent = np.repeat(above[rows], sizes[rows])
        levels.append(Level(low, high, parent, infosets, groups, infosets[group_infosets], group_infosets))
    return PlayerSequences(start, stop, first, owner, tuple(levels))


def realisation(sequences: PlayerSequences, sigma: Array, out: Array | None = None) -> Array:
    """The realisation plan of a behavioural policy: probability with which the player itself allows each sequence.

    Args:
        sequences: the player's index arrays.
        sigma: [Q_i] or [Q_i, M] the player's part of the policy.
        out: where to put the answer; its first row is 1 already.

    Returns:
        [Q_i + 1] or [Q_i + 1, M], the empty sequence first.
    """
    x = np.ones((len(sigma) + 1, *sigma.shape[1:])) if out is None else out
    for level in sequences.levels:
        here = x[level.low + 1 : level.high + 1]
        x[: level.low + 1].take(level.parent, axis=0, out=here, mode="clip")
        here *= sigma[level.low : level.high]
    return x


def infoset_totals(sequences: PlayerSequences) -> Callable[[Array], Array]:
    """The map from [Q_i] or [Q_i, M] to the sums over the actions of each information set, [I_i] or [I_i, M].

    `np.add.reduceat` where its low overhead counts; many sums of few numbers are faster as a sparse product.
    """
    if len(sequences.owner) < 4096:
        return lambda masses: np.asarray(np.add.reduceat(masses, sequences.first, axis=0))
    from scipy import sparse

    count = len(sequences.owner)
    bounds = np.append(sequences.first, count)
    matrix = sparse.csr_matrix((np.ones(count), np.arange(count), bounds), shape=(len(sequences.first), count))
    return lambda masses: np.asarray(matrix @ masses)


class CounterfactualPayoffs:
    """What each own sequence earns at the terminal nodes it leads to directly, given the others' realisation plans.

    For player i and own sequence s: g[s] = Σ over terminals z whose last own sequence is s of
    chance(z) · payoff_i(z) · Π_{j≠i} x_j(last sequence of j at z).
    """

    def __init__(self, game: ExtensiveGame, player: int, weights: Array | None = None) -> None:
        """Builds the sparse payoff matrix of `player`.

        Args:
            game: the game; scalar unless `weights` is given.
            player: i.
            weights: [M, C] scalarisations of player i evaluated side by side, or None for a scalar game.
        """
        from scipy import sparse

        self.others = [j for j in range(game.num_players) if j != player]
        local = _local_sequences(game)
        keys = local[:, self.others]
        if len(self.others) == 1:  # columns: all sequences of the one opponent, so that x needs no gathering
            column = keys[:, 0]
            j = self.others[0]
            width = game.sequences[j].stop - game.sequences[j].start + 1
            self.columns: IntArray | None = None
        else:
            self.columns, inverse = np.unique(keys, axis=0, return_inverse=True)
            column, width = inverse.reshape(-1), len(self.columns)
        height = game.sequences[player].stop - game.sequences[player].start + 1
        payoff = game.scalar()[:, player : player + 1] if weights is None else game.payoffs[:, player]
        blocks = [
            sparse.coo_matrix(
                (payoff[:, c] * game.chance_reach, (local[:, player], column)), shape=(height, width)
            ).tocsr()
            for c in range(payoff.shape[1])
        ]
        stacked = sparse.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]
        stacked.sum_duplicates()
        dense = stacked.shape[0] * stacked.shape[1] <= 4096
        self.matrix: Any = stacked.toarray() if dense else stacked
        self.weights = weights
        self.height = height

    def __call__(self, plans: list[Array]) -> Array:
        """[Q_i + 1] (or [Q_i + 1, M]) from all players' plans [Q_j + 1] (or [Q_j + 1, M]); the own one is ignored."""
        if self.columns is None:
            x = plans[self.others[0]]
        else:
            x = np.ones((len(self.columns), *plans[0].shape[1:]))
            for place, j in enumerate(self.others):
                x *= plans[j][self.columns[:, place]]
        g: Array = self.matrix @ x
        if self.weights is None:
            return g
        return np.asarray(np.einsum("mc,cqm->qm", self.weights, g.reshape(self.weights.shape[1], self.height, -1)))


def _local_sequences(game: ExtensiveGame) -> IntArray:
    """[Z, P] each player's last sequence at the terminal nodes, in local numbers (0: the empty one)."""
    starts = np.array([s.start for s in game.sequences])
    return np.where(game.terminal_sequences < 0, 0, game.terminal_sequences - starts + 1)
