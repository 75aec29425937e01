"""Scripted, constant and naive-evidence judges: every script kind, seeded noise, failures as verdicts."""

import asyncio

import pytest

from judges import Case, NaiveEvidenceJudge, Quote, ScriptedJudge, Statement, Verdict, constant_judge

CASE = Case("Is it?", ("yes", "no"))


def ask(judge, case=CASE):
    return asyncio.run(judge(case))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (1, (0.0, 1.0)),
        ([0.25, 0.75], (0.25, 0.75)),
        ({"Is it?": 0}, (1.0, 0.0)),
        (lambda case: len(case.options) - 1, (0.0, 1.0)),
        (Verdict("other", (0.5, 0.5)), (0.5, 0.5)),
    ],
)
def test_script_kinds(script, expected):
    verdict = ask(ScriptedJudge(script))
    assert verdict.status == "ok"
    assert verdict.probabilities == expected


@pytest.mark.parametrize(
    ("script", "status", "word"),
    [
        (None, "abstain", "abstain"),
        (2, "error", "option 2 of 2"),
        (-1, "error", "option -1"),
        ([1.0], "error", "1 probabilities"),
        ([0.9, 0.9], "error", "sum to 1"),
        ({}, "error", "no answer"),
        (lambda case: 1 // 0, "error", "ZeroDivisionError"),
    ],
)
def test_failures_are_verdicts(script, status, word):
    verdict = ask(ScriptedJudge(script))
    assert verdict.status == status
    assert verdict.probabilities is None
    assert word in verdict.rationale


def test_noise_is_seeded_by_the_case_not_by_the_order():
    cases = [Case(f"q{i}", ("a", "b", "c")) for i in range(400)]
    judge = ScriptedJudge(0, noise=0.25, seed=3)
    forward = [ask(judge, c).answer for c in cases]
    backward = [ask(judge, c).answer for c in reversed(cases)]
    assert forward == backward[::-1]
    assert forward == [v.answer for v in asyncio.run(judge.judge_many(cases))]
    flips = sum(a != 0 for a in forward)
    assert 70 <= flips <= 130  # binomial(400, .25): mean 100, six standard deviations would be 52
    assert {1, 2} <= set(forward)
    assert forward != [ask(ScriptedJudge(0, noise=0.25, seed=4), c).answer for c in cases]


def test_noise_must_be_a_probability():
    with pytest.raises(ValueError, match="probability"):
        ScriptedJudge(0, noise=1.5)


def test_constant_judge():
    assert ask(constant_judge(1)).probabilities == (0.0, 1.0)
    assert ask(constant_judge()).probabilities == (0.5, 0.5)
    assert ask(constant_judge()).answer is None


def revealed(*quotes, options=("positive", "negative")):
    return Case("The sign of the sum?", options, (Statement("A", "debater", "argue", "", tuple(quotes)),))


@pytest.mark.parametrize(
    ("texts", "expected", "total"),
    [
        (["+16", "-2"], (1.0, 0.0), 14),
        (["-16", "+2"], (0.0, 1.0), -14),
        (["+4", "-4"], (0.5, 0.5), 0),
        (["\u22128", " 3 "], (0.0, 1.0), -5),
        (["0.1", "0.2", "-0.3"], (0.5, 0.5), 0),
        ([], (0.5, 0.5), 0),
    ],
)
def test_evidence_is_summed(texts, expected, total):
    verdict = ask(NaiveEvidenceJudge(), revealed(*[Quote(t, verified=True) for t in texts]))
    assert verdict.probabilities == expected
    assert verdict.status == "ok"
    assert verdict.scores["evidence"] == total


def test_only_verified_evidence_counts():
    case = revealed(Quote("+1", verified=True), Quote("-16", verified=False), Quote("-8"), Quote("rubbish"))
    assert ask(NaiveEvidenceJudge(), case).probabilities == (1.0, 0.0)


@pytest.mark.parametrize("text", ["", "sixteen", "1e3", "+-1", "nan", "inf", "0x10", "1_000"])
def test_verified_evidence_that_is_no_number_is_an_error(text):
    verdict = ask(NaiveEvidenceJudge(), revealed(Quote("+1", verified=True), Quote(text, verified=True)))
    assert verdict.status == "error"
    assert verdict.probabilities is None


def test_evidence_needs_two_options():
    assert ask(NaiveEvidenceJudge(), revealed(options=("a", "b", "c"))).status == "error"
