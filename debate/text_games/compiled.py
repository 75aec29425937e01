"""A text game as an extensive game, with the positions from which agents are asked for their policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from debate.protocol.kernel import State
from debate.text_games.protocol import CRITERION, Decided, GameProtocol, deal, position
from games.extensive.tree import ExtensiveGame, GameState
from games.interop import load_openspiel

Positions = dict[str, tuple[str, State]]


def compile_game(protocol: GameProtocol, max_nodes: int = 3_000_000) -> tuple[ExtensiveGame, Positions]:
    """The whole tree, and information state → (seat, a position in it).

    Information states are named `seat|string`: two players of a game may share OpenSpiel's string.

    Raises:
        ValueError: the tree is too large, or a player forgets.
    """
    found: dict[str, tuple[str, tuple[Decided, ...]]] = {}
    seats = protocol.seats
    root = _Walked(load_openspiel(protocol.game).root, seats, ((),) * len(seats), found)
    game = ExtensiveGame.from_state(root, seats, (CRITERION,), max_nodes=max_nodes)
    question = deal(0)
    return game, {name: (seat, position(protocol, question, seat, moves)) for name, (seat, moves) in found.items()}


@dataclass(frozen=True, eq=False, slots=True)
class _Walked:
    """A position with every player's own moves so far."""

    state: GameState
    seats: tuple[str, ...]
    own: tuple[tuple[Decided, ...], ...]
    found: dict[str, tuple[str, tuple[Decided, ...]]]

    def player(self) -> int | None:
        return self.state.player()

    def actions(self) -> Sequence[str]:
        return self.state.actions()

    def chance(self) -> Sequence[tuple[str, float]]:
        return self.state.chance()

    def _mover(self) -> int:
        mover = self.state.player()
        assert mover is not None
        return mover

    def information_state(self) -> str:
        mover, told = self._mover(), self.state.information_state()
        seat = self.seats[mover]
        name = f"{seat}|{told}"
        if name not in self.found:
            self.found[name] = (seat, (*self.own[mover], Decided(told, tuple(self.state.actions()))))
        return name

    def child(self, action: int) -> _Walked:
        mover, own = self.state.player(), self.own
        if mover is not None:
            made = Decided(self.state.information_state(), tuple(self.state.actions()), action)
            own = tuple((*moves, made) if i == mover else moves for i, moves in enumerate(own))
        return _Walked(self.state.child(action), self.seats, own, self.found)

    def returns(self) -> Any:
        return self.state.returns()
