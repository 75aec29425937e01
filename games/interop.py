"""Games to and from OpenSpiel and Gambit, the only module that imports them (`pip install debate-trainer[interop]`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from games.extensive.tree import TERMINAL, ExtensiveGame, GameState
from games.files.efg import efg_text, read_efg
from games.files.nfg import nfg_text, read_nfg
from games.normal_form import Array, NormalFormGame


@dataclass(frozen=True, slots=True)
class _SpielState:
    """A `pyspiel.State` as a `GameState`."""

    state: Any
    by_history: bool  # perfect information without information-state strings: the history says what the player knows

    def player(self) -> int | None:
        if self.state.is_terminal():
            return TERMINAL
        return None if self.state.is_chance_node() else int(self.state.current_player())

    def actions(self) -> Sequence[str]:
        mover = self.state.current_player()
        actions = self.state.legal_actions()
        return _distinct([self.state.action_to_string(mover, a) for a in actions], actions)

    def chance(self) -> Sequence[tuple[str, float]]:
        return [(self.state.action_to_string(-1, a), p) for a, p in self.state.chance_outcomes()]

    def information_state(self) -> str:
        return str(self.state.history_str() if self.by_history else self.state.information_state_string())

    def child(self, action: int) -> _SpielState:
        return _SpielState(self.state.child(self.state.legal_actions()[action]), self.by_history)

    def returns(self) -> Array:
        return np.asarray(self.state.returns())[:, None]


@dataclass(frozen=True, slots=True)
class SpielGame:
    """An OpenSpiel game that can be walked move by move, however large its tree is.

    Attributes:
        name: with its parameters, such as "liars_dice(dice_sides=3)".
        title: in words.
        root: the first position.
        players: how many.
        utility: "zero_sum", "constant_sum" or "general_sum".
        open_moves: whether everybody sees every move as it is made (perfect information, moves in turn).
        longest: most moves of all players together that a play can have.
    """

    name: str
    title: str
    root: GameState
    players: int
    utility: str
    open_moves: bool
    longest: int


def openspiel_games() -> list[str]:
    """Short names of all games that OpenSpiel knows."""
    import pyspiel

    return list(pyspiel.registered_names())


def load_openspiel(game: Any) -> SpielGame:
    """An OpenSpiel game as positions; simultaneous moves become turns in which the later player sees nothing.

    Args:
        game: a `pyspiel.Game`, or a name with optional parameters, such as "kuhn_poker" or "goofspiel(num_cards=3)".

    Raises:
        ValueError: unknown name, sampled chance, mean-field dynamics, or imperfect information without
            information-state strings.
    """
    import pyspiel

    game = _loaded(game)
    name, title = str(game), game.get_type().long_name
    kind = game.get_type()
    in_turn = kind.dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL
    if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
        kind = game.get_type()
    elif not in_turn:
        raise ValueError(
            f"from_openspiel: {kind.short_name} has {kind.dynamics}, expected sequential or simultaneous moves"
        )
    if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
        raise ValueError(f"from_openspiel: {kind.short_name} samples its chance outcomes and gives no probabilities")
    by_history = not kind.provides_information_state_string
    perfect = kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION
    if by_history and not perfect:
        raise ValueError(
            f"from_openspiel: {kind.short_name} has imperfect information without information-state strings"
        )
    utility = {
        pyspiel.GameType.Utility.ZERO_SUM: "zero_sum",
        pyspiel.GameType.Utility.CONSTANT_SUM: "constant_sum",
    }.get(kind.utility, "general_sum")
    root = _SpielState(game.new_initial_state(), by_history)
    longest = game.max_game_length()
    return SpielGame(name, title, root, game.num_players(), utility, perfect and in_turn, longest)


def _loaded(game: Any) -> Any:
    import pyspiel

    if not isinstance(game, str):
        return game
    try:
        return pyspiel.load_game(game)
    except pyspiel.SpielError as error:
        raise ValueError(f"from_openspiel: {error}") from None


def from_openspiel(game: Any, *, max_nodes: int = 3_000_000) -> Any:
    """An OpenSpiel game as one of ours.

    Args:
        game: a `pyspiel.Game`, or a name with optional parameters, such as "kuhn_poker" or "goofspiel(num_cards=3)".
        max_nodes: refuse a tree that has more nodes than this.

    Returns:
        An `ExtensiveGame`. Simultaneous moves become turns in which the later player does not see the earlier choice
        (OpenSpiel's own conversion). One exception: a one-shot game (matrix and tensor games, Blotto), in which all
        players move once and at the same time, is a normal-form game and comes as a `NormalFormGame`.

    Raises:
        ValueError: unknown name, sampled chance, mean-field dynamics, imperfect information without
            information-state strings, imperfect recall, or a tree that is too large.
    """
    import pyspiel

    game = _loaded(game)
    kind = game.get_type()
    one_shot = kind.information == pyspiel.GameType.Information.ONE_SHOT
    together = kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS
    if together and one_shot and game.new_initial_state().is_simultaneous_node():
        return _one_shot(game)
    walked = load_openspiel(game)
    return ExtensiveGame.from_state(walked.root, walked.players, ("utility",), max_nodes=max_nodes)


def _one_shot(game: Any) -> NormalFormGame:
    state = game.new_initial_state()
    actions = [state.legal_actions(i) for i in range(game.num_players())]
    payoffs = np.empty((len(actions), 1, *map(len, actions)))
    for profile in np.ndindex(*map(len, actions)):
        end = state.clone()
        end.apply_actions([legal[k] for legal, k in zip(actions, profile, strict=True)])
        payoffs[(slice(None), 0, *profile)] = end.returns()
    names = [_distinct([state.action_to_string(i, a) for a in legal], legal) for i, legal in enumerate(actions)]
    return NormalFormGame(payoffs, None, ("utility",), names)


def _distinct(names: list[str], actions: Sequence[int]) -> list[str]:
    """Names as they are, with the action number added where two are the same."""
    return names if len(set(names)) == len(names) else [f"{n} ({a})" for n, a in zip(names, actions, strict=True)]


def to_openspiel(game: ExtensiveGame | NormalFormGame) -> Any:
    """A game that OpenSpiel's algorithms accept.

    A normal-form game becomes a `pyspiel.MatrixGame` (two players) or `pyspiel.TensorGame`; an extensive game goes
    through the text of `games.files.efg` into OpenSpiel's `efg_game`, which names information sets by numbers of its
    own.

    Raises:
        ValueError: the game has more than one objective: scalarise it first.
    """
    import pyspiel

    payoff = game.scalar()
    if isinstance(game, ExtensiveGame):
        return pyspiel.load_efg_game(efg_text(game))
    if game.num_players == 2:
        return pyspiel.create_matrix_game(
            "game", "game", list(game.strategies[0]), list(game.strategies[1]), payoff[0].tolist(), payoff[1].tolist()
        )
    names = [list(row) for row in game.strategies]
    return pyspiel.create_tensor_game("game", "game", names, [payoff[i].reshape(-1) for i in range(game.num_players)])


def to_gambit(game: ExtensiveGame | NormalFormGame) -> Any:
    """The game as a `pygambit.Game`, of the same kind (tree or table).

    Payoffs arrive as exact rationals, names in printable ASCII (see `games.files.gambit_text.quoted`).

    Raises:
        ValueError: the game has more than one objective: scalarise it first.
    """
    import pygambit

    if isinstance(game, ExtensiveGame):
        return pygambit.read_efg(BytesIO(efg_text(game).encode()))
    return pygambit.read_nfg(BytesIO(nfg_text(game).encode()))


def from_gambit(game: Any) -> ExtensiveGame | NormalFormGame:
    """A `pygambit.Game`: a tree becomes an `ExtensiveGame`, a table a `NormalFormGame`.

    Raises:
        ValueError: the tree has no perfect recall.
    """
    return read_efg(game.to_efg()) if game.is_tree else read_nfg(game.to_nfg())
