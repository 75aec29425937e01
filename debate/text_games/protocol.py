"""`openspiel:NAME`: an OpenSpiel game as a protocol whose moves are picks among its legal actions.

Player i sits in seat `player{i}`. Before each of its moves a seat is told its information state, and picks one of the
legal actions, so that no illegal move can be made. What is random is drawn by the run's seed and the question: a
question is one deal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from debate.errors import UserError, did_you_mean
from debate.protocol.kernel import Move, Setup, State, step
from debate.protocol.spec import Channel, Criterion, DebateProtocol, Decision, Prompt, Role, Slot
from debate.questions import Question

PREFIX = "openspiel:"
ROLE = "player"
CRITERION = "utility"


@dataclass(frozen=True, slots=True)
class Manual:
    """How one game is told to players.

    Attributes:
        rules: for language models, a few sentences.
        tell: information-state string → what a chat model reads; the compact style reads the string itself.
        open_moves: whether everybody sees every move as it is made.
    """

    rules: str
    tell: Callable[[str], str]
    open_moves: bool


@dataclass(frozen=True)
class GameProtocol(DebateProtocol):
    """A protocol whose schedule is the game's own.

    Attributes:
        game: OpenSpiel's name of it, parameters included.
        manual: how it is told.
        longest_game: most moves that a match can have.
    """

    game: str = ""
    manual: Manual = Manual("", str, False)
    longest_game: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """One move of a seat, past or to come: what it was told, what was legal, what it picked (None: not yet)."""

    told: str
    actions: tuple[str, ...]
    pick: int | None = None


def _kuhn(state: str) -> str:
    card = ("the jack", "the queen", "the king", *(f"card {n}" for n in range(3, 20)))[int(state[0])]
    moves = {"p": "Pass", "b": "Bet"}
    past = ", ".join(moves[move] for move in state[1:])
    return f"Your card is {card}. " + (f"Moves so far: {past}." if past else "No move has been made yet.")


def _dice(state: str) -> str:
    own, *bids = state.split(" ")
    dice = " and ".join(own)
    last = f"Bids so far: {', '.join(bids)}." if bids else "No bid has been made yet."
    return f"You rolled {dice}. {last}"


_MANUALS: Mapping[str, Manual] = {
    "kuhn_poker": Manual(
        "This is Kuhn poker. Every player antes one chip and gets one card from a deck that has one card more than "
        "there are players; the jack is lowest, then queen, then king. Players pass or bet one chip in turn. After a "
        "bet the others must bet too (call) or pass (fold). If nobody folds, the highest card wins the pot.",
        _kuhn,
        True,
    ),
    "liars_dice": Manual(
        "This is Liar's dice. Everybody rolls dice in secret. In turn, a player either raises the bid or calls the "
        "last bidder a liar. The bid 2-3 claims that among all dice at least two show a 3. A bid is higher if it names "
        "more dice, or as many with a higher face. The highest face is wild: it counts as any face. When "
        "somebody says Liar, the bidder wins if the bid is true and the caller wins if it is not.",
        _dice,
        True,
    ),
}


def game_protocol(name: str, parameters: Mapping[str, Any] | None = None) -> GameProtocol:
    """The protocol of an OpenSpiel game.

    Args:
        name: with or without the prefix; parameters in OpenSpiel's form, such as "liars_dice(dice_sides=3)".
        parameters: more of them.

    Raises:
        UserError: OpenSpiel is not installed, or has no such game or parameter, or the game cannot be played move by
            move (sampled chance, mean fields).
    """
    from games.interop import load_openspiel, openspiel_games

    text = name.removeprefix(PREFIX)
    if parameters:
        head, _, given = text.removesuffix(")").partition("(")
        text = f"{head}({','.join(filter(None, [given, *(f'{k}={v}' for k, v in parameters.items())]))})"
    try:
        known, short = openspiel_games(), text.partition("(")[0]
        if short not in known:
            raise UserError(f"{PREFIX}{text}: OpenSpiel has no game {short!r}{did_you_mean(short, known)}")
        found = load_openspiel(text)
    except ImportError:
        raise UserError(f"{PREFIX}{text}: OpenSpiel is not installed: pip install debate-trainer[interop]") from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{PREFIX}{text}: {str(error).removeprefix('from_openspiel: ')}") from None
    manual = _MANUALS.get(short) or Manual(f"This is the game {found.title}.", str, found.open_moves)
    seats = tuple(f"player{i}" for i in range(found.players))
    prompt = Prompt(
        chat=_literal(manual.rules) + "\nYou are {seat} of " + ", ".join(seats) + ". Win as much as you can.",
        compact="{seat}",
    )
    role = Role(ROLE, seats, frozenset(), "none", True, prompt)
    return GameProtocol(
        name=PREFIX + found.name.removesuffix("()"),
        title=found.title,
        summary=manual.rules,
        source="OpenSpiel (Lanctot et al., 2019)",
        roles=(role,),
        channels=(Channel("public", frozenset({ROLE, "judge"}), frozenset({ROLE})),),
        schedule=(),
        decision=Decision("nobody"),
        rewards=(Criterion(CRITERION, "measure", {"name": CRITERION}, found.utility),),  # type: ignore[arg-type]
        finite=True,
        game=found.name,
        longest_game=found.longest,
        manual=manual,
    )


def deal(number: int, split: str = "") -> Question:
    """The question that stands for one deal: chance is drawn from its id."""
    return Question(f"deal-{split}-{number:06d}" if split else f"deal-{number:06d}", "Who wins this deal?")


def position(protocol: GameProtocol, question: Question, seat: str, moves: Sequence[Decided]) -> State:
    """A kernel state in which a seat is to make the last of its moves, and knows of the game what it was told.

    The schedule of that state is the seat's own moves: each slot's instruction is the information state, its choices
    are the legal actions.
    """
    slots = tuple(
        Slot(
            seats=(seat,),
            phase="move",
            kind="choice",
            instruction=Prompt(_literal(protocol.manual.tell(move.told)), _literal(move.told)),
            choices=move.actions,
        )
        for move in moves
    )
    known = replace(protocol, schedule=slots)
    state = State(Setup(known, question, dict.fromkeys(protocol.seats)))
    for move in moves:
        if move.pick is not None:
            state = step(state, {seat: Move(option=move.pick)})
    return state


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
