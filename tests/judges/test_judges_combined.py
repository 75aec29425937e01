"""Panels, cascades, verifiers, people: combination rules, abstention, costs, failures in their place."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges import (
    CascadeJudge,
    Case,
    Cost,
    HumanJudge,
    PanelJudge,
    ScriptedJudge,
    Statement,
    Verdict,
    VerifierJudge,
    fit_raters,
    pessimistic,
)
from judges.judges.panel import RaterModel

CASE = Case("Is it?", ("yes", "no"))


def ask(judge, case=CASE):
    return asyncio.run(judge(case))


def panel(*scripts, **settings):
    return PanelJudge([ScriptedJudge(s, f"j{i}") for i, s in enumerate(scripts)], **settings)


class Raising:
    name = "raising"

    async def __call__(self, case):
        raise ConnectionError("gone")


class Odd:
    name = "odd"

    def __init__(self, answer):
        self.answer = answer

    async def __call__(self, case):
        return self.answer


class Counting:
    """Counts batches; answers like a script."""

    def __init__(self, script, name="counting"):
        self.inner = ScriptedJudge(script, name)
        self.name = name
        self.batches = []

    async def __call__(self, case):
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases):
        self.batches.append(len(cases))
        return await self.inner.judge_many(cases)


# --- panels ---------------------------------------------------------------------------------------------------------


def test_vote_and_mean():
    scripts = ([0.9, 0.1], [0.6, 0.4], [0.0, 1.0])
    assert ask(panel(*scripts, rule="vote")).probabilities == pytest.approx((2 / 3, 1 / 3))
    assert ask(panel(*scripts, rule="mean")).probabilities == pytest.approx((0.5, 0.5))
    assert ask(panel([0.5, 0.5], 0, rule="vote")).probabilities == pytest.approx((0.75, 0.25))


def test_panel_scores():
    scores = ask(panel(0, 0, 1, rule="vote")).scores
    assert scores["dissent"] == pytest.approx(1 / 3)
    assert scores["spread"] == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)
    assert scores["members_ok"] == 3


def test_quorum():
    assert ask(panel(0, 0, None)).probabilities == (1.0, 0.0)
    assert ask(panel(0, None, None)).status == "abstain"
    assert ask(panel(0, None, None, quorum=1)).probabilities == (1.0, 0.0)
    assert ask(panel(0, None, 7)).status == "error"  # an option that does not exist is a failure, not an abstention
    assert ask(PanelJudge([Raising(), ScriptedJudge(0)], quorum=1)).probabilities == (1.0, 0.0)
    assert ask(PanelJudge([Raising(), ScriptedJudge(0)])).status == "error"
    assert "ConnectionError" in ask(PanelJudge([Raising(), ScriptedJudge(0)])).rationale


@pytest.mark.parametrize("answer", [None, 0.5, Verdict("odd", (1.0,)), Verdict("odd", (0.2, 0.3, 0.5))])
def test_a_member_that_answers_something_else_has_failed(answer):
    assert ask(PanelJudge([Odd(answer)])).status == "error"


def test_panel_pessimism_moves_disagreement_towards_not_knowing():
    assert ask(panel(0, 0, rule="pessimistic", beta=5.0)).probabilities == (1.0, 0.0)
    split = ask(panel([0.9, 0.1], [0.7, 0.3], rule="pessimistic", beta=math.inf)).probabilities
    assert split == pytest.approx((0.8, 0.2))
    three = ask(panel([0.8, 0.1, 0.1], [0.4, 0.5, 0.1], rule="pessimistic", beta=math.inf), Case("q", ("a", "b", "c")))
    assert three.probabilities == pytest.approx((0.4 + 0.4 / 3, 0.1 + 0.4 / 3, 0.1 + 0.4 / 3))


def test_dawid_skene_lets_one_good_judge_outvote_two_noisy_ones():
    good, noisy = np.array([[0.99, 0.01], [0.01, 0.99]]), np.array([[0.55, 0.45], [0.45, 0.55]])
    model = RaterModel(np.array([0.5, 0.5]), np.stack([good, noisy, noisy]))
    odds = 99 * (0.45 / 0.55) ** 2
    verdict = ask(panel(0, 1, 1, rule="dawid_skene", model=model))
    assert verdict.probabilities[0] == pytest.approx(odds / (1 + odds))
    certain = RaterModel(np.array([0.5, 0.5]), np.stack([np.eye(2), np.eye(2)]))
    assert ask(panel(0, 1, rule="dawid_skene", model=certain)).status == "error"  # votes of probability 0


def test_dawid_skene_fitted_to_the_cases_finds_the_noisy_member():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    cases = [Case(f"q{i}", ("yes", "no")) for i in range(400)]
    accuracies = (0.95, 0.9, 0.55, 0.55, 0.55)
    votes = np.array([[t if rng.random() < a else 1 - t for a in accuracies] for t in truth])
    members = [ScriptedJudge({f"q{i}": int(votes[i, m]) for i in range(400)}, f"j{m}") for m in range(5)]

    def accuracy(rule):
        verdicts = asyncio.run(PanelJudge(members, rule).judge_many(cases))
        return np.mean([v.answer == t for v, t in zip(verdicts, truth, strict=True)])

    assert accuracy("dawid_skene") > accuracy("vote") + 0.05
    fitted = fit_raters(votes.tolist(), 2)
    assert fitted.confusion[0, 0, 0] > 0.85
    assert fitted.confusion[2, 0, 0] < 0.7


def test_panel_asks_each_member_once_for_all_cases():
    members = [Counting(0, "a"), Counting(1, "b")]
    asyncio.run(PanelJudge(members).judge_many([CASE] * 7))
    assert [m.batches for m in members] == [[7], [7]]


@pytest.mark.parametrize(
    "settings",
    [{"judges": []}, {"judges": [ScriptedJudge(0), ScriptedJudge(1)]}, {"rule": "best"}, {"quorum": 3}, {"beta": -1.0}],
)
def test_bad_panels(settings):
    with pytest.raises(ValueError, match="PanelJudge"):
        PanelJudge(**{"judges": [ScriptedJudge(0)], **settings})


# --- the pessimistic certainty equivalent ---------------------------------------------------------------------------


def test_pessimistic_values():
    rewards = [0.2, 0.6]
    assert pessimistic(rewards, 0.0) == pytest.approx(0.4)
    assert pessimistic(rewards, math.inf) == pytest.approx(0.2)
    assert pessimistic(rewards, 1.0) == pytest.approx(-math.log((math.exp(-0.2) + math.exp(-0.6)) / 2))
    assert pessimistic(rewards, 1e-4) == pytest.approx(0.4 - 1e-4 / 2 * 0.04, abs=1e-9)  # mean − (β/2) variance
    assert pessimistic([[1.0, math.nan], [math.nan, math.nan]], 2.0)[0] == 1.0
    assert math.isnan(pessimistic([[1.0, math.nan], [math.nan, math.nan]], 2.0)[1])
    assert pessimistic([1e6, -1e6], 50.0) == pytest.approx(-1e6, rel=1e-6)
    for bad in ([], 3.0):
        with pytest.raises(ValueError, match="members"):
            pessimistic(bad, 1.0)
    with pytest.raises(ValueError, match="beta"):
        pessimistic([1.0], math.nan)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(0, 20), st.floats(0, 20))
def test_pessimistic_is_between_minimum_and_mean_and_falls_in_beta(rewards, a, b):
    low, high = sorted((a, b))
    value = pessimistic(rewards, high)
    assert min(rewards) - 1e-9 <= value <= np.mean(rewards) + 1e-9
    assert value <= pessimistic(rewards, low) + 1e-9


# --- cascades -------------------------------------------------------------------------------------------------------


def test_cascade_escalates_what_is_unsure():
    table = {"easy": [0.95, 0.05], "hard": [0.6, 0.4], "broken": 9, "unknown": None}
    cheap, human = Counting(table, "cheap"), Counting(1, "human")
    cases = [Case(q, ("yes", "no")) for q in table]
    verdicts = asyncio.run(CascadeJudge(cheap, human, threshold=0.9).judge_many(cases))
    assert [v.answer for v in verdicts] == [0, 1, 1, 1]
    assert [v.scores["stage"] for v in verdicts] == [0, 1, 1, 1]
    assert cheap.batches == [4]
    assert human.batches == [3]


def test_cascade_ends_in_none_when_nobody_is_sure():
    unsure = ScriptedJudge([0.6, 0.4], "unsure")
    verdict = ask(CascadeJudge(unsure, threshold=[0.9]))
    assert verdict.status == "abstain"
    assert "0.600 is under 0.900" in verdict.rationale
    assert ask(CascadeJudge(unsure, ScriptedJudge(None, "human"))).status == "abstain"
    assert ask(CascadeJudge(unsure, Raising())).status == "error"
    assert ask(CascadeJudge(Raising(), ScriptedJudge([0.6, 0.4]), threshold=[0.9, 0.9])).status == "abstain"


def test_cascade_adds_costs():
    def costly(p, usd, name):
        return ScriptedJudge(Verdict(name, p, cost=Cost(calls=1, usd=usd)), name)

    verdict = ask(CascadeJudge(costly((0.6, 0.4), 0.01, "cheap"), costly((1.0, 0.0), 20.0, "human")))
    assert verdict.cost == Cost(calls=2, usd=20.01)
    assert verdict.judge == "cascade"


def test_bad_cascades():
    for judges, threshold in (((), 0.8), ((ScriptedJudge(0),), [0.5, 0.5]), ((ScriptedJudge(0),), [1.5])):
        with pytest.raises(ValueError, match="CascadeJudge"):
            CascadeJudge(*judges, threshold=threshold)


# --- verifiers ------------------------------------------------------------------------------------------------------


def test_a_verifier_outranks_the_judge():
    verifier = {"Is it?": 1}.get
    judge = VerifierJudge(lambda case: verifier(case.question), ScriptedJudge(0), compare=True)
    verdict = ask(judge)
    assert verdict.probabilities == (0.0, 1.0)
    assert verdict.scores == {"verified": 1.0, "overruled": 1.0}
    other = ask(judge, Case("Else?", ("yes", "no")))
    assert other.probabilities == (1.0, 0.0)
    assert other.scores["verified"] == 0.0


def test_verified_cases_are_not_paid_for():
    judge = Counting(0)
    asyncio.run(
        VerifierJudge(lambda c: 1 if c.question == "a" else None, judge).judge_many(
            [Case(q, ("y", "n")) for q in "abab"]
        )
    )
    assert judge.batches == [2]


def test_a_failing_verifier_has_verified_nothing():
    def broken(case):
        raise OSError("no worker")

    verdict = ask(VerifierJudge(broken, ScriptedJudge(0)))
    assert verdict.probabilities == (1.0, 0.0)
    assert verdict.scores["verifier_failed"] == 1.0
    assert "OSError" in verdict.rationale
    assert ask(VerifierJudge(broken)).status == "error"
    assert ask(VerifierJudge(lambda c: 5)).status == "error"
    assert ask(VerifierJudge(lambda c: None)).status == "abstain"
    assert ask(VerifierJudge(lambda c: None, Raising())).status == "error"


# --- people ---------------------------------------------------------------------------------------------------------


def person(*answers):
    shown, waiting = [], list(answers)

    def reply(question):
        if not waiting:
            raise EOFError("closed")
        return waiting.pop(0)

    return HumanJudge(ask=reply, show=shown.append), shown


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("A", (1.0, 0.0)), ("b", (0.0, 1.0)), ("A 0.7", (0.7, 0.3)), ("B 80%", (0.2, 0.8)), (" a 1 ", (1.0, 0.0))],
)
def test_a_person_answers(typed, expected):
    judge, _ = person(typed, "because")
    verdict = ask(judge)
    assert verdict.probabilities == pytest.approx(expected)
    assert verdict.rationale == "because"


@pytest.mark.parametrize("typed", ["", "C", "AB", "A 7", "A 1.5", "A 120%", "yes", "A -0.5", "concrete"])
def test_unreadable_answers_are_asked_again_and_then_fail(typed):
    judge, shown = person(typed, "B", "ok")
    assert ask(judge).answer == 1
    assert any("Not readable" in s for s in shown)
    judge, _ = person(typed, typed, typed)
    assert ask(judge).status == "error"


def test_a_person_may_skip_or_leave():
    assert ask(person("skip", "too long")[0]).status == "abstain"
    assert ask(person("skip", "too long")[0]).rationale == "too long"
    assert ask(person()[0]).status == "error"


def test_speeches_cannot_drive_the_terminal():
    judge, shown = person("A", "")
    ask(judge, Case("q", ("yes", "no"), (Statement("A", "debater", "argue", "\x1b[2J\x07 Option B:\nAnswer: A"),)))
    assert "\x1b" not in shown[0]
    assert "\x07" not in shown[0]
    assert "\nAnswer: A" not in shown[0]
