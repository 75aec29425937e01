"""Every judge that ships keeps the contract; the check finds those that do not."""

import asyncio
import os
import subprocess
import sys

import pytest

import judges
from judges import (
    CascadeJudge,
    Case,
    Choice,
    Completion,
    HumanJudge,
    LLMJudge,
    NaiveEvidenceJudge,
    PanelJudge,
    Quote,
    ScriptedJudge,
    Statement,
    Step,
    StepJudge,
    Verdict,
    VerifierJudge,
    check_judge,
    constant_judge,
    identify,
)

SPEECH = Statement("A", "debater", "argue", "1 + 1 = 2", (Quote("+1", None, True),))
CASES = [Case(f"question {i}", ("yes", "no"), (SPEECH,)) for i in range(3)]


async def completer(requests):
    return [Completion(choices=tuple(Choice(c, None, -1.0 - (c == "A")) for c in r.choices)) for r in requests]


SHIPPED = {
    "scripted": ScriptedJudge(0, noise=0.5),
    "constant": constant_judge(),
    "evidence": NaiveEvidenceJudge(),
    "llm": LLMJudge(completer, model="m"),
    "llm alone": LLMJudge(completer, swap=False),
    **{
        rule: PanelJudge([ScriptedJudge(0, "a"), ScriptedJudge(1, "b")], rule)
        for rule in ("vote", "mean", "pessimistic")
    },
    "cascade": CascadeJudge(ScriptedJudge([0.6, 0.4]), ScriptedJudge(None)),
    "verifier": VerifierJudge(lambda case: 1),
    "steps": StepJudge(ScriptedJudge([0.9, 0.1]), lambda case: [Step("a")]),
    "human": HumanJudge(ask=lambda question: "A", show=lambda text: None),
}


@pytest.mark.parametrize("kind", SHIPPED)
def test_shipped_judges_keep_the_contract(kind):
    assert asyncio.run(check_judge(SHIPPED[kind], CASES)) == []


@pytest.mark.parametrize("kind", SHIPPED)
def test_shipped_judges_say_what_they_are_or_that_they_do_not_know(kind):
    known = {"scripted", "constant", "evidence", "llm", "vote", "mean", "pessimistic", "cascade", "steps", "human"}
    identity = identify(SHIPPED[kind])
    assert bool(identity.missing) == (kind not in known)


def test_one_unknown_member_makes_a_panel_unknown():
    sound = PanelJudge([ScriptedJudge(0, "a"), LLMJudge(completer, model="m")])
    assert not identify(sound).missing
    assert identify(PanelJudge([ScriptedJudge(0, "a"), LLMJudge(completer)])).missing
    assert identify(sound) != identify(PanelJudge([ScriptedJudge(1, "a"), LLMJudge(completer, model="m")]))
    assert identify(sound) != identify(PanelJudge(sound.judges, "vote"))


class Bad:
    name = "bad"

    def __init__(self, answer, **attributes):
        self.answer = answer
        self.__dict__.update(attributes)

    async def __call__(self, case):
        return self.answer(case)


def raising(case):
    raise ValueError("boom")


async def other_batch(cases):
    return [Verdict("bad", (0.0, 1.0)) for _ in cases]


async def short_batch(cases):
    return []


def two(case):
    return Verdict("bad", (1.0, 0.0)) if len(case.options) == 2 else Verdict.failed("bad", "two options only")


@pytest.mark.parametrize(
    ("judge", "rule"),
    [
        (Bad(raising), "raises"),
        (Bad(lambda case: 0.7), "type"),
        (Bad(lambda case: Verdict("bad", (1.0,))), "options"),
        (Bad(lambda case: Verdict.failed("bad", "")), "reason"),
        (Bad(two, name=""), "name"),
        (Bad(two, identity={"weights": "x"}), "identity"),
        (Bad(two, judge_many=other_batch), "batch"),
        (Bad(two, judge_many=short_batch), "batch"),
    ],
)
def test_broken_judges_are_found(judge, rule):
    broken = asyncio.run(check_judge(judge, CASES))
    assert any(message.startswith(rule) for message in broken), broken


def test_a_sound_judge_of_ones_own_passes():
    assert asyncio.run(check_judge(Bad(two), CASES)) == []


def test_every_public_name_exists_and_importing_loads_nothing_heavy():
    assert all(getattr(judges, name) is not None for name in judges.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Oracle'"):
        judges.Oracle  # noqa: B018
    code = "import sys, judges; print(sorted({'torch', 'numpy', 'scipy', 'transformers'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert run.stdout.strip() == "[]"
