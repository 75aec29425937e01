"""A completer over a causal language model in this process, with per-request randomness.

transformers' `generate` draws from the global generator and takes defaults (top_k = 50) from the model's files, so
what it samples is not what a trainer recomputes. This loop samples each row from its own seed and records the
log-probabilities of the distribution it drew from.

Calls block the event loop while the model computes, and yield between batches: a second thread would bring a second
pool of compute threads, slower and with other last bits.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from debate.engines.chat_format import Format
from debate.engines.forward import Forward, select
from debate.engines.policies import Policies, require
from debate.engines.prefixes import families
from debate.engines.sampling import check, draw, uniform
from debate.engines.shapes import Shapes
from debate.errors import UserError
from judges.types import Choice, Completion, Cost, Request, Sampling

NOT_FINITE = "the policy's log-probabilities are not finite"


@dataclass(slots=True)
class _Job:
    """One request on its way: its prompt, what it has sampled, the log-probabilities of its continuations."""

    request: Request
    prompt: list[int]
    limit: int = 0
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    continuations: list[tuple[int, ...]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    done: bool = False


class LocalCompleter:
    """Answers requests with policies held in memory (see `judges.types.Completer`).

    Args:
        policies: the models by policy id.
        chat: how conversations become ids.
        shapes: how requests are batched.
        context: most tokens of a row, prompt and answer together; the model's own when None.

    Raises:
        UserError: a model whose logits cannot be computed from its hidden states.
    """

    def __init__(self, policies: Policies, chat: Format, shapes: Shapes, context: int | None = None) -> None:
        self.policies = policies
        self.format = chat
        self.shapes = shapes
        with policies.use("") as model:
            forward = Forward(model)
            forward.probe(model)
        self.context = min(context or forward.context, forward.context)

    def publish(self, policy: str, state: Mapping[str, Any]) -> None:
        """Adds a policy: later requests may name it. Publishing the same weights again does nothing.

        Raises:
            UserError: wrong names or shapes, or the id is taken by other weights.
        """
        self.policies.publish(policy, state)

    def retire(self, policy: str) -> None:
        """Forgets a policy.

        Raises:
            UserError: it is not known, or it is the base.
        """
        self.policies.retire(policy)

    async def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        """Answers every request, in order; a failed one is a completion with `error`, in its place."""
        import torch

        answers: dict[int, Completion] = {}
        jobs: dict[int, _Job] = {}
        groups: dict[tuple[str, bool], list[_Job]] = defaultdict(list)
        scored: dict[Any, _Job] = {}  # episodes of one question ask the same first thing: it is computed once
        for i, request in enumerate(requests):
            try:
                job = self._prepare(request)
            except ValueError as error:
                answers[i] = Completion(error=str(error), stop_reason="error")
                continue
            scoring = request.choices is not None
            if scoring:
                jobs[i] = scored.setdefault((request.policy, tuple(job.prompt), tuple(job.continuations)), job)
            else:
                jobs[i] = job
            if jobs[i] is job:
                groups[request.policy, scoring].append(job)
        for (policy, scoring), members in sorted(groups.items(), key=lambda group: group[0]):
            alone = await self._score_families(policy, members) if scoring and not self.shapes.fixed else members
            for batch, length in self.shapes.plan([len(job.prompt) for job in alone]):
                with self.policies.use(policy) as model, torch.inference_mode():
                    forward, chosen = Forward(model), [alone[b] for b in batch]
                    if scoring:
                        long = any(len(c) > 1 for job in chosen for c in job.continuations)
                        self._score(forward, chosen, *self._read(forward, chosen, length, cache=long))
                    else:
                        self._generate(forward, chosen, length)
                await asyncio.sleep(0)
        for i, job in jobs.items():
            answers[i] = self._answer(requests[i], job)
        return [answers[i] for i in range(len(requests))]

    async def _score_families(self, policy: str, members: list[_Job]) -> list[_Job]:
        """Scores the prompts that begin like others, each family's common prefix read once; returns the others.

        1. Prefill the prefixes of some families. 2. Members of these families, batched by what is left of them, extend
        copies of their family's cache. 3. Score their continuations.
        """
        import torch

        grouped = families([job.prompt for job in members])
        alone = [members[i] for family in grouped if not family.prefix for i in family.members]
        shared = sorted((family for family in grouped if family.prefix), key=lambda family: family.prefix)
        for start in range(0, len(shared), self.shapes.rows):
            chunk = shared[start : start + self.shapes.rows]
            prefixes = [_Job(members[f.members[0]].request, members[f.members[0]].prompt[: f.prefix]) for f in chunk]
            with self.policies.use(policy) as model, torch.inference_mode():
                _, cache, sizes, _ = self._read(Forward(model), prefixes, max(f.prefix for f in chunk), cache=True)
            rest = [(k, members[i]) for k, family in enumerate(chunk) for i in family.members]
            for batch, width in self.shapes.plan([len(job.prompt) - chunk[k].prefix for k, job in rest]):
                with self.policies.use(policy) as model, torch.inference_mode():
                    forward, chosen = Forward(model), [rest[b] for b in batch]
                    self._score(forward, [job for _, job in chosen], *self._go_on(forward, chosen, cache, sizes, width))
                await asyncio.sleep(0)
        return alone

    def _go_on(
        self, forward: Forward, chosen: list[tuple[int, _Job]], cache: Any, sizes: Any, width: int
    ) -> tuple[Any, Any, Any, Any]:
        """As `_read`, for prompts whose first `sizes[k]` ids stand in row k of a cache."""
        import torch

        ids = torch.full((len(chosen), width), self.format.pad, dtype=torch.int64)
        index = torch.tensor([k for k, _ in chosen], device=forward.device)
        lengths = torch.tensor([len(job.prompt) for _, job in chosen], device=forward.device)
        before = sizes[index]
        for row, ((_, job), size) in enumerate(zip(chosen, before.tolist(), strict=True)):
            ids[row, : len(job.prompt) - size] = torch.tensor(job.prompt[size:])
        past = select(cache, index)
        room = torch.arange(past.get_seq_length(), device=forward.device) < before[:, None]
        own = torch.arange(width, device=forward.device) < (lengths - before)[:, None]
        keep = torch.cat([room, own], dim=1).long()
        positions = before[:, None] + torch.arange(width, device=forward.device)
        hidden = forward.extend(ids.to(forward.device), past, keep, positions)
        logits = forward.logits(hidden[torch.arange(len(chosen), device=forward.device), lengths - before - 1])
        return logits, past, lengths, keep

    def _prepare(self, request: Request) -> _Job:
        """The job of a request.

        Raises:
            ValueError: an unknown policy, a prompt longer than the context, a bad sampling number, no choices.
        """
        require(request.policy, self.policies.ids())
        job = _Job(request, self.format.encode(request.messages))
        room = self.context - len(job.prompt)
        if request.choices is None:
            check(request.sampling)
            need, job.limit = 1, min(request.sampling.max_tokens, room)
        else:
            if not request.choices:
                raise ValueError("a request to score choices names none")
            job.continuations = [self.format.continuation(text) for text in request.choices]
            need = max(map(len, job.continuations))
        if room < need:
            raise ValueError(
                f"the prompt has {len(job.prompt)} tokens and needs room for {need} more; the context is {self.context}"
            )
        return job

    def _read(self, forward: Forward, jobs: list[_Job], length: int, cache: bool) -> tuple[Any, Any, Any, Any]:
        """Prefills prompts.

        Returns:
            float32 logits [R, V] after each, the cache, their lengths [R] (1 for filler rows), and [R, length] 1 where
            the cache holds a token.
        """
        import torch

        prompts = [tuple(job.prompt) for job in jobs]
        unique = prompts if self.shapes.fixed else list(dict.fromkeys(prompts))  # a group's first turn is read once
        rows = self.shapes.height(len(unique))
        ids = torch.full((rows, length), self.format.pad, dtype=torch.int64)
        lengths = torch.ones(rows, dtype=torch.int64)
        for row, prompt in enumerate(unique):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            lengths[row] = len(prompt)
        ids, lengths = ids.to(forward.device), lengths.to(forward.device)
        hidden, past = forward.prefill(ids, cache)
        logits = forward.logits(hidden[torch.arange(rows, device=forward.device), lengths - 1])
        keep = (torch.arange(length, device=forward.device) < lengths[:, None]).long()
        if len(unique) == len(prompts):
            return logits, past, lengths, keep
        place = {prompt: row for row, prompt in enumerate(unique)}
        index = torch.tensor([place[prompt] for prompt in prompts], device=forward.device)
        return logits[index], select(past, index) if cache else past, lengths[index], keep[index]

    def _generate(self, forward: Forward, jobs: list[_Job], length: int) -> None:
        """Samples a continuation of each prompt.

        1. Prefill. 2. Draw a token for each live row. 3. Stop rows that said an end token or reached their limit;
        leave when none is live. 4. With shapes that are not fixed, drop finished rows once half are.
        5. Extend; go to 2.
        """
        import torch

        logits, cache, lengths, held = self._read(forward, jobs, length, cache=True)
        rows: list[_Job | None] = [*jobs, *[None] * (len(lengths) - len(jobs))]
        steps = max(job.limit for job in jobs)
        keep = torch.zeros(len(rows), length + steps, dtype=torch.int64, device=forward.device)
        keep[:, :length] = held
        keep[:, length:] = 1
        for t in range(steps):
            samplings = [Sampling() if job is None else job.request.sampling for job in rows]
            uniforms = [0.0 if job is None else uniform(job.request.seed, t) for job in rows]
            tokens, logprobs = draw(logits, samplings, uniforms)
            for job, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
                if job is None or job.done:
                    continue
                job.tokens.append(token)
                job.logprobs.append(logprob)
                job.done = logprob != logprob or self.format.finished(job.tokens) or len(job.tokens) == job.limit
            live = [row for row, job in enumerate(rows) if job is not None and not job.done]
            if not live:
                return
            if not self.shapes.fixed and 2 * len(live) <= len(rows):
                index = torch.tensor(live, device=forward.device)
                rows, tokens, keep, lengths = [rows[i] for i in live], tokens[index], keep[index], lengths[index]
                cache = select(cache, index)
            hidden = forward.extend(tokens[:, None], cache, keep[:, : length + t + 1], (lengths + t)[:, None])
            logits = forward.logits(hidden[:, -1])

    def _score(self, forward: Forward, jobs: list[_Job], logits: Any, cache: Any, lengths: Any, held: Any) -> None:
        """Sums the log-probabilities of each job's continuations, from what `_read` or `_go_on` made of the prompts.

        1. One softmax after the prompts gives every first token.
        2. Continuations of several tokens extend copies of their prompt's cache, batched by their own lengths; the
           head runs one position at a time, so that memory stays [R, V].
        """
        import torch

        length = held.shape[1]
        first = logits.log_softmax(-1)
        tails: list[tuple[int, int]] = []
        for row, job in enumerate(jobs):
            heads = torch.tensor([c[0] for c in job.continuations], device=forward.device)
            job.scores = first[row, heads].tolist()
            tails += [(row, k) for k, c in enumerate(job.continuations) if len(c) > 1]
        for batch, width in self.shapes.plan([len(jobs[row].continuations[k]) - 1 for row, k in tails]):
            chosen = [tails[b] for b in batch]
            height = self.shapes.height(len(chosen))
            ids = torch.full((height, width + 1), self.format.pad, dtype=torch.int64)
            for line, (row, k) in enumerate(chosen):
                said = jobs[row].continuations[k]
                ids[line, : len(said)] = torch.tensor(said)
            ids = ids.to(forward.device)
            index = torch.tensor([row for row, _ in chosen] + [0] * (height - len(chosen)), device=forward.device)
            keep = torch.ones(height, length + width, dtype=torch.int64, device=forward.device)
            keep[:, :length] = held[index]
            positions = lengths[index][:, None] + torch.arange(width, device=forward.device)
            hidden = forward.extend(ids[:, :-1], select(cache, index), keep, positions)
            columns = []
            for t in range(width):
                logp = forward.logits(hidden[:, t]).log_softmax(-1)
                columns.append(logp.gather(1, ids[:, t + 1 : t + 2])[:, 0].double())
            for (row, k), values in zip(chosen, torch.stack(columns, 1).tolist(), strict=False):
                jobs[row].scores[k] += sum(values[: len(jobs[row].continuations[k]) - 1])

    def _answer(self, request: Request, job: _Job) -> Completion:
        """The completion of a request from its finished job."""
        prompt = tuple(job.prompt)
        if request.choices is not None:
            cost = Cost(1, len(prompt) + sum(len(c) - 1 for c in job.continuations), 0)
            if not all(-float("inf") <= score <= 0 for score in job.scores):
                return Completion(error=NOT_FINITE, stop_reason="error", cost=cost)
            scored = zip(request.choices, job.continuations, job.scores, strict=True)
            return Completion(prompt_tokens=prompt, choices=tuple(Choice(*each) for each in scored), cost=cost)
        cost = Cost(1, len(prompt), len(job.tokens))
        if any(value != value for value in job.logprobs):
            return Completion(error=NOT_FINITE, stop_reason="error", cost=cost)
        return Completion(
            text=self.format.decode(job.tokens),
            tokens=tuple(job.tokens),
            logprobs=tuple(job.logprobs),
            prompt_tokens=prompt,
            stop_reason="stop" if self.format.finished(job.tokens) else "length",
            cost=cost,
        )


def device_named(name: str) -> str:
    """The torch device of that name.

    Raises:
        UserError: neither "cpu" nor "cuda", or "cuda" where there is none.
    """
    import torch

    if name not in ("cpu", "cuda"):
        raise UserError(f'device: expected "cpu" or "cuda", got {name!r}')
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError('device: "cuda" was asked for, but torch finds no CUDA device here; use "cpu"')
    return name
