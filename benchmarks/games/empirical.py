"""Empirical games: the bootstrap against HiGHS in a loop, and matches to certify NashConv under each matchmaking rule.

`python -m benchmarks.games.empirical` prints both; the second is a count of matches, not of seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from games.empirical.confidence import mean_interval
from games.empirical.matchmaking import adaptive_zero_sum, certified_gap, evenly, open_edges
from games.empirical.matrix_games import solve_matrix_games


def run() -> list[dict[str, Any]]:
    """All rows of this file, the quick version (a minute or two on one core)."""
    return [bootstrap_row(), *certify_rows(games=200)]


def bootstrap_row(size: int = 10, resamples: int = 1000) -> dict[str, Any]:
    """1,000 resampled win-rate tables of one 10×10 game."""
    rng = np.random.default_rng(0)
    wins = rng.binomial(40, rng.uniform(0.2, 0.8, (size, size))) / 40
    tables = rng.binomial(40, np.broadcast_to(wins, (resamples, size, size))) / 40
    start = time.perf_counter()
    _, _, _, gaps = solve_matrix_games(tables)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    peer_gaps = [highs_gap(table) for table in tables]
    peer = time.perf_counter() - start
    return {
        "task": f"{resamples} resamples of a {size}×{size} zero-sum equilibrium",
        "peer": "scipy HiGHS, one LP a resample, duals for the other player",
        "ours_seconds": ours,
        "peer_seconds": peer,
        "ratio": peer / ours,
        "aim": "≥ 5×, exploitability ≤ 1e-3 each",
        "accuracy_ours": f"largest exploitability {gaps.max() / 2:.1e}",
        "accuracy_peer": f"largest exploitability {max(peer_gaps) / 2:.1e}",
    }


def highs_gap(table: np.ndarray) -> float:
    """NashConv of HiGHS's answer to one matrix game: a single primal LP, the column strategy from its duals."""
    from scipy.optimize import linprog

    m, n = table.shape
    answer = linprog(
        np.r_[np.zeros(m), -1.0],
        A_ub=np.c_[-table.T, np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(m), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * m + [(None, None)],
        method="highs",
    )
    x, y = answer.x[:m], -answer.ineqlin.marginals
    return float((table @ (y / y.sum())).max() - (x @ table).min())


def certify(
    rule: str, truth: np.ndarray, epsilon: float, delta: float, seed: int, growth: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Plays win-or-loss matches of R games until each has a profile certified to NashConv ≤ ε.

    Returns:
        matches [R] it took, and whether [R] the true NashConv of the certified profile was indeed within the bound at
        every time it was looked at.
    """
    rng = np.random.default_rng(seed)
    games, m, n = truth.shape
    wins, played = np.zeros(truth.shape), np.zeros(truth.shape)
    matches, right = np.zeros(games), np.ones(games, dtype=bool)
    active = np.arange(games)
    while len(active):
        low, high = mean_interval(wins[active], played[active], delta / (m * n))
        gap, rows, columns = certified_gap(low, high)
        value_row = np.einsum("rmn,rn->rm", truth[active], columns).max(axis=1)
        value_column = np.einsum("rm,rmn->rn", rows, truth[active]).min(axis=1)
        right[active] &= value_row - value_column <= gap + 1e-9
        open_ = gap > epsilon
        matches[active[~open_]] = played[active[~open_]].sum(axis=(1, 2))
        active, low, high = active[open_], low[open_], high[open_]
        if not len(active):
            break
        have = played[active]
        budget = np.maximum(m * n / 4, np.floor(growth * have.sum(axis=(1, 2))))
        if rule == "adaptive":
            plan = adaptive_zero_sum(low, high, have, budget)
        elif rule == "uniform":
            plan = evenly(have, budget)
        else:
            graph = open_edges(low[:, None], high[:, None]).astype(float)
            some = graph.any(axis=(1, 2), keepdims=True)
            share = graph / np.maximum(graph.sum(axis=(1, 2), keepdims=True), 1.0) * budget[:, None, None]
            plan = np.where(some, share, evenly(have, budget))
        whole = np.floor(plan) + (rng.uniform(size=plan.shape) < plan % 1.0)
        played[active] += whole
        wins[active] += rng.binomial(whole.astype(np.int64), truth[active])
    return matches, right


def certify_rows(games: int = 1000, size: int = 10, epsilon: float = 0.1, delta: float = 0.05) -> list[dict[str, Any]]:
    """Mean matches of each rule, and how often the certificate was right, over random win-rate tables."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.1, 0.9, (games, size, size))
    used = {
        rule: certify(rule, truth, epsilon, delta, seed=2) for rule in ("adaptive", "uniform", "response_graph_ucb")
    }
    ours, right = used["adaptive"]
    rows = []
    for peer in ("uniform", "response_graph_ucb"):
        theirs, theirs_right = used[peer]
        share = float(ours.mean() / theirs.mean())
        rows.append(
            {
                "task": f"matches to certify NashConv ≤ {epsilon} at {1 - delta:.0%}, {games} games {size}×{size}",
                "peer": peer,
                "ours_seconds": None,  # matches are counted here, not seconds
                "peer_seconds": None,
                "ratio": 1.0 / share,
                "aim": "≤ 40 % of uniform, coverage ≥ 95 %",
                "accuracy_ours": f"{ours.mean():,.0f} matches ({share:.1%}), coverage {right.mean():.4f}",
                "accuracy_peer": f"{theirs.mean():,.0f} matches, coverage {theirs_right.mean():.4f}",
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--epsilon", type=float, default=0.1)
    chosen = parser.parse_args()
    for row in [bootstrap_row(), *certify_rows(chosen.games, chosen.size, chosen.epsilon)]:
        print(json.dumps(row, ensure_ascii=False))
