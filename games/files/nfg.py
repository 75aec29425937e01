"""Normal-form games as Gambit `.nfg` files, in the payoff and in the outcome form.

Format: Gambit manual, "The strategic game (.nfg) file format". Profiles are listed with the first player's strategy
changing fastest.
"""

from __future__ import annotations

from math import prod
from os import PathLike
from pathlib import Path

import numpy as np

from games.files.gambit_text import Reader, distinct, labels, load, number, quoted
from games.normal_form import NormalFormGame


def read_nfg(source: str | PathLike[str]) -> NormalFormGame:
    """Reads a `.nfg` file.

    Args:
        source: a path, or the text itself (it starts with "NFG" or has several lines).

    Returns:
        A scalar game. Names that are empty or repeated get their number.

    Raises:
        ValueError: the text does not follow the format; the message gives the line, what was expected and what stands
            there.
        OSError: the file cannot be read.
    """
    reader = Reader(*load(source, "NFG"))
    _, players = reader.header("NFG", "1")
    strategies = _strategies(reader, len(players))
    reader.accept("string")  # a comment
    sizes = [len(row) for row in strategies]
    table = (
        _outcome_form(reader, len(players), sizes)
        if reader.at("mark", "{")
        else _payoff_form(reader, len(players), sizes)
    )
    payoffs = np.array(table, dtype=np.float64).reshape(*sizes[::-1], len(players)).T
    return NormalFormGame(payoffs[:, None], distinct(players), ("utility",), [distinct(row) for row in strategies])


def write_nfg(game: NormalFormGame, path: str | PathLike[str], title: str = "") -> None:
    """Writes a scalar game as a `.nfg` file in the payoff form; reading it back gives the same floats.

    Names are brought to what Gambit reads: printable ASCII without quotation marks and backslashes.

    Raises:
        ValueError: the game has more than one objective: scalarise it first.
    """
    Path(path).write_text(nfg_text(game, title), encoding="utf-8")


def nfg_text(game: NormalFormGame, title: str = "") -> str:
    """What `write_nfg` writes."""
    payoff = game.scalar()
    rows = payoff.T.reshape(-1, game.num_players)
    lines = [
        f"NFG 1 R {quoted(title)} {{ {' '.join(labels(game.players))} }}",
        "",
        "{ " + "\n".join(f"{{ {' '.join(labels(row))} }}" for row in game.strategies) + " }",
        '""',
        "",
        *(" ".join(map(number, row)) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _strategies(reader: Reader, count: int) -> list[list[str]]:
    """Reads { 2 3 } or { { "a" "b" } { "c" "d" "e" } }."""
    opening = reader.next
    reader.take("mark", "{ before the strategies", "{")
    rows: list[list[str]] = []
    while not reader.accept("mark", "}"):
        start = reader.next
        if reader.at("mark", "{"):
            rows.append(reader.strings("strategy names"))
        else:
            rows.append(
                [str(k + 1) for k in range(reader.integer("numbers or names of strategies", 1, len(reader.tokens)))]
            )
        if not rows[-1]:
            raise ValueError(f"{reader.name}, line {start.line}: expected at least one strategy, got none")
    if len(rows) != count:
        raise ValueError(f"{reader.name}, line {opening.line}: expected strategies of {count} players, got {len(rows)}")
    return rows


def _payoff_form(reader: Reader, players: int, sizes: list[int]) -> list[list[float]]:
    wanted = prod(sizes)
    table = []
    for _ in range(wanted):
        row = [float(reader.number(f"{wanted} × {players} payoffs")) for _ in range(players)]
        table.append(row)
    reader.take("end", f"nothing after {wanted} × {players} payoffs")
    return table


def _outcome_form(reader: Reader, players: int, sizes: list[int]) -> list[list[float]]:
    """Outcome 0 is Gambit's null outcome: everyone receives 0."""
    reader.take("mark", "{ before the outcomes", "{")
    outcomes = [[0.0] * players]
    while not reader.accept("mark", "}"):
        reader.take("mark", "{ before an outcome, or } after the last", "{")
        reader.take("string", "the quoted name of an outcome")
        outcomes.append([float(p) for p in reader.rest_of_numbers(players, "payoffs")])
    wanted = prod(sizes)
    last = len(outcomes) - 1
    table = [outcomes[reader.integer(f"{wanted} outcome numbers in 0 … {last}", 0, last)] for _ in range(wanted)]
    reader.take("end", f"nothing after {wanted} outcome numbers")
    return table
