"""One equilibrium of each of 40 random 20×20 bimatrix games, against Nashpy's Lemke–Howson and Gambit's lcp."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from games import NormalFormGame, nash_conv, solve

Answer = list[np.ndarray] | None
LIMIT = 0.5  # seconds for one game of a peer that may not end


def run(games: int = 40, size: int = 20) -> list[dict[str, Any]]:
    import nashpy  # type: ignore[import-untyped]
    import pygambit

    tables = [np.random.default_rng(seed).random((2, size, size)) for seed in range(games)]
    ours_games = [NormalFormGame.bimatrix(a, b) for a, b in tables]
    gambit_games = [pygambit.Game.from_arrays(a, b) for a, b in tables]
    nashpy_games = [nashpy.Game(a, b) for a, b in tables]

    def ours(index: int) -> Answer:
        return list(solve(ours_games[index], method="lemke_howson")[0].profile or ())

    def gambit(index: int) -> Answer:
        found = pygambit.nash.lcp_solve(gambit_games[index], rational=False, stop_after=1).equilibria
        if not found:
            return None
        return [np.array([float(p) for _, p in strategy]) for _, strategy in found[0].mixed_strategies()]

    def lemke_howson(index: int) -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return within(LIMIT, lambda: list(nashpy_games[index].lemke_howson(initial_dropped_label=0)))

    seconds, solved = measure(ours, ours_games)
    rows = []
    for name, function, aim in (
        ("Gambit lcp, floating point", gambit, "≥ 0.33×, all solved"),
        ("Nashpy Lemke–Howson, label 0, at most ½ s a game", lemke_howson, "all solved"),
    ):
        peer_seconds, peer_solved = measure(function, ours_games)
        rows.append(
            {
                "task": f"one equilibrium of {games} random {size}×{size} bimatrix games",
                "peer": name,
                "ours_seconds": seconds,
                "peer_seconds": peer_seconds,
                "ratio": peer_seconds / seconds,
                "aim": aim,
                "accuracy_ours": solved,
                "accuracy_peer": peer_solved,
            }
        )
    return rows


def measure(function: Callable[[int], Answer], games: list[NormalFormGame]) -> tuple[float, str]:
    """Seconds for all games, and how many answers have NashConv ≤ 1e-6."""
    start = time.perf_counter()
    answers = [function(index) for index in range(len(games))]
    seconds = time.perf_counter() - start
    gaps = [gap(game, answer) for game, answer in zip(games, answers, strict=True)]
    good = [g for g in gaps if g <= 1e-6]
    return seconds, f"{len(good)} of {len(games)} solved, NashConv ≤ {max(good, default=float('nan')):.1e}"


def within(limit: float, function: Callable[[], Answer]) -> Answer:
    """The answer, or None after `limit` seconds (rounding can make an unperturbed pivoting path go round for ever)."""

    def stop(signum: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return function()
    except TimeoutError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def gap(game: NormalFormGame, answer: Answer) -> float:
    if answer is None or any(
        row.shape != (k,) or not np.isfinite(row).all() for row, k in zip(answer, game.shape, strict=True)
    ):
        return float("inf")
    try:
        return float(nash_conv(game, answer))
    except ValueError:  # not a pair of distributions
        return float("inf")
