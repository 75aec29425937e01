"""Experiment (c): what a process reward is worth, and what happens where it can be hacked.

A combination lock: the prompt shows `length` digits, the answer is `length` digits, the i-th being a fixed secret
permutation (its own at each place) of the i-th shown. The final reward is 1 where all are right. The process reward is
the share of leading digits that are right; where it is hackable, it also takes a joker for right at every place, which
the final reward never does. Policies are small Llama models, warm-started by supervision until they open a given share
of the locks' digits, then trained by group-relative policy gradient:

    A = norm(final) + λ_t norm(process),    λ_t outside both normalisations, constant or falling to exactly 0.

Success is exact: the mean over held-out prompts of the probability of the whole right answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.experiments.runner import Job
from debate.seeds import derive, generator

BASE, JOKER, GO = 8, 8, 9
VOCABULARY = 10
MASTERED = 0.9
SIZES = {"50k": (64, 160), "200k": (128, 320)}
Ints = NDArray[np.int64]


def play(job: Job) -> list[Mapping[str, float]]:
    """Rows of (tokens, success, joker: share of jokers), the last with what it took to reach .9 of success.

    `until` counts sampled tokens, `compute` floating-point operations (8 for each parameter and token: two to sample
    it, six to learn from it); both are NaN where .9 was not reached.
    """
    import torch

    torch.set_num_threads(1)
    s = job.settings
    lock = _Lock(int(s["length"]), job.seed)
    model, parameters = _model(str(s["size"]), derive(job.seed, "model"))
    rng = generator(job.seed, "shaping")
    _warm_up(model, lock, float(s["start"]), rng)
    optimizer = torch.optim.AdamW(model.parameters(), lr=float(s["rate"]), weight_decay=0.0)
    held_out = lock.prompts(256, generator(job.seed, "held out"))
    updates, groups, size = int(s["updates"]), int(s["groups"]), int(s["group_size"])
    tokens, until = 0, math.nan
    success, jokers = _success(model, lock, held_out)
    rows: list[Mapping[str, float]] = [{"tokens": 0.0, "success": success, "joker": jokers}]
    every = max(1, updates // int(s["points"]))
    for update in range(1, updates + 1):
        prompts = np.repeat(lock.prompts(groups, rng), size, axis=0)
        answers = _sample(model, prompts, lock.length, rng)
        tokens += answers.size
        final, process = lock.rewards(prompts, answers, bool(s["hackable"]))
        weight = _weight(str(s["schedule"]), update / updates, float(s["process"]))
        advantage = _normalised(final, size) + weight * _normalised(process, size)
        optimizer.zero_grad()
        table = _table(model, prompts, answers)
        chosen = table.gather(2, torch.from_numpy(answers)[:, :, None])[:, :, 0].sum(dim=1)
        entropy = -(table.exp() * table).sum(dim=2).mean()
        loss = -(torch.from_numpy(advantage).float() * chosen).mean() - float(s["entropy"]) * entropy
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % every == 0:
            success, jokers = _success(model, lock, held_out)
            if success >= MASTERED and math.isnan(until):
                until = float(tokens)
            rows.append({"tokens": float(tokens), "success": success, "joker": jokers})
    rows[-1] = {**rows[-1], "until": until, "compute": 8.0 * parameters * until, "parameters": float(parameters)}
    return rows


class _Lock:
    """The task: one secret permutation of the digits for each place."""

    def __init__(self, length: int, seed: int) -> None:
        rng = generator(seed, "lock")
        self.length = length
        self.secret = np.stack([rng.permutation(BASE) for _ in range(length)])

    def prompts(self, count: int, rng: np.random.Generator) -> Ints:
        """[N, length] shown digits."""
        return rng.integers(BASE, size=(count, self.length))

    def right(self, prompts: Ints) -> Ints:
        """[N, length] the answers that open."""
        return np.asarray(self.secret[np.arange(self.length), prompts])

    def rewards(self, prompts: Ints, answers: Ints, hackable: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[N] final and process rewards."""
        hits = answers == self.right(prompts)
        credited = hits | (answers == JOKER) if hackable else hits
        leading = np.cumprod(credited, axis=1).mean(axis=1)
        return hits.all(axis=1).astype(float), leading


def _weight(schedule: str, done: float, start: float) -> float:
    """λ_t: none, constant, or falling linearly to exactly 0 at half of the run."""
    if schedule == "none":
        return 0.0
    if schedule == "constant":
        return start
    if schedule == "annealed":
        return start * max(0.0, 1.0 - 2.0 * done)
    raise UserError(f"shaping: no schedule {schedule!r}; expected none, constant or annealed")


def _normalised(rewards: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Centred and scaled within each group; 0 where a group is all alike."""
    grouped = rewards.reshape(-1, size)
    centred = grouped - grouped.mean(axis=1, keepdims=True)
    return np.asarray((centred / (grouped.std(axis=1, keepdims=True) + 1e-4)).reshape(-1))


def _model(size: str, seed: int) -> tuple[Any, int]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if size not in SIZES:
        raise UserError(f"shaping: no size {size!r}; expected one of {', '.join(SIZES)}")
    hidden, intermediate = SIZES[size]
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        initializer_range=0.05,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        model = LlamaForCausalLM(config).float().eval()
    return model, sum(p.numel() for p in model.parameters())


def _logprobs(model: Any, prompts: Ints, answers: Ints) -> Any:
    """[N, length] log-probabilities of answers."""
    import torch

    return _table(model, prompts, answers).gather(2, torch.from_numpy(answers)[:, :, None])[:, :, 0]


def _table(model: Any, prompts: Ints, answers: Ints) -> Any:
    """[N, length, V] log-probabilities of every token at every place of the answers."""
    import torch

    start = np.full((len(prompts), 1), GO)
    ids = torch.from_numpy(np.concatenate([prompts, start, answers], axis=1))
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits[:, prompts.shape[1] :]
    return torch.log_softmax(logits, dim=-1)


def _sample(model: Any, prompts: Ints, length: int, rng: np.random.Generator) -> Ints:
    import torch

    ids = np.concatenate([prompts, np.full((len(prompts), 1), GO)], axis=1)
    with torch.no_grad():
        for _ in range(length):
            logits = model(input_ids=torch.from_numpy(ids), use_cache=False).logits[:, -1].double().numpy()
            noisy = logits + rng.gumbel(size=logits.shape)
            ids = np.concatenate([ids, noisy.argmax(axis=1)[:, None]], axis=1)
    return ids[:, -length:]


def _success(model: Any, lock: _Lock, prompts: Ints) -> tuple[float, float]:
    """Probability of opening a held-out lock, and of a joker at the first place."""
    import torch

    with torch.no_grad():
        opened = _logprobs(model, prompts, lock.right(prompts)).sum(dim=1).exp().mean()
        jokers = _logprobs(model, prompts, np.full_like(prompts, JOKER))[:, 0].exp().mean()
    return float(opened), float(jokers)


def _warm_up(model: Any, lock: _Lock, share: float, rng: np.random.Generator) -> None:
    """Supervised steps until the mean probability of a right digit reaches `share`; jokers stay in sight (5 %)."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(3000):
        prompts = lock.prompts(64, rng)
        right = lock.right(prompts)
        with torch.no_grad():
            if float(_logprobs(model, prompts, right).exp().mean()) >= share:
                return
        shown = np.where(rng.random(right.shape) < 0.05, JOKER, right)
        optimizer.zero_grad()
        (-_logprobs(model, prompts, shown).mean()).backward()
        optimizer.step()
    raise UserError(f"shaping: the warm start did not reach {share} of the digits in 3000 steps")
