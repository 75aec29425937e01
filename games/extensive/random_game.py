"""Random extensive-form games with perfect recall, for tests and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from games.extensive.tree import TERMINAL, ExtensiveGame
from games.normal_form import Array


@dataclass(frozen=True)
class _RandomState:
    """A position whose every feature is drawn from the seed and the path to it, so that the tree need not be stored."""

    seed: int
    players: int
    objectives: int
    depth: int
    zero_sum: bool
    path: tuple[int, ...] = ()
    memory: tuple[str, ...] = ()

    def _draw(self, *key: object) -> np.random.Generator:
        return np.random.default_rng([self.seed, crc32(repr(key).encode())])

    def player(self) -> int | None:
        draw = self._draw("player", self.path).random()
        if len(self.path) >= self.depth or (len(self.path) > 1 and draw < 0.1):
            return TERMINAL
        mover = int(self._draw("mover", self.path).integers(self.players + 1))
        return None if mover == self.players else mover

    def actions(self) -> list[str]:
        return [f"a{k}" for k in range(self._draw("actions", self.information_state()).integers(1, 4))]

    def chance(self) -> list[tuple[str, float]]:
        draw = self._draw("chance", self.path)
        weights = draw.random(int(draw.integers(2, 4))) + 0.1
        return [(f"c{k}", float(p)) for k, p in enumerate(weights / weights.sum())]

    def information_state(self) -> str:
        mover = self.player() or 0
        signal = int(self._draw("signal", self.path).integers(2))  # what the player sees of the others' moves
        return f"player {mover}{self.memory[mover]} sees {signal}"

    def child(self, action: int) -> _RandomState:
        mover = self.player()
        memory = list(self.memory)
        if mover is not None:
            memory[mover] += f" {self.information_state().rsplit(' ', 1)[1]}a{action}"
        return replace(self, path=(*self.path, action), memory=tuple(memory))

    def returns(self) -> Array:
        value = self._draw("payoff", self.path).integers(-8, 9, (self.players, self.objectives)) / 4.0
        if self.zero_sum:
            value[-1] = -value[:-1].sum(axis=0)
        return np.asarray(value, dtype=np.float64)


def random_game(
    seed: int, players: int = 2, objectives: int = 1, depth: int = 5, zero_sum: bool = True
) -> ExtensiveGame:
    """A random game tree: movers, numbers of actions (1 to 3), chances, signals and payoffs (quarters) are all drawn.

    Args:
        seed: the same seed gives the same game.
        players: P.
        objectives: C.
        depth: length of the longest path.
        zero_sum: whether the payoffs add up to zero over the players, in every objective.
    """
    root = _RandomState(seed, players, objectives, depth, zero_sum, memory=("",) * players)
    return ExtensiveGame.from_state(root, players, objectives)
