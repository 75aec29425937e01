"""A solution taken apart: the steps that code can check are checked, the others are judged one by one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from judges.judges.asking import ask_many
from judges.judges.identity import combined_identity
from judges.types import Case, Cost, Judge, Verdict

_TOKEN = re.compile(r"\s*(?:(\d[\d,]*(?:\.\d+)?|\.\d+)|(.))")
_TIMES = re.compile(r"(?<=[\d)])\s{0,3}x\s{0,3}(?=[\d(])")
_TERM = frozenset("0123456789.,+-*/×÷() \t")
_SCALE = re.compile(r"(?:hundred|thousand|million|billion|percent|per cent|dozens?|degrees|times)\b|%", re.IGNORECASE)
_MAX_TERM = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a solution.

    Attributes:
        text: the step.
        holds: whether code found it right; None where it cannot be checked.
        checked: what was checked, empty where nothing was.
        complete: whether the check covers the whole step; right arithmetic, for one, may still be the wrong sum to do.
    """

    text: str
    holds: bool | None = None
    checked: str = ""
    complete: bool = True

    @property
    def settled(self) -> bool:
        """Whether nothing is left to judge about the step."""
        return self.holds is False or (self.holds is True and self.complete)


def arithmetic_steps(text: str) -> list[Step]:
    r"""Splits a solution into lines and checks the arithmetic in each.

    A line with equations such as "48 / 2 = 24" holds if all of them do, exactly; a result with d decimals may be off by
    one in the last. Only equations that stand for themselves are read: at the start of a line or after punctuation,
    with nothing behind the result that would change it ("half of 50 - 3 = 22" is not). A line without any cannot be
    checked.

    >>> [step.holds for step in arithmetic_steps("48/2 = 24 in May.\n48 + 24 = 73 in all.\nSo he is glad.")]
    [True, False, None]
    """
    steps = []
    for line in text.splitlines():
        if not line.strip():
            continue
        known = _equations(line)
        wrong = [term for term, holds in known if not holds]
        checked = ", ".join(wrong or [term for term, _ in known])
        steps.append(Step(line.strip(), None if not known else not wrong, checked, complete=False))
    return steps


def _equations(line: str) -> list[tuple[str, bool]]:
    """The equations of a line that can be read, each with whether it holds."""
    parts = _TIMES.sub("*", line.replace("$", "")).split("=")
    found = []
    for before, after in itertools.pairwise(parts):
        left, right = _tail(before), _head(after)
        if left is None or right is None or not any(c in "+-*/×÷" for c in left[1:]):
            continue
        try:
            gap = abs(evaluate(left) - evaluate(right))
        except (ValueError, ZeroDivisionError):
            continue
        decimals = len(right.partition(".")[2])
        found.append((f"{left} = {right}", gap <= (Fraction(1, 10**decimals) if decimals else 0)))
    return found


def _tail(text: str) -> str | None:
    """The term that a text ends with, if what stands before it does not belong to it."""
    start = len(text)
    while start > 0 and text[start - 1] in _TERM and len(text) - start < _MAX_TERM:
        start -= 1
    run, before = text[start:], text[:start].rstrip()
    if before and before[-1] not in ":;<>":
        # Words before a term may change it; a full stop or comma inside the run ends what they can reach.
        cut = max(run.rfind(". "), run.rfind(", "))
        if cut < 0:
            return None
        run = run[cut + 1 :]
    return run.strip() or None


def _head(text: str) -> str | None:
    """The number or term that a text begins with, if what stands behind it does not belong to it."""
    end = 0
    while end < len(text) and text[end] in _TERM and end < _MAX_TERM:
        end += 1
    run = text[:end]
    for stop in (". ", ", "):
        run = run.partition(stop)[0]
    whole = len(run) == end
    rest = text[end:]
    if whole and rest and not run.endswith((" ", "\t")) and (rest[0].isalnum() or rest[0] in "%°^_"):
        return None
    if whole and _SCALE.match(rest):
        return None
    return run.strip().rstrip(".,").strip() or None


def evaluate(term: str) -> Fraction:
    """The exact value of a term of numbers, + − × ÷ and parentheses, by recursive descent.

    Raises:
        ValueError: anything else, or parentheses deeper than the term is long.
        ZeroDivisionError: a division by zero.

    >>> evaluate("(1 + 2) * 3 / 4")
    Fraction(9, 4)
    """
    tokens = [number or symbol for number, symbol in _TOKEN.findall(term.strip())]
    value, rest = _sum(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"cannot read {''.join(tokens[rest:])!r} in {term!r}")
    return value


def _sum(tokens: Sequence[str], at: int) -> tuple[Fraction, int]:
    value, at = _product(tokens, at)
    while at < len(tokens) and tokens[at] in "+-":
        other, after = _product(tokens, at + 1)
        value = value + other if tokens[at] == "+" else value - other
        at = after
    return value, at


def _product(tokens: Sequence[str], at: int) -> tuple[Fraction, int]:
    value, at = _factor(tokens, at)
    while at < len(tokens) and tokens[at] in "*/×÷x":
        other, after = _factor(tokens, at + 1)
        value = value / other if tokens[at] in "/÷" else value * other
        at = after
    return value, at


def _factor(tokens: Sequence[str], at: int) -> tuple[Fraction, int]:
    if at >= len(tokens):
        raise ValueError("a term is missing at the end")
    token = tokens[at]
    if token == "-":
        value, at = _factor(tokens, at + 1)
        return -value, at
    if token == "(":
        value, at = _sum(tokens, at + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise ValueError("a parenthesis is not closed")
        return value, at + 1
    if not token[0].isdigit() and token[0] != ".":
        raise ValueError(f"expected a number, got {token!r}")
    return Fraction(token.replace(",", "")), at + 1


@dataclass(frozen=True)
class StepJudge:
    """Judges whether a solution holds: option 0 "it does", option 1 "it does not".

    A step that code finds wrong settles the case. Otherwise the probability that the solution holds is the product of
    the judge's probabilities of the steps that code could not settle (the steps' errors taken as independent); without
    a judge, or where it cannot judge a step, the case is not judged.

    Scores: "steps", "steps_verified", "steps_refuted".

    Attributes:
        judge: asked about each step that cannot be checked, as a case with the options yes and no.
        split: takes a case apart; by default the lines of all speeches, or of the material without speeches.
        name: the judge's name.
    """

    judge: Judge | None = None
    split: Callable[[Case], Sequence[Step]] | None = None
    name: str = "steps"

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds; how tasks are taken apart is known by its name only."""
        split = "lines" if self.split is None else getattr(self.split, "__qualname__", type(self.split).__qualname__)
        return combined_identity("steps", [] if self.judge is None else [self.judge], f"split={split}")

    async def __call__(self, case: Case) -> Verdict:
        """The verdict on one case."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order; the open steps of all cases go to the judge as one batch."""
        plans: list[list[Step] | str] = [self._split(case) for case in cases]
        questions: list[Case] = []
        where: dict[tuple[int, int], int] = {}
        for i, steps in enumerate(plans):
            if isinstance(steps, str) or self.judge is None or any(s.holds is False for s in steps):
                continue
            for k, step in enumerate(steps):
                if not step.settled:
                    where[i, k] = len(questions)
                    questions.append(_question(cases[i], steps, k))
        answers = await ask_many(self.judge, questions) if self.judge is not None and questions else []
        return [
            Verdict.failed(self.name, steps)
            if isinstance(steps, str)
            else self._verdict(steps, [answers[where[i, k]] for k in range(len(steps)) if (i, k) in where])
            for i, steps in enumerate(plans)
        ]

    def _split(self, case: Case) -> list[Step] | str:
        if len(case.options) != 2:
            return f"expected 2 options (the solution holds, it does not), got {len(case.options)}"
        try:
            if self.split is not None:
                return list(self.split(case)) or "the solution has no steps"
            text = "\n".join(s.text for s in case.statements) if case.statements else case.material
            return arithmetic_steps(text) or "the solution has no steps"
        except Exception as error:  # the boundary: a task that cannot be taken apart is not judged
            return f"{type(error).__name__}: {error}"

    def _verdict(self, steps: Sequence[Step], answers: Sequence[Verdict]) -> Verdict:
        cost = reduce(Cost.__add__, (a.cost for a in answers), Cost())
        refuted = [s for s in steps if s.holds is False]
        open_steps = sum(not s.settled for s in steps)
        scores = {
            "steps": float(len(steps)),
            "steps_verified": float(sum(s.holds is True for s in steps)),
            "steps_refuted": float(len(refuted)),
        }
        if refuted:
            return Verdict(self.name, (0.0, 1.0), scores, f"wrong: {refuted[0].checked}", cost=cost)
        if len(answers) < open_steps:
            return Verdict.failed(
                self.name, f"{open_steps} steps are not settled by code and there is no judge", "abstain"
            )
        p = 1.0
        for answer in answers:
            if answer.probabilities is None:
                return Verdict.failed(self.name, f"a step could not be judged: {answer.rationale}", answer.status, cost)
            p *= answer.probabilities[0]
        return Verdict(self.name, (p, 1.0 - p), scores, cost=cost)


def _question(case: Case, steps: Sequence[Step], k: int) -> Case:
    before = "\n".join(step.text for step in steps[:k])
    material = f"{case.question}\n{before}\nThe step: {steps[k].text}"
    return Case("Does the last step of this solution follow from what comes before it?", ("yes", "no"), (), material)
