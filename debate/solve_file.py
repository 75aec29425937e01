"""`debate solve FILE`: the equilibria of a game file as a table, and its analysis in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from debate.errors import UserError
from games.equilibrium import Equilibrium, NotConverged
from games.normal_form import NormalFormGame


def solve_file(path: Path, concept: str, out: Path, seed: int) -> Iterator[str]:
    """Solves a `.nfg`, `.efg` or payoff-CSV file and yields lines for the terminal.

    Args:
        path: the file.
        concept: "nash", "ce" or "cce".
        out: folder for the analysis.
        seed: of solvers that draw.

    Raises:
        UserError: the file is malformed, or no method found a verified answer.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        game = read_game(path)
        yield from _solve(game, concept, seed)
        yield from _export(game, out, seed)
    except (ValueError, NotConverged) as error:
        raise UserError(f"{path}: {error}") from error


def read_game(path: Path) -> Any:
    """The game in a file: `NormalFormGame` of .nfg and .csv, `ExtensiveGame` of .efg."""
    if path.suffix == ".nfg":
        from games.files.nfg import read_nfg

        return read_nfg(path)
    if path.suffix == ".efg":
        from games.files.efg import read_efg

        return read_efg(path)
    from games.files.payoff_csv import read_payoffs

    return read_payoffs(path)


def _solve(game: Any, concept: str, seed: int) -> Iterator[str]:
    from games.equilibria.dispatch import solve

    if not isinstance(game, NormalFormGame):
        if len(game.players) == 2 and concept == "nash":
            try:
                yield from _sequence_form(game)
                return
            except ValueError as error:
                yield f"no sequence-form solution ({error}); solving the reduced normal form"
        game = game.to_normal_form()
    scalar = game if game.num_objectives == 1 else game.scalarise(np.full(game.num_objectives, 1 / game.num_objectives))
    if scalar is not game:
        yield f"{game.num_objectives} objectives, weighed equally"
    for number, found in enumerate(solve(scalar, concept, seed=seed), 1):
        yield from _table(scalar, found, number)


def _sequence_form(game: Any) -> Iterator[str]:
    from games.extensive.sequence_form import sequence_form_lp

    found = sequence_form_lp(game)
    nash_conv = float(found.regrets.sum())
    yield f"value to {game.players[0]}: {found.value:.9g} (sequence-form linear program), NashConv {nash_conv:.2e}"
    for name, row in game.policy_table(found.policy).items():
        yield f"  {name}: " + ", ".join(f"{action} {p:.4f}" for action, p in row.items())


def _table(game: NormalFormGame, found: Equilibrium, number: int) -> Iterator[str]:
    marks = ", degenerate" if found.degenerate else ""
    yield f"{found.concept} {number} ({found.method}{marks}): NashConv {found.nash_conv:.2e}"
    payoffs: list[float] = [] if found.payoffs is None else np.ravel(found.payoffs).tolist()
    for i, player in enumerate(game.players):
        worth = f", payoff {payoffs[i]:.6g}" if len(payoffs) == len(game.players) else ""
        if found.profile is not None:
            played = ", ".join(f"{game.strategies[i][k]} {found.profile[i][k]:.6g}" for k in found.support[i])
            yield f"  player {player}: {played}{worth}"
        else:
            yield f"  player {player}{worth}"
    if found.joint is not None:
        for cell in np.argwhere(found.joint > 1e-9):
            names = ", ".join(game.strategies[i][k] for i, k in enumerate(cell))
            yield f"  ({names}) {found.joint[tuple(cell)]:.6g}"


def _export(game: Any, out: Path, seed: int) -> Iterator[str]:
    from games.analysis.analyse import analyse
    from games.empirical.samples import EmpiricalGame

    normal = game if isinstance(game, NormalFormGame) else game.to_normal_form()
    profiles = np.stack([axis.ravel() for axis in np.indices(normal.shape)], axis=1)
    rewards = np.moveaxis(normal.payoffs.reshape(*normal.payoffs.shape[:2], -1), -1, 0)
    samples = EmpiricalGame.from_samples(
        profiles, rewards, np.zeros(len(profiles), int), normal.players, normal.objectives, normal.strategies
    )
    analyse(samples, seed=seed).export(out)
    yield f"analysis: {out}"
