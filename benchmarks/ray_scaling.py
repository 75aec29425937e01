"""Match throughput on Ray: the same matches with one worker, with two, and in one process without Ray.

    python -m benchmarks.ray_scaling [--matches 2048] [--rounds 5]

Nano agents, evidence debate. Every way plays the same matches, in turn, in one run; the episodes must be equal. Medians
over rounds. What Ray adds is also measured with agents that do not think (scripted), where it is nearly all there is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from debate.cast import Cast
from debate.data import load_questions
from debate.judging import build_judges
from debate.play import play
from debate.progress import Silent
from debate.reader import parse_yaml
from debate.recipe import Recipe, build_arena, parse_recipe
from debate.scale.actors import Dressing
from debate.scale.cluster import ScaleSpec, connected, worker_claim
from debate.scale.pool import Pool
from debate.transcript import Match

RECIPE = """\
name: scaling
agents:
  alice: {AGENT}
  bob: {AGENT}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 2}
    seats: {A: alice, B: bob}
    judge: naive_evidence
    data: {adapter: evidence, n: 12, train: {split: train, limit: 8}, test: {split: test, limit: 4096}}
training: {updates: 0, groups: 1, group_size: 2, baseline: group}
league: {questions: 1}
tournament: {questions: 1, resamples: 10}
evaluation: {questions: 1}
"""
AGENTS = {"nano": "{kind: nano, weights: {win: 1}}", "scripted": "{kind: scripted, script: random_legal}"}


def ways(ray: Any, recipe: Recipe, matches: Sequence[Match], questions: Any) -> dict[str, Callable[[], Any]]:
    """How the matches are played: name → a call that does it and returns the episodes."""
    spec = recipe.main
    cast = Cast(recipe, teach=False)
    arena = build_arena(spec, questions[spec.name], build_judges(spec, recipe, cast))
    found: dict[str, Callable[[], Any]] = {"no Ray": lambda: asyncio.run(play(arena, matches, cast, recipe.seed))}
    for workers in (1, 2):
        pool = Pool(ray, ScaleSpec("local", workers), worker_claim(recipe), recipe, questions, Silent())
        found[f"{workers} worker{'s' * (workers > 1)}"] = lambda pool=pool: pool.play(  # type: ignore[misc]
            spec.name, matches, Dressing(), recipe.seed
        )
    return found


def sent(ray: Any, episodes: Sequence[Any]) -> int:
    """Bytes of these episodes on their way to the driver."""
    return len(ray.cloudpickle.dumps(episodes))


def measure(ray: Any, kind: str, count: int, rounds: int) -> None:
    """Plays, compares, prints."""
    recipe = parse_recipe(parse_yaml(RECIPE.replace("{AGENT}", AGENTS[kind]), "scaling.yaml"), Path())
    questions = {"debate": load_questions(recipe.main.test, recipe.seed)}
    ids = [question.id for question in questions["debate"]]
    matches = [Match(f"m{i}", "debate", ids[i % len(ids)], {"A": "alice-v0", "B": "bob-v0"}) for i in range(count)]
    every = ways(ray, recipe, matches, questions)
    episodes = {way: go() for way, go in every.items()}  # also warms everything up
    plain = episodes["no Ray"]
    for way, found in episodes.items():
        if repr(found) != repr(plain):
            raise SystemExit(f"{way}: other episodes than without Ray")
    seconds: dict[str, list[float]] = {way: [] for way in every}
    for _ in range(rounds):
        for way, go in every.items():
            began = time.perf_counter()
            go()
            seconds[way].append(time.perf_counter() - began)
    took = {way: statistics.median(all_of) for way, all_of in seconds.items()}
    for way, median in took.items():
        low, high = min(seconds[way]), max(seconds[way])
        print(
            f"{kind}, {way}: {count / median:.0f} matches/s ({median:.2f} s, {low:.2f} to {high:.2f}), "
            f"{median / took['1 worker']:.2f} of one worker's time, {took['no Ray'] / median:.2f}× no Ray"
        )
    print(f"{kind}: 1 → 2 workers: {took['1 worker'] / took['2 workers']:.2f}×")
    added = 1e6 * (took["1 worker"] - took["no Ray"]) / count
    print(f"{kind}: one worker adds {added:.0f} µs and {sent(ray, plain) / count:.0f} bytes a match")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matches", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # as every worker has
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 would give way to this process
    with connected(ScaleSpec("local", 3), 0) as ray:
        for kind in AGENTS:
            measure(ray, kind, arguments.matches, arguments.rounds)


if __name__ == "__main__":
    main()
