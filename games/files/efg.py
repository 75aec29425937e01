"""Extensive-form games as Gambit `.efg` files.

Format: Gambit manual, "The extensive game (.efg) file format". Nodes stand in prefix order; an information set or
outcome is described where it first appears. Payoffs at inner nodes are added to those at the ends below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np

from games.extensive.tree import CHANCE, TERMINAL, ExtensiveGame
from games.files.gambit_text import Reader, chances, distinct, labels, load, number, quoted
from games.normal_form import Array


def read_efg(source: str | PathLike[str]) -> ExtensiveGame:
    """Reads a `.efg` file.

    Args:
        source: a path, or the text itself (it starts with "EFG" or has several lines).

    Returns:
        A scalar game. Information sets are called by their names; empty or repeated names get their number.

    Raises:
        ValueError: the text does not follow the format (the message gives the line, what was expected and what stands
            there), or the game is one without perfect recall.
        OSError: the file cannot be read.
    """
    file = _parse(Reader(*load(source, "EFG")))
    return ExtensiveGame.from_state(_FileState(file, 0, file.nodes[0].payoffs), distinct(file.players), ("utility",))


def write_efg(game: ExtensiveGame, path: str | PathLike[str], title: str = "") -> None:
    """Writes a scalar game as a `.efg` file; reading it back gives the same payoffs.

    Names are brought to what Gambit and OpenSpiel read: printable ASCII without quotation marks and backslashes.

    Raises:
        ValueError: the game has more than one objective: scalarise it first.
    """
    Path(path).write_text(efg_text(game, title), encoding="utf-8")


def efg_text(game: ExtensiveGame, title: str = "") -> str:
    """What `write_efg` writes."""
    payoff = game.scalar()
    place = {int(node): z for z, node in enumerate(game.terminals)}
    first = np.searchsorted(game.infoset_player, game.infoset_player)
    described = _infosets_text(game)
    lines = [f"EFG 2 R {quoted(title)} {{ {' '.join(labels(game.players))} }}", '""', ""]
    chance_nodes = 0
    stack = [0]
    while stack:
        node = stack.pop()
        who = int(game.player[node])
        children = game.children(node)
        if who == TERMINAL:
            z = place[node]
            lines.append(f't "" {z + 1} "" {{ {", ".join(map(number, payoff[z]))} }}')
        elif who == CHANCE:
            chance_nodes += 1
            odds = chances(float(game.probability[child]) for child in children)
            pairs = " ".join(f"{a} {p}" for a, p in zip(labels(game.chance_labels[node]), odds, strict=True))
            lines.append(f'c "" {chance_nodes} "" {{ {pairs} }} 0')
        else:
            j = int(game.infoset[node])
            lines.append(f'p "" {who + 1} {j - int(first[j]) + 1} {described[j]} 0')
        stack += reversed(children)
    return "\n".join(lines) + "\n"


def _infosets_text(game: ExtensiveGame) -> list[str]:
    """Name and actions of every information set."""
    names: list[str] = []
    for player in range(game.num_players):
        names += labels([game.infoset_names[j] for j in np.flatnonzero(game.infoset_player == player)])
    actions = [" ".join(labels(row)) for row in game.action_names]
    return [f"{name} {{ {row} }}" for name, row in zip(names, actions, strict=True)]


@dataclass
class _Node:
    who: int
    infoset: int = -1
    payoffs: Array = field(default_factory=lambda: np.zeros(0))
    children: list[int] = field(default_factory=list)


@dataclass
class _File:
    """The parsed text; information sets are keyed by (player, number), chance is player −1."""

    players: list[str]
    nodes: list[_Node] = field(default_factory=list)
    actions: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    odds: dict[int, list[Fraction]] = field(default_factory=dict)
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    outcomes: dict[int, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class _FileState:
    """A node of a parsed file as a `GameState`."""

    file: _File
    node: int
    payoffs: Array  # [P] of the outcomes on the way and here

    def _key(self) -> tuple[int, int]:
        node = self.file.nodes[self.node]
        return node.who, node.infoset

    def player(self) -> int | None:
        who = self.file.nodes[self.node].who
        return None if who == CHANCE else who

    def actions(self) -> list[str]:
        return self.file.actions[self._key()]

    def chance(self) -> list[tuple[str, float]]:
        key = self._key()
        return [(a, float(p)) for a, p in zip(self.file.actions[key], self.file.odds[key[1]], strict=True)]

    def information_state(self) -> str:
        return self.file.names[self._key()]

    def child(self, action: int) -> _FileState:
        below = self.file.nodes[self.node].children[action]
        return _FileState(self.file, below, self.payoffs + self.file.nodes[below].payoffs)

    def returns(self) -> Array:
        return self.payoffs


def _parse(reader: Reader) -> _File:
    """Reads the nodes in prefix order, with a stack of inner nodes that still want children."""
    _, players = reader.header("EFG", "2")
    reader.accept("string")  # a comment
    file = _File(players)
    open_nodes: list[tuple[int, int]] = []  # node, children still to come
    while not file.nodes or open_nodes:
        wanted = _parse_node(reader, file)
        index = len(file.nodes) - 1
        if open_nodes:
            above, left = open_nodes.pop()
            file.nodes[above].children.append(index)
            if left > 1:
                open_nodes.append((above, left - 1))
        if wanted:
            open_nodes.append((index, wanted))
    reader.take("end", "nothing after the last node")
    for player in range(len(players)):
        keys = sorted(key for key in file.names if key[0] == player)
        unique = distinct([file.names[key] or str(key[1]) for key in keys])
        file.names.update(zip(keys, unique, strict=True))
    return file


def _parse_node(reader: Reader, file: _File) -> int:
    """Reads one node, appends it, and says how many children follow."""
    start = reader.next
    kind = start.text if start.kind == "word" else ""
    if kind not in ("c", "p", "t"):
        raise reader.error("a node: c (chance), p (player) or t (terminal)")
    reader.place += 1
    reader.take("string", "the quoted name of the node")
    if kind == "t":
        file.nodes.append(_Node(TERMINAL, payoffs=_parse_outcome(reader, file)))
        return 0
    who = CHANCE
    if kind == "p":
        who = reader.integer(f"a player number in 1 … {len(file.players)}", 1, len(file.players)) - 1
    infoset = reader.integer("the number of an information set", 0)
    _parse_infoset(reader, file, who, infoset)
    file.nodes.append(_Node(who, infoset, _parse_outcome(reader, file)))
    return len(file.actions[who, infoset])


def _parse_infoset(reader: Reader, file: _File, who: int, infoset: int) -> None:
    """Reads the optional name and actions; they have to stand where the information set first appears."""
    key = (who, infoset)
    name = reader.take("string", "a name") if reader.at("string") else None
    if not reader.at("mark", "{"):
        if key not in file.actions:
            raise reader.error(f"{{ and the actions of information set {infoset}, which appears here first")
        return
    start = reader.next
    if who == CHANCE:
        actions, odds = _parse_chance(reader)
    else:
        actions, odds = reader.strings("action names"), []
    if not actions:
        raise ValueError(f"{reader.name}, line {start.line}: expected at least one action, got none")
    if key not in file.actions:
        file.actions[key] = list(distinct(actions))
        file.names[key] = name or ""
        file.odds.update({infoset: odds} if who == CHANCE else {})
    elif len(file.actions[key]) != len(actions) or (who == CHANCE and file.odds[infoset] != odds):
        raise ValueError(
            f"{reader.name}, line {start.line}: expected the actions {file.actions[key]} with which "
            f"information set {infoset} appeared first, got {actions}"
        )


def _parse_chance(reader: Reader) -> tuple[list[str], list[Fraction]]:
    """Reads { "a" 1/2 "b" 1/2 }."""
    start = reader.next
    reader.take("mark", "{ before the chance outcomes", "{")
    names, odds = [], []
    while not reader.accept("mark", "}"):
        names.append(reader.take("string", "the quoted name of a chance outcome, or }"))
        odds.append(reader.number("a probability"))
        reader.accept("mark", ",")
    if any(p < 0 for p in odds) or abs(float(sum(odds)) - 1.0) > 1e-9:
        got = ", ".join(map(str, odds))
        raise ValueError(f"{reader.name}, line {start.line}: expected probabilities that sum to 1, got {got}")
    return names, odds


def _parse_outcome(reader: Reader, file: _File) -> Array:
    """Reads the outcome at a node: 0 (none), or a number with name and payoffs where it first appears."""
    start = reader.next
    outcome = reader.integer("the number of an outcome (0 for none)", 0)
    if outcome == 0:
        return np.zeros(len(file.players))
    reader.accept("string")
    if reader.at("mark", "{"):
        values = np.array([float(p) for p in reader.numbers(len(file.players), "payoffs")])
        if outcome in file.outcomes and not np.array_equal(file.outcomes[outcome], values):
            raise ValueError(
                f"{reader.name}, line {start.line}: expected the payoffs {file.outcomes[outcome].tolist()} with which "
                f"outcome {outcome} appeared first, got {values.tolist()}"
            )
        file.outcomes[outcome] = values
    elif outcome not in file.outcomes:
        raise reader.error(f"{{ and the payoffs of outcome {outcome}, which appears here first")
    return file.outcomes[outcome]
