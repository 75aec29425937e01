"""The reduced normal form of an extensive-form game."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from games.extensive.sequences import _local_sequences
from games.extensive.tree import ExtensiveGame
from games.normal_form import Array, NormalFormGame

_BLOCK = 4_000_000  # numbers held at once while terminals are summed up


def reduced_normal_form(game: ExtensiveGame, max_cells: int) -> NormalFormGame:
    """Implements `ExtensiveGame.to_normal_form`.

    1. Enumerate each player's reduced plans: a choice at every information set that the plan itself can reach.
    2. Sum, over the terminal nodes, chance · payoff · [every player's plan allows the node].
    """
    sizes = [_count_plans(game, i) for i in range(game.num_players)]
    if prod(sizes) > max_cells:
        raise ValueError(f"to_normal_form: expected at most {max_cells} profiles, got {' × '.join(map(str, sizes))}")
    plans = [_plans(game, i) for i in range(game.num_players)]
    local = _local_sequences(game)
    shape = (game.num_players, game.num_objectives)
    total = np.zeros((prod(shape), prod(sizes)))
    step = max(1, _BLOCK // prod(sizes))
    for low in range(0, len(game.terminals), step):
        block = slice(low, low + step)
        joint = game.chance_reach[block, None]
        for i, (_, realised) in enumerate(plans):
            allowed = realised[:, local[block, i]].T
            joint = (joint[:, :, None] * allowed[:, None, :]).reshape(len(joint), -1)
        total += game.payoffs[block].reshape(len(joint), -1).T @ joint
    return NormalFormGame(total.reshape(*shape, *sizes), game.players, game.objectives, [names for names, _ in plans])


def _count_plans(game: ExtensiveGame, player: int) -> int:
    """Number of reduced plans, from the deepest information set up (Python integers, no overflow)."""
    below = [1] * (game.num_sequences + 1)  # plans below each sequence; the empty sequence last
    for j in reversed(np.flatnonzero(game.infoset_player == player)):
        below[game.parent_sequence[j]] *= sum(below[game.offsets[j] : game.offsets[j + 1]])
    return below[-1]


def _plans(game: ExtensiveGame, player: int) -> tuple[list[str], Array]:
    """Names of the reduced plans and their realisation plans [k_i, Q_i + 1]."""
    start = game.sequences[player].start
    width = game.sequences[player].stop - start + 1
    infosets = [int(j) for j in np.flatnonzero(game.infoset_player == player)]
    following: dict[int, list[int]] = {}
    for j in infosets:
        following.setdefault(int(game.parent_sequence[j]), []).append(j)
    # Plans below a sequence: one choice, with all that follows from it, for each information set that comes next.
    below: dict[int, list[tuple[int, ...]]] = {}

    def combine(sequence: int) -> list[tuple[int, ...]]:
        branches = []
        for j in following.get(sequence, []):
            branches.append([(q, *rest) for q in range(game.offsets[j], game.offsets[j + 1]) for rest in below[q]])
        return [sum(choice, ()) for choice in product(*branches)]

    for j in reversed(infosets):
        for q in range(int(game.offsets[j]), int(game.offsets[j + 1])):
            below[q] = combine(q)
    plans = combine(-1)
    realised = np.zeros((len(plans), width))
    realised[:, 0] = 1.0
    names = []
    for row, chosen in enumerate(plans):
        realised[row, [q - start + 1 for q in chosen]] = 1.0
        names.append(", ".join(_choice(game, q) for q in sorted(chosen)) or "no choice")
    return names, realised


def _choice(game: ExtensiveGame, sequence: int) -> str:
    j = int(game.sequence_infoset[sequence])
    return f"{game.infoset_names[j]}: {game.action_names[j][sequence - int(game.offsets[j])]}"


def behavioural_policy(game: ExtensiveGame, profile: Sequence[ArrayLike]) -> Array:
    """The behavioural policy that does what a mixed profile of the reduced normal form does (Kuhn 1953, theorem 4).

    Args:
        game: of perfect recall, as every `ExtensiveGame` is.
        profile: for each player a distribution over its reduced plans, in the order of `to_normal_form`.

    Returns:
        [Q]; uniform where the profile never leads its player.

    Raises:
        ValueError: a distribution of the wrong length.
    """
    policy = game.uniform_policy()
    if len(profile) != game.num_players:
        raise ValueError(f"behavioural_policy: expected {game.num_players} distributions, got {len(profile)}")
    for i, mixed in enumerate(profile):
        _, realised = _plans(game, i)
        weights = np.asarray(mixed, dtype=np.float64)
        if weights.shape != (len(realised),):
            raise ValueError(f"behavioural_policy: player {i} has {len(realised)} plans, got shape {weights.shape}")
        reach = weights @ realised
        sequences = game.sequences[i]
        for j in np.flatnonzero(game.infoset_player == i):
            low, high = int(game.offsets[j]), int(game.offsets[j + 1])
            parent = int(game.parent_sequence[j])
            before = reach[0] if parent < 0 else reach[parent - sequences.start + 1]
            if before > 1e-12:
                policy[low:high] = reach[low - sequences.start + 1 : high - sequences.start + 1] / before
    return policy
