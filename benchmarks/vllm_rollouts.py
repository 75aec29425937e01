"""Self-play on vLLM beside vLLM alone: tokens a second, prefix cache, adapter sync. One process, one engine, one run.

    python -m benchmarks.vllm_rollouts --matches 4           # SmolLM2-135M on a CPU build
    python -m benchmarks.vllm_rollouts --no-adapters         # the same without adapters
    python -m benchmarks.vllm_rollouts --model Qwen/Qwen3-4B --matches 256 --tokens 128 --memory 0.9 --no-eager

Two agents with an adapter each debate; then their very prompts go to `LLM.generate`, wave by wave and all at once, then
a few matches are played one at a time. The prefix cache is emptied before each leg. On a CPU vLLM copies an adapter's
weights for every token that it reads, which makes long prompts of adapters slow: few matches there, or none adapted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.engines.vllm.backend import Ask, Deliver
from debate.engines.vllm.build import vllm_completer
from debate.engines.vllm.completer import VllmCompleter
from debate.engines.vllm.settings import VllmSettings
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.transcript import Match, Policy
from judges.judges.scripted import constant_judge
from judges.rules import make_rule

MATERIAL = "A court weighs what each side can show, and each side shows what serves it. "


def arena(tokens: int, rounds: int, count: int, sentences: int) -> Arena:
    protocol = load_protocol("debate_simultaneous", {"rounds": rounds, "words": tokens, "tokens": tokens})
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    asked = {
        f"q{i}": Question(
            f"q{i}", f"Case {i}: who is right?", ("the plaintiff", "the defendant"), 0, MATERIAL * sentences
        )
        for i in range(count)
    }
    return Arena("debate", protocol, asked, (constant_judge(),), rules)


def shaken(host: AdapterPolicies, seed: int) -> dict[str, Any]:
    import torch

    noise = torch.Generator().manual_seed(seed)
    return {k: v + 0.01 * torch.randn(v.shape, generator=noise) for k, v in host.first_state(0).items()}


class Recorder:
    """Keeps the waves that went to vLLM, for its turn alone."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.run_inner = backend.run
        self.waves: list[list[Ask]] = []
        self.cached: list[tuple[int, int]] = []
        backend.run = self.run

    async def run(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Keeps the wave, passes it on, and counts what the cache held."""
        self.waves.append(list(asks))
        hits = [0]

        def count(i: int, answer: Any) -> None:
            hits[0] += answer.cached
            deliver(i, answer)

        await self.run_inner(asks, count)
        self.cached.append((hits[0], sum(len(ask.prompt) for ask in asks)))


def raw(llm: Any, asks: Sequence[Ask]) -> int:
    """`LLM.generate` on prompts, as anyone would call it; returns the tokens sampled."""
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    parameters = [
        SamplingParams(
            max_tokens=ask.sampling.max_tokens,  # type: ignore[union-attr]
            temperature=1.0,
            stop_token_ids=list(ask.stops),
            detokenize=False,
        )
        for ask in asks
    ]
    lora = [LoRARequest(a.adapter.name, a.adapter.number, str(a.adapter.path)) for a in asks if a.adapter]
    prompts = [{"prompt_token_ids": list(ask.prompt)} for ask in asks]
    outputs = llm.generate(prompts, parameters, lora_request=lora, use_tqdm=False)
    return sum(len(output.outputs[0].token_ids) for output in outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--adapters", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--matches", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--sentences", type=int, default=1, help="length of the material that both sides read")
    parser.add_argument("--alone", type=int, default=2, help="matches played one at a time")
    parser.add_argument("--memory", type=float, default=0.0)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--eager", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    from debate.engines.hf import load_base

    spec = AdapterSpec(args.rank)
    host = AdapterPolicies(load_base(args.model, "cpu", args.dtype)[0], spec)
    merged = sum(p.numel() * p.element_size() for p in host.base.parameters())
    states = [shaken(host, seed) for seed in range(8)]
    settings = VllmSettings(dtype=args.dtype, context=args.context, memory=args.memory, eager=args.eager)
    with tempfile.TemporaryDirectory() as folder:
        engine = vllm_completer(args.model, Path(folder), settings, spec)
        try:
            measure(engine, states, host.first_state(0), merged, args)
        finally:
            engine.close()


def measure(
    engine: VllmCompleter,
    states: Sequence[dict[str, Any]],
    fresh_adapter: dict[str, Any],
    merged: int,
    args: argparse.Namespace,
) -> None:
    llm: Any = engine.backend._llm  # type: ignore[attr-defined]
    game = arena(args.tokens, args.rounds, args.matches, args.sentences)
    seats = {"A": "ada-v0", "B": "ben-v0"}
    for policy, state in zip(seats.values(), states, strict=False):
        engine.publish(policy, state if args.adapters else fresh_adapter)
    speaker = LanguageSpeaker(engine, max_tokens=args.tokens)
    policies = [Policy(policy.partition("-")[0], 0, args.model) for policy in seats.values()]
    cast = {policy.id: Agent(policy, speaker) for policy in policies}
    matches = [Match(f"m{i}", "debate", f"q{i}", seats) for i in range(args.matches)]

    def fresh() -> float:
        llm.reset_prefix_cache()
        return time.perf_counter()

    asyncio.run(play(game, matches[: args.alone], cast, seed=1))  # warm: kernels, adapters
    recorder = Recorder(engine.backend)
    before = engine.traffic.tokens
    started = fresh()
    asyncio.run(play(game, matches, cast, seed=0))
    ours = (engine.traffic.tokens - before) / (time.perf_counter() - started)
    waves, cached = list(recorder.waves), list(recorder.cached)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    speakers = "two adapters" if args.adapters else "no adapters"
    shape = f"{args.matches} matches, {args.rounds} rounds of {args.tokens} tokens"
    print(f"{args.model} {args.dtype}, {speakers}, {shape}, {load}")
    print(f"self-play                         {ours:9.1f} tokens/s")
    for n, (hits, read) in enumerate(cached):
        print(f"prefix cache, wave {n + 1}: {hits} of {read} prompt tokens ({hits / read:.1%})", flush=True)
    started = fresh()
    by_wave = sum(raw(llm, wave) for wave in waves) / (time.perf_counter() - started)
    print(f"LLM.generate, the same waves      {by_wave:9.1f} tokens/s   self-play is {ours / by_wave:.2f}×", flush=True)
    started = fresh()
    at_once = raw(llm, [ask for wave in waves for ask in wave]) / (time.perf_counter() - started)
    print(f"LLM.generate, all prompts at once {at_once:9.1f} tokens/s   self-play is {ours / at_once:.2f}×", flush=True)
    before = engine.traffic.tokens
    started = fresh()
    for match in matches[: args.alone]:
        asyncio.run(play(game, [match], cast, seed=0))
    alone = (engine.traffic.tokens - before) / (time.perf_counter() - started)
    print(f"one match at a time               {alone:9.1f} tokens/s   self-play is {ours / alone:.1f}×", flush=True)
    sizes, seconds = engine.traffic.sync_bytes, engine.traffic.sync_seconds
    for n, state in enumerate(states[2:], start=1):
        engine.publish(f"ada-v{n}", state)
        engine.retire(f"ada-v{n}")
    count = len(states) - 2
    size, each = (engine.traffic.sync_bytes - sizes) / count, (engine.traffic.sync_seconds - seconds) / count
    print(f"adapter sync: {size:,.0f} bytes ({size / merged:.2%} of {merged:,} merged), {each * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
