"""Payoff tables as CSV: what an analysis exports as payoffs.csv, read back; and the shortest table of a game by hand.

One row for each pure profile, player and objective, with the columns `strategy_<player>` (one for each player),
`player`, `mean`, and where there is more than one `objective`. Other columns are left alone.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from games.normal_form import NormalFormGame

_PREFIX = "strategy_"


def read_payoffs(path: str | Path) -> NormalFormGame:
    """The game of the mean payoffs in a CSV file.

    Raises:
        ValueError: with file and line: a missing column, an unknown player, a number that is none, a cell given twice,
            or a cell that is missing or was never played (no mean).
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        players = [name.removeprefix(_PREFIX) for name in columns if name.startswith(_PREFIX)]
        if len(players) < 2 or "player" not in columns or "mean" not in columns:
            raise ValueError(
                f"{path}:1: expected columns strategy_<player> for each player, player and mean, got {columns}"
            )
        cells: dict[tuple[str, ...], float] = {}
        names: list[dict[str, int]] = [{} for _ in players]
        objectives: dict[str, int] = {}
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if row["player"] not in players:
                raise ValueError(f"{where}: player {row['player']!r} has no strategy column; expected one of {players}")
            try:
                value = float(row["mean"])
            except (TypeError, ValueError):
                raise ValueError(f"{where}: mean: expected a number, got {row['mean']!r}") from None
            if not math.isfinite(value):
                raise ValueError(f"{where}: mean is {value}: this cell was never played")
            profile = [row[_PREFIX + player] or "" for player in players]
            objective = row.get("objective") or "utility"
            key = (row["player"], objective, *profile)
            if key in cells:
                raise ValueError(f"{where}: {profile} of player {row['player']!r}, {objective!r} is given twice")
            cells[key] = value
            objectives.setdefault(objective, len(objectives))
            for seen, strategy in zip(names, profile, strict=True):
                seen.setdefault(strategy, len(seen))
    if not cells:
        raise ValueError(f"{path}: no payoffs, only a header")
    payoffs = np.full((len(players), len(objectives), *map(len, names)), np.nan)
    for (player, objective, *chosen), value in cells.items():
        at = tuple(seen[strategy] for seen, strategy in zip(names, chosen, strict=True))
        payoffs[(players.index(player), objectives[objective], *at)] = value
    missing = np.argwhere(np.isnan(payoffs))
    if len(missing):
        i, c, *cell = (int(n) for n in missing[0])
        chosen = [list(seen)[k] for seen, k in zip(names, cell, strict=True)]
        raise ValueError(f"{path}: no payoff of player {players[i]!r}, {list(objectives)[c]!r} at profile {chosen}")
    return NormalFormGame(payoffs, players, objectives, names)
