"""Backward induction: the value of every position of a game in which nothing is hidden.

E. Zermelo (1913); H. W. Kuhn, "Extensive games and the problem of information" (1953), corollary 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from games.extensive.tree import CHANCE, TERMINAL, ExtensiveGame
from games.normal_form import Array


class SubgamePerfect(NamedTuple):
    """A pure subgame-perfect equilibrium.

    Attributes:
        values: [N, P] what every player receives from each node on.
        policy: [Q] the pure behavioural policy; ties go to the first action.
    """

    values: Array
    policy: Array


def backward_induction(game: ExtensiveGame) -> SubgamePerfect:
    """Solves a game of perfect information exactly, chance moves included.

    From the last node to the first:

    1. a terminal node is worth its payoffs,
    2. a chance node the expectation over its outcomes,
    3. a decision node its mover's best child.

    Args:
        game: scalar; every information set holds one node.

    Raises:
        ValueError: more than one objective, or an information set of several nodes.
    """
    payoff = game.scalar()
    sets = game.infoset[game.infoset >= 0]
    if len(sets) != game.num_information_sets:
        counts = np.bincount(sets, minlength=game.num_information_sets)
        name = game.infoset_names[int(counts.argmax())]
        raise ValueError(f"backward_induction: information set {name!r} holds {counts.max()} nodes, expected one")
    values = np.zeros((game.num_nodes, game.num_players))
    values[game.terminals] = payoff
    policy = np.zeros(game.num_sequences)
    # Breadth-first order: children come after their parent, side by side.
    low = np.searchsorted(game.parent, np.arange(game.num_nodes), "left")
    high = np.searchsorted(game.parent, np.arange(game.num_nodes), "right")
    for node in reversed(range(game.num_nodes)):
        mover = int(game.player[node])
        if mover == TERMINAL:
            continue
        below = values[low[node] : high[node]]
        if mover == CHANCE:
            values[node] = game.probability[low[node] : high[node]] @ below
            continue
        best = int(below[:, mover].argmax())
        values[node] = below[best]
        policy[game.offsets[game.infoset[node]] + best] = 1.0
    return SubgamePerfect(values, policy)
