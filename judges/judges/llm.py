"""A language model as judge.

Position bias is large in published judges (Zheng et al. 2023, "Judging LLM-as-a-judge"; Wang et al. 2024): both orders
of the options are judged, the two distributions are averaged, and how far they are apart is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from judges.judges.asking import choice_probabilities, complete_all
from judges.judges.parsing import PARSER_VERSION, Unreadable, parse_answer
from judges.judges.prompt import PROMPT_VERSION, Layout, Prompt, build_prompt, option_labels
from judges.judges.rubric import DEFAULT_RUBRIC, Rubric, read_rubric
from judges.types import Case, Completer, Completion, Cost, Request, Sampling, Verdict

Mode = Literal["logprobs", "votes", "confidence"]


@dataclass(frozen=True)
class LLMJudge:
    """Judges cases with a language model, strictly: whatever is not a readable answer is an error verdict.

    Modes: "logprobs" scores the option labels as continuations; "votes" samples `samples` structured answers an order
    and takes their shares; "confidence" samples them with a stated confidence and averages. The last two are for
    engines that cannot score.

    Scores of a verdict: "swap_gap" (total variation distance between the two orders), "swap_flip" (1 where they
    disagree on the answer), "first_position" (probability given to the option shown first, ½ without bias),
    "label_mass" (probability of all labels together, "logprobs" only), "unreadable" (share of samples that could not be
    read, otherwise), and the counts of attempts to manipulate of `judges.judges.prompt`.

    Attributes:
        completer: the language model.
        rubric: what to look at; a sentence is taken as the task, with the default criteria.
        swap: judge both orders of the options.
        name: the judge's name.
        mode: how the probabilities come about.
        samples: structured answers an order ("votes" and "confidence").
        sampling: how to sample them.
        policy: which policy of the completer judges; "" is the bare base model.
        model: name and version of the model, for the certificate; empty means that it cannot be certified.
        layout: one message a speech, or a "single" message.
        seed: seed of the samples.
        least_mass: "logprobs" only: below this probability of all labels together, the model did not mean to answer
            with one of them, and the verdict is an error.
        timeout: seconds for one batch; None waits.
    """

    completer: Completer
    rubric: Rubric | str = DEFAULT_RUBRIC
    swap: bool = True
    name: str = "llm"
    mode: Mode = "logprobs"
    samples: int = 5
    sampling: Sampling = Sampling()
    policy: str = ""
    model: str = ""
    layout: Layout = "messages"
    seed: int = 0
    least_mass: float = 0.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuses unknown modes and empty samples.

        Raises:
            ValueError: what is wrong.
        """
        read_rubric(self.rubric)
        if self.mode not in ("logprobs", "votes", "confidence"):
            raise ValueError(f"LLMJudge.mode: expected logprobs, votes or confidence, got {self.mode!r}")
        if self.layout not in ("messages", "single"):
            raise ValueError(f"LLMJudge.layout: expected messages or single, got {self.layout!r}")
        if not 0.0 <= self.least_mass <= 1.0:
            raise ValueError(f"LLMJudge.least_mass: expected a probability, got {self.least_mass}")
        if self.samples < 1:
            raise ValueError(f"LLMJudge.samples: expected at least 1, got {self.samples}")

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds (`judges.charter.identity`)."""
        decoding = (
            f"scored, least mass {self.least_mass}"
            if self.mode == "logprobs"
            else f"{self.samples} x {self.sampling} seed={self.seed}"
        )
        return {
            "model": self.model,
            "version": self.policy or ("base" if self.model else ""),
            "prompt": f"{PROMPT_VERSION}/{self.layout}",
            "rubric": read_rubric(self.rubric).hash,
            "decoding": f"{decoding} swap={self.swap}",
            "parser": f"{PARSER_VERSION}/{self.mode}",
            "scale": "probabilities over options",
        }

    def again(self, number: int) -> LLMJudge:
        """The judge with samples of its own for each number; itself where it scores, since that draws nothing."""
        return self if self.mode == "logprobs" else replace(self, seed=self.seed + number * self.samples)

    async def __call__(self, case: Case) -> Verdict:
        """The verdict on one case."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order; all requests go out as one batch."""
        # 1. One prompt a case and order, one request a prompt and sample.
        prompts: list[list[Prompt] | str] = [self._prompts(case) for case in cases]
        flat = [p for of_case in prompts if not isinstance(of_case, str) for p in of_case]
        repeats = 1 if self.mode == "logprobs" else self.samples
        requests = [self._request(p, r) for p in flat for r in range(repeats)]
        answers = iter(await complete_all(self.completer, requests, self.timeout))
        # 2. Back to cases, in the same order.
        verdicts = []
        for of_case in prompts:
            if isinstance(of_case, str):
                verdicts.append(Verdict.failed(self.name, of_case))
            else:
                verdicts.append(self._verdict(of_case, [[next(answers) for _ in range(repeats)] for _ in of_case]))
        return verdicts

    def _prompts(self, case: Case) -> list[Prompt] | str:
        try:
            labels = option_labels(len(case.options))
        except ValueError as error:
            return str(error)
        forward = tuple(range(len(labels)))
        orders = [forward, forward[::-1]] if self.swap else [forward]
        return [build_prompt(case, read_rubric(self.rubric), order, self._ask(labels), self.layout) for order in orders]

    def _ask(self, labels: Sequence[str]) -> str:
        letters = f"{', '.join(labels[:-1])} or {labels[-1]}"
        if self.mode == "logprobs":
            return f"Which option is right? Answer with one letter, {letters}."
        fields = '"reason": "<one sentence>", "answer": "<letter>"'
        if self.mode == "confidence":
            fields += f', "confidence": <probability that it is right, from {1 / len(labels):.2f} to 1>'
        return f"Which option is right, {letters}? Answer with one JSON object and nothing else: {{{fields}}}"

    def _request(self, prompt: Prompt, repeat: int) -> Request:
        if self.mode == "logprobs":
            return Request(prompt.messages, choices=tuple(sorted(prompt.labels)), seed=self.seed, policy=self.policy)
        return Request(prompt.messages, self.sampling, seed=self.seed + repeat, policy=self.policy)

    def _verdict(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[Completion]]) -> Verdict:
        cost = reduce(Cost.__add__, (c.cost for of_order in answers for c in of_order), Cost())
        scores = dict(prompts[0].scores)
        read = self._score if self.mode == "logprobs" else self._sample
        beliefs: list[list[float]] = []
        first, reasons = 0.0, []
        for prompt, completions in zip(prompts, answers, strict=True):
            try:
                belief, more, reason = read(prompt, completions)
            except ValueError as error:
                return replace(Verdict.failed(self.name, str(error), cost=cost), scores=scores)
            beliefs.append(belief)
            first += belief[prompt.order[0]] / len(prompts)
            reasons.append(reason)
            for key, value in more.items():
                scores[key] = scores.get(key, 0.0) + value / len(prompts)
        mean = [math.fsum(b[k] for b in beliefs) / len(beliefs) for k in range(len(beliefs[0]))]
        total = math.fsum(mean)
        scores["first_position"] = first
        if len(beliefs) == 2:
            scores["swap_gap"] = 0.5 * math.fsum(abs(a - b) for a, b in zip(*beliefs, strict=True))
            scores["swap_flip"] = float(_argmax(beliefs[0]) != _argmax(beliefs[1]))
        rationale = " / ".join(reason for reason in reasons if reason)
        return Verdict(self.name, tuple(m / total for m in mean), scores, rationale, "ok", cost)

    def _score(self, prompt: Prompt, completions: Sequence[Completion]) -> tuple[list[float], dict[str, float], str]:
        (completion,) = completions
        if completion.error is not None:
            raise ValueError(f"the engine failed: {completion.error}")
        belief, mass = choice_probabilities(completion, prompt.labels)
        if mass < self.least_mass:
            raise ValueError(f"the labels together have probability {mass:.2e}, asked is {self.least_mass}")
        return belief, {"label_mass": mass}, ""

    def _sample(self, prompt: Prompt, completions: Sequence[Completion]) -> tuple[list[float], dict[str, float], str]:
        count = len(prompt.labels)
        belief = [0.0] * count
        failures: list[str] = []
        reason = ""
        for completion in completions:
            try:
                if completion.error is not None:
                    raise Unreadable(f"the engine failed: {completion.error}")
                if completion.stop_reason != "stop":
                    raise Unreadable("the answer was cut off")
                stated = parse_answer(completion.text, prompt.labels, self.mode == "confidence")
            except Unreadable as error:
                failures.append(str(error))
                continue
            top = 1.0 if stated.confidence is None else stated.confidence
            reason = reason or stated.reason
            for k in range(count):
                belief[k] += top if k == stated.index else (1.0 - top) / (count - 1)
        good = len(completions) - len(failures)
        if 2 * good <= len(completions):
            raise ValueError(f"{len(failures)} of {len(completions)} answers could not be read: {failures[0]}")
        return [b / good for b in belief], {"unreadable": len(failures) / len(completions)}, reason


def _argmax(values: Sequence[float]) -> int | None:
    best = max(values)
    winners = [k for k, v in enumerate(values) if v >= best - 1e-12]
    return winners[0] if len(winners) == 1 else None
