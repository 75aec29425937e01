"""Matches advanced together against one match at a time: the same matches, the same seeds, one process, one engine.

    python -m benchmarks.waves                          # nano agents, evidence debate
    python -m benchmarks.waves --model smollm2-135m     # LoRA agents on transformers

For vLLM see `benchmarks.vllm_rollouts`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from debate.cast import Cast
from debate.data import load_questions
from debate.judging import build_judges
from debate.play import Arena, play
from debate.reader import parse_yaml
from debate.recipe import build_arena, parse_recipe
from debate.transcript import Episode, Match

RECIPE = """\
name: waves
agents:
  alice: {AGENT}
  bob: {AGENT}
arenas:
  debate:
    PROTOCOL
    seats: {A: alice, B: bob}
    judge: naive_evidence
    data: {adapter: evidence, n: 12, train: {split: train, limit: 8}, test: {split: test, limit: 4096}}
training: {updates: 0, groups: 1, group_size: 2, baseline: group}
"""
PICKS = "protocol: evidence_debate\n    parameters: {k: 2}"
SPEECHES = "protocol: debate_simultaneous\n    parameters: {rounds: 2, words: 40, tokens: TOKENS}"


def timed(arena: Arena, waves: Sequence[Sequence[Match]], cast: Cast) -> tuple[float, list[Episode]]:
    """Seconds, and the episodes of matches played wave after wave."""
    began = time.perf_counter()
    found = [episode for wave in waves for episode in asyncio.run(play(arena, wave, cast, seed=0))]
    return time.perf_counter() - began, found


def tokens(episodes: Sequence[Episode]) -> int:
    """How many were sampled."""
    return sum(len(turn.tokens or ()) for episode in episodes for turn in episode.transcript.turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="of transformers; nano agents without it")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--matches", type=int, default=0)
    parser.add_argument("--alone", type=int, default=0, help="how many of them are played one at a time")
    parser.add_argument("--tokens", type=int, default=40, help="of a speech")
    args = parser.parse_args()
    count = args.matches or (32 if args.model else 1024)
    alone = args.alone or (2 if args.model else 128)
    agent = f"{{kind: hf, model: {args.model}, dtype: {args.dtype}, rows: {2 * count}, weights: {{margin: 1}}}}"
    recipe_text = RECIPE.replace("{AGENT}", agent if args.model else "{kind: nano, weights: {win: 1}}")
    recipe_text = recipe_text.replace("PROTOCOL", SPEECHES if args.model else PICKS).replace("TOKENS", str(args.tokens))
    recipe = parse_recipe(parse_yaml(recipe_text, "waves.yaml"), Path())
    cast = Cast(recipe, teach=False)
    questions = load_questions(recipe.main.test, recipe.seed)
    arena = build_arena(recipe.main, questions, build_judges(recipe.main, recipe, cast))
    ids = [question.id for question in questions]
    matches = [Match(f"m{i}", "debate", ids[i % len(ids)], {"A": "alice-v0", "B": "bob-v0"}) for i in range(count)]
    timed(arena, [matches[:1]], cast)  # warm
    each, one = timed(arena, [[match] for match in matches[:alone]], cast)
    all_of, every = timed(arena, [matches], cast)
    together, single = tokens(every) / all_of, tokens(one) / each
    same = sum(repr(a.transcript.turns) == repr(b.transcript.turns) for a, b in zip(one, every, strict=False))
    print(f"{args.model or 'nano'}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{count} matches together: {together:10.1f} tokens/s, {count / all_of:8.1f} matches/s")
    print(f"one match at a time: {single:10.1f} tokens/s, {alone / each:8.1f} matches/s")
    print(f"together is {together / single:.1f}×; of {alone} matches {same} came out the same both ways")


if __name__ == "__main__":
    main()
