"""α-rank of one population of 50 strategies, m = 50, against OpenSpiel."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from games import alpharank


def run() -> list[dict[str, Any]]:
    from open_spiel.python.egt import alpharank as peer

    table = np.random.default_rng(0).random((50, 50))
    rows = []
    for selection, aim in (("global", "≥ 1000×"), ("local", "–")):
        repeats = 20
        start = time.perf_counter()
        for _ in range(repeats):
            ours = alpharank(table, 1.0, 50, selection)
        seconds = (time.perf_counter() - start) / repeats
        start = time.perf_counter()
        theirs = peer.compute([table], m=50, alpha=1.0, use_local_selection_model=selection == "local")[2]
        peer_seconds = time.perf_counter() - start
        rows.append(
            {
                "task": f"α-rank, n = 50, m = 50, general-sum, {selection} selection",
                "peer": "OpenSpiel",
                "ours_seconds": seconds,
                "peer_seconds": peer_seconds,
                "ratio": peer_seconds / seconds,
                "aim": aim,
                "accuracy_ours": f"largest difference {np.abs(ours.joint - theirs).max():.1e}",
                "accuracy_peer": f"residual of ours {ours.details['residual']:.1e}",
            }
        )
    return rows
