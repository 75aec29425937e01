"""Agents, a model and made-up episodes for the measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.learning.learner import LearnerConfig
from debate.learning.losses import preset
from debate.learning.samples import Sample
from debate.transcript import Policy, Turn

NAMES = ("alice", "bob", "carol", "dave")
SPEC = AdapterSpec(rank=8, alpha=16.0)
CLOCK = [time.perf_counter]  # or process_time, where others use the machine too
OPENING, HEARD, SPOKEN, TURNS = 48, 24, 24, 4


def config() -> LearnerConfig:
    """GRPO on-policy, nothing measured beside it."""
    return LearnerConfig(lr=1e-5, loss=preset("grpo"), measure_kl=False)


def model_of(name: str, device: str) -> Any:
    """The base model; 'random' is a small Llama with a vocabulary of 8,192."""
    if name != "random":
        from debate.engines.hf import load_base

        return load_base(name, device)[0]
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=8192, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=4
    )
    return LlamaForCausalLM(shape).to(device).eval().requires_grad_(False)


def host_of(name: str, device: str) -> AdapterPolicies:
    """The base with room for adapters."""
    return AdapterPolicies(model_of(name, device), SPEC)


def samples_of_agent(agent: str, episodes: int, seed: int, turns: int = TURNS) -> tuple[list[Sample], Any]:
    """Episodes in which an agent hears and speaks by turns, and an advantage for each."""
    rng = np.random.default_rng(seed)
    samples = []
    policy = Policy(agent, 0, "")
    for n in range(episodes):
        spoken = []
        for slot in range(turns):
            heard = rng.integers(5, 8000, OPENING + HEARD if slot == 0 else HEARD)
            turn = Turn("A", "debater", "speech", slot, policy.id, "", prompt_tokens=tuple(heard.tolist()))
            words = tuple(rng.integers(5, 8000, SPOKEN).tolist())
            spoken.append(replace(turn, tokens=words, logprobs=(-9.0,) * SPOKEN))
        samples.append(
            Sample(f"e{n:03d}", "p", "debater", "A", 0, "g", policy.id, tuple(spoken), ("win",), np.ones(1), ("ok",))
        )
    return samples, rng.normal(size=episodes)


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
