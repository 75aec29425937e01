"""Speed of the local engines: requests and tokens a second, beside transformers' `generate` in the same process.

    python -m benchmarks.engines.speed nano
    python -m benchmarks.engines.speed hf --model smollm2-135m --dtype bfloat16 --rows 32

Wall time and processor time are both printed: on a machine that others use, the second is the steadier.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from judges.types import Message, Request, Sampling

SPEECH = "Write about the history of evidence in courts of law, in plain words. " * 5


def timed(name: str, count: int, unit: str, run: Callable[[], Any]) -> None:
    wall, used = time.perf_counter(), time.process_time()
    run()
    wall, used = time.perf_counter() - wall, time.process_time() - used
    print(f"{name:36s} {count / wall:10.1f} {unit}/s   {count / used:10.1f} {unit}/processor-s   {wall:6.2f} s")


def nano(count: int) -> None:
    from debate.engines.nano.engine import nano_completer
    from debate.engines.nano.tokenizer import WEIGHTS

    engine = nano_completer()
    items = ["+16", "-2", "+4", "-8", "+1", "-1", "+2", "-16", "+8", "+4", "-4", "+1"]
    view = (Message("system", "".join(items) + "1"), Message("user", "A+16"))
    views = [
        (Message("system", "".join(np.random.default_rng(i).permutation(items)) + "1"), view[1]) for i in range(count)
    ]
    picks = [Request(each, choices=WEIGHTS, seed=i) for i, each in enumerate(views)]
    same = [Request(view, choices=WEIGHTS, seed=i) for i in range(count)]
    two = [Request(each, choices=("yes", "no, never"), seed=i) for i, each in enumerate(views)]
    opening = engine.format.encode(view)
    engine.format.finished = lambda ids: False  # type: ignore[method-assign]  # every row speaks its full length
    speeches = [Request(view, Sampling(64), seed=i) for i in range(count)]
    asyncio.run(engine(picks))
    print(f"nano: {count} requests, prompt of {len(opening)} tokens")
    timed("picks among 10 (one forward)", count, "request", lambda: asyncio.run(engine(picks)))
    timed("the same pick, asked again and again", count, "request", lambda: asyncio.run(engine(same)))
    timed("two choices of several tokens", count, "request", lambda: asyncio.run(engine(two)))
    timed("speeches of 64 tokens", count * 64, "token", lambda: asyncio.run(engine(speeches)))
    timed("one pick at a time", 16, "request", lambda: [asyncio.run(engine([p])) for p in picks[:16]])


def hf(model: str, dtype: str, rows: int, tokens: int, device: str) -> None:
    import torch

    from debate.engines.hf import hf_completer

    engine = hf_completer(model, device, dtype, rows=rows)
    engine.format.stops = frozenset()  # type: ignore[attr-defined]  # every row speaks its full length
    view = (Message("system", "You are a debater."), Message("user", SPEECH))
    views = [(view[0], Message("user", f"{chr(65 + i % 26)}{chr(65 + i // 26 % 26)} {SPEECH}")) for i in range(rows)]
    requests = [Request(each, Sampling(tokens), seed=i) for i, each in enumerate(views)]
    prompt = torch.full((rows, max(len(engine.format.encode(each)) for each in views)), 5, device=device)

    def generate(length: int) -> None:
        with engine.policies.use("") as lm, torch.inference_mode():
            options = {"do_sample": True, "top_k": 0, "max_new_tokens": length, "min_new_tokens": length}
            lm.generate(prompt, attention_mask=torch.ones_like(prompt), pad_token_id=0, **options)

    asyncio.run(engine([Request(view, Sampling(2)) for _ in range(rows)]))
    generate(2)
    print(f"{model} {dtype} on {device}: {rows} rows, prompt of {prompt.shape[1]} tokens, {tokens} new ones each")
    for _ in range(2):
        timed("speeches, this engine", rows * tokens, "token", lambda: asyncio.run(engine(requests)))
        timed("speeches, transformers generate", rows * tokens, "token", lambda: generate(tokens))
    for name, choices in (
        ("choices A, B", ("A", "B")),
        ("three choices of several tokens", ("yes sir", "no, no", "may be")),
    ):
        asked = [Request(each, choices=choices) for each in views]
        timed(name, rows, "request", lambda asked=asked: asyncio.run(engine(asked)))  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("nano", "hf"))
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{args.threads} threads, {load}, torch {torch.__version__}")
    if args.engine == "nano":
        nano(args.count)
    else:
        hf(args.model, args.dtype, args.rows, args.tokens, args.device)


if __name__ == "__main__":
    main()
