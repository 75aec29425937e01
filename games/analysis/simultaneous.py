"""A normal-form game as a game tree: players choose one after another, none seeing what was chosen before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from games.extensive.tree import TERMINAL, ExtensiveGame
from games.normal_form import Array, NormalFormGame


@dataclass(frozen=True)
class _Choice:
    game: NormalFormGame
    chosen: tuple[int, ...] = ()

    def player(self) -> int | None:
        return len(self.chosen) if len(self.chosen) < self.game.num_players else TERMINAL

    def actions(self) -> Sequence[str]:
        return self.game.strategies[len(self.chosen)]

    def chance(self) -> Sequence[tuple[str, float]]:
        raise ValueError("a normal-form game has no chance moves")

    def information_state(self) -> str:
        return self.game.players[len(self.chosen)]

    def child(self, action: int) -> _Choice:
        return _Choice(self.game, (*self.chosen, action))

    def returns(self) -> Array:
        flat = self.game.payoffs.reshape(self.game.num_players, self.game.num_objectives, -1)
        return np.asarray(flat[:, :, np.ravel_multi_index(self.chosen, self.game.shape)])


def as_tree(game: NormalFormGame) -> ExtensiveGame:
    """The same game in extensive form; every player has one information set, named like the player."""
    return ExtensiveGame.from_state(_Choice(game), game.players, game.objectives)
