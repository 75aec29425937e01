"""Correlated and coarse correlated equilibria of a random 30×30 game (no peer offers these selections)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from games import NormalFormGame, solve


def run(size: int = 30) -> list[dict[str, Any]]:
    game = NormalFormGame.bimatrix(*np.random.default_rng(0).random((2, size, size)))
    rows = []
    for concept in ("ce", "cce"):
        for select in ("max_welfare", "max_entropy", "max_gini"):
            solve(NormalFormGame.bimatrix([[1, 0], [0, 1]], [[1, 0], [0, 1]]), concept, select=select)
            start = time.perf_counter()
            found = solve(game, concept, select=select)[0]
            rows.append(
                {
                    "task": f"{select} {concept.upper()} of {size}×{size}",
                    "ours_seconds": time.perf_counter() - start,
                    "aim": "< 200 ms" if select == "max_welfare" else "–",
                    "accuracy_ours": f"largest gain from deviating {found.regrets.max():.1e}",
                }
            )
    return rows
