"""Seconds for one iteration of CFR and CFR+, against OpenSpiel's C++ solvers, and for one NashConv of a policy.

Both run in this process, one after the other, from the uniform policy for the same number of iterations, whose mean is
given (OpenSpiel's later iterations are faster: it leaves out branches that nobody reaches; on Liar's Dice, an iteration
after the twentieth takes about 0.6 of the mean of the first ten). Our figure leaves out one iteration's run, so that
neither the set-up nor the final NashConv is counted. The best of several runs counts for both. Both work in one thread,
so seconds are processor seconds, which other work on the machine disturbs least.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from games import cfr, from_openspiel, nash_conv
from games.extensive.tree import ExtensiveGame

# game, variant, OpenSpiel's solver, iterations, aim
CASES = [
    ("kuhn_poker", "cfr", "CFRSolver", 2000, "≥ 0.3×"),
    ("leduc_poker", "cfr+", "CFRPlusSolver", 50, "≥ 40×"),
    ("liars_dice", "cfr", "CFRSolver", 10, "≥ 130×"),
]


def run() -> list[dict[str, Any]]:
    """All rows of this file: about half a minute on one core."""
    rows = [iteration_row(*case) for case in CASES]
    return [*rows, nash_conv_row("leduc_poker")]


def iteration_row(name: str, variant: str, solver: str, iterations: int, aim: str, repeats: int = 4) -> dict[str, Any]:
    """The mean of the first iterations, and the NashConv both reach with them."""
    import pyspiel

    game, spiel = from_openspiel(name), pyspiel.load_game(name)
    cfr(game, variant, 1)  # builds the index arrays that are cached with the game
    alone = best(lambda: cfr(game, variant, 1), 3 * repeats)
    ours = (best(lambda: cfr(game, variant, iterations + 1), 3 * repeats) - alone) / iterations
    peers = [getattr(pyspiel, solver)(spiel) for _ in range(repeats)]
    waiting = iter(peers)

    def theirs() -> None:
        peer = next(waiting)
        for _ in range(iterations):
            peer.evaluate_and_update_policy()

    seconds = best(theirs, repeats) / iterations
    reached = nash_conv(game, table(game, peers[0].average_policy()))
    return {
        "task": f"one {variant.upper()} iteration, {name} ({game.num_nodes:,} nodes)",
        "peer": f"OpenSpiel C++ {solver}",
        "ours_seconds": ours,
        "peer_seconds": seconds,
        "ratio": seconds / ours,
        "aim": aim,
        "accuracy_ours": f"NashConv {cfr(game, variant, iterations).nash_conv:.6g} after {iterations}",
        "accuracy_peer": f"NashConv {reached:.6g} after {iterations}",
    }


def nash_conv_row(name: str, repeats: int = 5) -> dict[str, Any]:
    """NashConv of the uniform policy."""
    import pyspiel

    game, theirs = from_openspiel(name), pyspiel.load_game(name)
    uniform, policy = game.uniform_policy(), pyspiel.UniformRandomPolicy(theirs)
    ours = best(lambda: nash_conv(game, uniform), repeats)
    peer = best(lambda: pyspiel.nash_conv(theirs, policy), repeats)
    return {
        "task": f"NashConv of one policy, {name}",
        "peer": "OpenSpiel C++ nash_conv",
        "ours_seconds": ours,
        "peer_seconds": peer,
        "ratio": peer / ours,
        "aim": None,
        "accuracy_ours": f"{nash_conv(game, uniform):.10f}",
        "accuracy_peer": f"{pyspiel.nash_conv(theirs, policy):.10f}",
    }


def best(task: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of several calls."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        task()
        found.append(time.process_time() - start)
    return min(found)


def table(game: ExtensiveGame, policy: Any) -> dict[str, list[float]]:
    """OpenSpiel's policy in the order of our actions."""
    return {name: [p for _, p in policy.get_state_policy(name)] for name in game.infoset_names}


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
