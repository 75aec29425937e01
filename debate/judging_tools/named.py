"""Judges by the names that the command line knows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.progress import Progress, Silent
from debate.terminal import ask_line
from judges.charter.labels import LabelledCase
from judges.judges.human import HumanJudge
from judges.judges.scripted import ScriptedJudge, constant_judge
from judges.types import Case, Completer, Completion, Request, Verdict

NAMES = "naive_evidence, constant, longer_output, human, simulated:ACCURACY, or a model"


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How a language-model judge is asked.

    Attributes:
        rubric: what to look at, in words.
        swap: judge both orders of the options.
        device: "cpu" or "cuda".
        dtype: "float32" or "bfloat16".
        rows: most conversations in one forward.
        cache: store of answered calls, so that none is made twice; None keeps them in this process only.
        progress: where the model's answers are counted.
    """

    rubric: str = "Which answer is right?"
    swap: bool = True
    device: str = "cpu"
    dtype: str = "float32"
    rows: int = 16
    cache: Path | None = None
    progress: Progress = field(default_factory=Silent)


def named_judge(name: str, items: Sequence[LabelledCase] = (), settings: JudgeSettings | None = None) -> Any:
    """The judge of that name.

    Args:
        name: "naive_evidence"; "constant", which reads nothing; "longer_output", biased on purpose; "human", at the
            terminal; "simulated:0.95", which knows the labels of `items` and errs on 5 % of them
            ("simulated:0.95,0.6": on 40 % of the second half, the cases that came later); or a model.
        items: what a simulated judge knows.
        settings: of a language-model judge.

    Raises:
        UserError: no such judge or model, or an accuracy that is none.
    """
    if name == "naive_evidence":
        from judges.judges.evidence import NaiveEvidenceJudge

        return NaiveEvidenceJudge()
    if name == "constant":
        return constant_judge()
    if name == "longer_output":
        return ScriptedJudge(longer_output, "longer_output")
    if name == "human":
        return TerminalJudge(HumanJudge(ask=ask_line, show=print))
    kind, _, accuracies = name.partition(":")
    if kind == "simulated":
        return simulated_judge(items, _accuracies(name, accuracies))
    settings = settings or JudgeSettings()
    try:  # before torch is loaded, so that a wrong name is told at once
        identity = model_identity(name, settings.dtype)
    except UserError as error:
        raise UserError(f"judge {name!r}: {error}; a judge is {NAMES}") from None
    return model_judge(name, identity, settings)


def longer_output(case: Case) -> list[float] | None:
    """Prefers the longest option, whatever it says; abstains on debates, where it cannot tell whom a speech serves."""
    if case.statements:
        return None
    sizes = [len(option) for option in case.options]
    longest = [float(size == max(sizes)) for size in sizes]
    return [x / sum(longest) for x in longest]


def model_judge(name: str, identity: str, settings: JudgeSettings) -> Any:
    """A language model of this machine as judge.

    Raises:
        UserError: no such model or device, or no place for the cache.
    """
    from debate.engines.hf import hf_completer
    from judges.judges.llm import LLMJudge

    if settings.cache is not None:
        from debate.run.store import Store

        Store(settings.cache).close()  # here a bad place is the user's mistake, later it would be failed verdicts
    engine: Completer = hf_completer(name, settings.device, settings.dtype, rows=settings.rows)
    completer = KeptAnswers(engine, settings.cache, identity, 16 * settings.rows, settings.progress)
    return LLMJudge(completer, settings.rubric, swap=settings.swap, name=name, model=identity)


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """A completer whose answers are kept: what was asked before is read, in this process and, with a store, for good.

    Requests go out in parts, each acknowledged in the store before the next: an interrupted gauge goes on where it was.

    Attributes:
        inner: the engine. engine: its name in the store.
        path: the store's file, open only while a part is asked for; None keeps answers in this process only.
        size: requests in a part.
        progress: where each part is reported.
        known: answers so far.
    """

    inner: Completer
    path: Path | None
    engine: str
    size: int
    progress: Progress = field(default_factory=Silent)
    known: dict[Request, Completion] = field(default_factory=dict)

    async def __call__(self, requests: Sequence[Request]) -> list[Completion]:
        """Answers every request, in order."""
        new = [request for request in dict.fromkeys(requests) if request not in self.known]
        if new:
            self.progress.start("model answers", len(new))
        for start in range(0, len(new), self.size):
            part = new[start : start + self.size]
            for request, answer in zip(part, await self._ask(part), strict=True):
                self.known[request] = answer
            self.progress.advance(len(part))
        answers = [self.known[request] for request in requests]
        for request in new:
            if self.known[request].error is not None:  # a failure is told once, and asked again next time
                del self.known[request]
        return answers

    async def _ask(self, part: Sequence[Request]) -> Sequence[Completion]:
        if self.path is None:
            return await self.inner(part)
        from debate.run.cache import CachingCompleter
        from debate.run.store import Store

        with Store(self.path) as store:
            return await CachingCompleter(self.inner, store, self.engine)(part)


def model_identity(name: str, dtype: str) -> str:
    """What a certificate calls a model: name, number format and a hash of its weights; other weights, another judge.

    Of a model that the hub resolves only the name is known; such a judge is bound to its name alone.

    Raises:
        UserError: no such model.
    """
    from debate.models import file_sha256, resolve

    weights = sorted(Path(resolve(name)).glob("*.safetensors"))
    if not weights:
        return f"{name} {dtype}"
    digest = hashlib.sha256("".join(file_sha256(path) for path in weights).encode()).hexdigest()
    return f"{name} {dtype} weights {digest[:32]}"


@dataclass(frozen=True)
class TerminalJudge:
    """A person at this terminal, asked about one case after the other."""

    person: HumanJudge

    @property
    def name(self) -> str:
        """The judge's name."""
        return self.person.name

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds."""
        return self.person.identity

    async def __call__(self, case: Case) -> Verdict:
        """The person's verdict, asked for on the main thread: there Ctrl-C ends the program."""
        return self.person.judge(case)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order."""
        return [self.person.judge(case) for case in cases]


# --- simulation ----------------------------------------------------------------------------------------------------


def simulated_judge(items: Sequence[LabelledCase], accuracies: Sequence[float]) -> ScriptedJudge:
    """A judge that knows the labels and errs on a fixed share of the items, whatever is said and in whatever order.

    Which items it gets wrong depends on their ids alone. Its identity does not depend on the accuracies: where they
    fall, the cases have changed, not the judge.

    Raises:
        UserError: an item without a label, or with other than two options, or two items with one question.
    """
    known: dict[str, tuple[tuple[str, ...], int]] = {}
    for accuracy, part in zip(accuracies, _parts(items, len(accuracies)), strict=True):
        order = sorted(part, key=lambda item: hashlib.sha256(f"simulated {item.id}".encode()).digest())
        wrong = {item.id for item in order[: round((1 - accuracy) * len(order))]}
        for item in part:
            if item.label is None or len(item.case.options) != 2:
                raise UserError(f"item {item.id!r}: a simulated judge takes items with a label and two options")
            if item.case.question in known:
                raise UserError(f"item {item.id!r}: a simulated judge takes items with distinct questions")
            known[item.case.question] = item.case.options, item.label ^ (item.id in wrong)
    return ScriptedJudge(_told(known), "simulated")


def _parts(items: Sequence[LabelledCase], count: int) -> list[Sequence[LabelledCase]]:
    cuts = [len(items) * k // count for k in range(count + 1)]
    return [items[a:b] for a, b in pairwise(cuts)]


def _told(known: Mapping[str, tuple[tuple[str, ...], int]]) -> Callable[[Case], int | None]:
    def simulated(case: Case) -> int | None:
        if case.question not in known:
            return None
        options, answer = known[case.question]
        if case.options[0] == options[answer] or case.options[1] == options[1 - answer]:
            return 0
        return 1

    return simulated


def _accuracies(name: str, text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0.0 <= a <= 1.0 for a in found):
        raise UserError(f"judge {name!r}: expected accuracies such as simulated:0.95 or simulated:0.95,0.6")
    return found
