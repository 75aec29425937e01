"""Seconds for one iteration of CFR and CFR+, against OpenSpiel's C++ solvers, and for one NashConv of a policy.

Both run in this process, one after the other. Ours is the difference between a long run and a run of one iteration, so
that neither the set-up nor the final NashConv is counted; the best of several runs counts for both sides.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from games import cfr, from_openspiel, nash_conv
from games.extensive.tree import ExtensiveGame

# game, variant, OpenSpiel's solver, iterations a run of ours and of theirs, aim
CASES = [
    ("kuhn_poker", "cfr", "CFRSolver", 3000, 3000, "≥ 0.3×"),
    ("leduc_poker", "cfr+", "CFRPlusSolver", 1000, 20, "≥ 40×"),
    ("liars_dice", "cfr", "CFRSolver", 200, 2, "≥ 130×"),
]


def run() -> list[dict[str, Any]]:
    """All rows of this file: about half a minute on one core."""
    rows = [iteration_row(*case) for case in CASES]
    return [*rows, nash_conv_row("leduc_poker")]


def iteration_row(
    name: str, variant: str, solver: str, iterations: int, peer_iterations: int, aim: str, repeats: int = 5
) -> dict[str, Any]:
    """One iteration, and the NashConv both reach after as many iterations as the peer was given."""
    import pyspiel

    game = from_openspiel(name)
    cfr(game, variant, 1)  # builds the index arrays that are cached with the game
    alone = best(lambda: cfr(game, variant, 1), repeats)
    ours = (best(lambda: cfr(game, variant, iterations + 1), repeats) - alone) / iterations
    peer = getattr(pyspiel, solver)(pyspiel.load_game(name))

    def theirs() -> None:
        for _ in range(peer_iterations):
            peer.evaluate_and_update_policy()

    seconds = best(theirs, repeats) / peer_iterations
    done = repeats * peer_iterations
    return {
        "task": f"one {variant.upper()} iteration, {name} ({game.num_nodes:,} nodes)",
        "peer": f"OpenSpiel C++ {solver}",
        "ours_seconds": ours,
        "peer_seconds": seconds,
        "ratio": seconds / ours,
        "aim": aim,
        "accuracy_ours": f"NashConv {cfr(game, variant, done).nash_conv:.6g} after {done}",
        "accuracy_peer": f"NashConv {nash_conv(game, table(game, peer.average_policy())):.6g} after {done}",
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
    """Seconds of the fastest of several calls."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        found.append(time.perf_counter() - start)
    return min(found)


def table(game: ExtensiveGame, policy: Any) -> dict[str, list[float]]:
    """OpenSpiel's policy in the order of our actions."""
    return {name: [p for _, p in policy.get_state_policy(name)] for name in game.infoset_names}


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
