"""Asking judges and completers so that a failure comes back as a value, in its place.

Only `Unavailable` passes through: an engine that cannot be reached has not judged anything.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from judges.types import Case, Completer, Completion, Judge, Request, Unavailable, Verdict


async def ask_one(judge: Judge, case: Case) -> Verdict:
    """The judge's verdict; a judge that raises or answers something else has failed."""
    try:
        verdict = await judge(case)
    except Unavailable:
        raise
    except Exception as error:  # the boundary between a judge and those who use its verdicts
        return Verdict.failed(judge.name, f"{type(error).__name__}: {error}")
    return _checked(judge.name, case, verdict)


async def ask_many(judge: Judge, cases: Sequence[Case]) -> list[Verdict]:
    """One verdict a case, in order: in one batch where the judge offers `judge_many`, concurrently otherwise."""
    many = getattr(judge, "judge_many", None)
    if many is None:
        return list(await asyncio.gather(*(ask_one(judge, case) for case in cases)))
    try:
        verdicts = list(await many(cases))
    except Unavailable:
        raise
    except Exception as error:  # as in `ask_one`
        return [Verdict.failed(judge.name, f"{type(error).__name__}: {error}") for _ in cases]
    if len(verdicts) != len(cases):
        return [Verdict.failed(judge.name, f"{len(verdicts)} verdicts for {len(cases)} cases") for _ in cases]
    return [_checked(judge.name, case, verdict) for case, verdict in zip(cases, verdicts, strict=True)]


def _checked(name: str, case: Case, verdict: object) -> Verdict:
    if not isinstance(verdict, Verdict):
        return Verdict.failed(name, f"expected a Verdict, got {type(verdict).__name__}")
    if verdict.probabilities is not None and len(verdict.probabilities) != len(case.options):
        reason = f"{len(verdict.probabilities)} probabilities for {len(case.options)} options"
        return Verdict.failed(name, reason, cost=verdict.cost)
    return verdict


async def complete_all(completer: Completer, requests: Sequence[Request], timeout: float | None) -> list[Completion]:
    """One completion a request, in order; whatever goes wrong with the call is each completion's `error`."""
    if not requests:
        return []
    try:
        answers = list(await asyncio.wait_for(_complete(completer, requests), timeout))
    except TimeoutError:
        return [Completion(stop_reason="error", error=f"no answer within {timeout} s") for _ in requests]
    except Unavailable:
        raise
    except Exception as error:  # the boundary between an engine and the judge that uses it
        return [Completion(stop_reason="error", error=f"{type(error).__name__}: {error}") for _ in requests]
    if len(answers) != len(requests) or not all(isinstance(a, Completion) for a in answers):
        reason = f"expected {len(requests)} completions, got {len(answers)} answers"
        return [Completion(stop_reason="error", error=reason) for _ in requests]
    return answers


async def _complete(completer: Completer, requests: Sequence[Request]) -> Sequence[Completion]:
    return await completer(requests)


def choice_probabilities(completion: Completion, labels: Sequence[str]) -> tuple[list[float], float]:
    """Softmax of the scored labels.

    Returns:
        [K] probabilities in the order of `labels`, and the probability the model gives to all labels together.

    Raises:
        ValueError: a label that was not scored or scored twice, another one, or a score that is no log-probability.
    """
    if completion.choices is None:
        raise ValueError("the engine scored no choices")
    scored = [choice.text for choice in completion.choices]
    if sorted(scored) != sorted(labels):
        raise ValueError(f"the engine scored the choices {scored}, asked were {list(labels)}")
    logprob = {choice.text: float(choice.logprob) for choice in completion.choices}
    values = [logprob[label] for label in labels]
    if any(math.isnan(v) or v > 1e-3 for v in values):
        raise ValueError(f"expected log-probabilities of the choices, got {values}")
    top = max(values)
    if top == -math.inf:
        raise ValueError("every choice has probability 0")
    weights = [math.exp(v - top) for v in values]
    total = math.fsum(weights)
    return [w / total for w in weights], min(1.0, math.exp(top) * total)
