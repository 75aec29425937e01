"""Agents, a model and made-up episodes for the measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.learning.batch import TokenBatch
from debate.learning.layout import Kind
from debate.learning.learner import LearnerConfig
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.learning.stored import current_logprobs
from debate.transcript import Policy, Turn

NAMES = ("alice", "bob", "carol", "dave")
SPEC = AdapterSpec(rank=8, alpha=16.0)
CLOCK = [time.perf_counter]  # or process_time, where others use the machine too
OPENING, HEARD, SPOKEN, TURNS = 48, 24, 24, 4


# Shapes with random weights: (vocabulary, width, inner width, layers, heads, key-value heads).
SHAPES = {
    "random": (8192, 256, 704, 6, 4, 4),
    "random-1b": (128_256, 2048, 8192, 16, 32, 8),  # those of Llama 3.2 1B
    "random-8b": (128_256, 4096, 14_336, 32, 32, 8),  # those of Llama 3.1 8B
}


def config(layout: Kind = "padded", width: int = 0) -> LearnerConfig:
    """PPO's clip over tokens (TRL's "dapo"), nothing measured beside it."""
    return LearnerConfig(lr=1e-5, loss=preset("ppo"), measure_kl=False, layout=layout, layout_width=width)


def model_of(name: str, device: str) -> Any:
    """The base model: one of `SHAPES`, or a name as in recipes. bfloat16 on a GPU, float32 elsewhere."""
    if name not in SHAPES:
        from debate.engines.hf import load_base

        return load_base(name, device, "bfloat16" if device == "cuda" else "float32")[0]
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary, width, inner, layers, heads, pairs = SHAPES[name]
    shape = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=pairs,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        model = LlamaForCausalLM(shape)
    return model.to(torch.bfloat16 if device == "cuda" else torch.float32).eval().requires_grad_(False)


def host_of(name: str, device: str) -> AdapterPolicies:
    """The base with room for adapters."""
    return AdapterPolicies(model_of(name, device), SPEC)


def samples_of_agent(
    agent: str, episodes: int, seed: int, turns: int = TURNS, opening: int = OPENING, ragged: bool = False
) -> tuple[list[Sample], Any]:
    """A group of episodes: the same opening, then an agent hears and speaks by turns; and an advantage for each.

    Args:
        agent: who speaks.
        episodes: how many.
        seed: of all tokens.
        turns: most speeches of an episode.
        opening: tokens before the first speech, the same in every episode.
        ragged: whether speeches have between a quarter and all of their tokens, and episodes between one and all turns.
    """
    rng = np.random.default_rng(seed)
    samples = []
    policy = Policy(agent, 0, "")
    question = rng.integers(5, 8000, opening).tolist()
    for n in range(episodes):
        spoken = []
        for slot in range(int(rng.integers(1, turns + 1)) if ragged else turns):
            heard = (question if slot == 0 else []) + rng.integers(5, 8000, HEARD).tolist()
            turn = Turn("A", "debater", "speech", slot, policy.id, "", prompt_tokens=tuple(heard))
            length = int(rng.integers(SPOKEN // 4, SPOKEN + 1)) if ragged else SPOKEN
            words = tuple(rng.integers(5, 8000, length).tolist())
            spoken.append(replace(turn, tokens=words, logprobs=(-9.0,) * length))
        samples.append(
            Sample(f"e{n:03d}", "p", "debater", "A", 0, "g", policy.id, tuple(spoken), ("win",), np.ones(1), ("ok",))
        )
    return samples, rng.normal(size=episodes)


def on_policy(model: Any, batch: TokenBatch) -> TokenBatch:
    """The batch as if the bare model had sampled it, which is what adapters that change nothing yet would have done."""
    return replace(batch, old_logprobs=current_logprobs(model, batch))


def alternate(actions: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """Median seconds of each action. Rounds alternate: a busy machine harms all alike; the first is not counted."""
    seconds: list[list[float]] = [[] for _ in actions]
    for round_ in range(repeats + 1):
        for times, action in zip(seconds, actions, strict=True):
            start = CLOCK[0]()
            action()
            if round_:
                times.append(CLOCK[0]() - start)
    return [float(np.median(times)) for times in seconds]
