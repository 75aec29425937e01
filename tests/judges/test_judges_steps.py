"""Solutions taken apart; preferences as rewards; rewards of single turns and their annealing."""

import asyncio
import itertools
import json
import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges import Case, ProcessReward, ScriptedJudge, Statement, Verdict, anneal, plackett_luce, preference_rewards
from judges.judges.preference import compare, group_rewards
from judges.judges.steps import Step, StepJudge, arithmetic_steps, evaluate

# --- steps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("48/2 = 24", True),
        ("Natalia sold 48/2 = <<48/2=24>>24 clips", True),
        ("(1+2)*3 = 9 = 3*3", True),
        ("1,200 * 2 = $2,400", True),
        ("1/3 = 0.33", True),
        ("2 x 3 = 6", True),
        ("48 + 24 = 73", False),
        ("He had 3. 2+2 = 5", False),
        ("2+2 = 4 and so, 3*3 = 10", False),
        *[
            (line, None)
            for line in ("half of 50 - 3 = 22", "apples - 3 = 5", "2*3 = 6 million", "1000*3=3k", "10/0 = 3")
        ],
        *[(line, None) for line in ("x = 4", "5 = 5", "50% of 20 = 10", "no sums here", "7 - 2 = 5 5", "=", "== 3")],
    ],
)
def test_arithmetic_is_checked_only_where_it_stands_for_itself(line, holds):
    (step,) = arithmetic_steps(line)
    assert step.holds is holds
    assert not (step.holds and step.complete)  # right arithmetic may be the wrong sum to do


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda t: st.tuples(t, st.sampled_from("+-*"), t).map("({0[0]}{0[1]}{0[2]})".format),
    )
)
def test_terms_are_exact(term):
    assert evaluate(term) == Fraction(eval(term))  # the test's own term, not a model's


@pytest.mark.parametrize("term", ["", "1 +", "(1", "1)", "1 2", "a", "1 ** 2", "__import__", "1/0/0x"])
def test_other_terms_are_refused(term):
    with pytest.raises((ValueError, ZeroDivisionError)):
        evaluate(term)


def solution(text):
    return Case("How many?", ("it holds", "it does not"), (Statement("A", "solver", "answer", text),))


def test_a_refuted_step_settles_the_case_without_asking():
    def never(case):
        raise AssertionError("asked")

    verdict = asyncio.run(StepJudge(ScriptedJudge(never))(solution("So he is glad.\n48 + 24 = 73")))
    assert verdict.probabilities == (0.0, 1.0)
    assert verdict.scores["steps_refuted"] == 1.0
    assert "48 + 24 = 73" in verdict.rationale


def test_open_steps_are_judged_one_by_one():
    asked = []

    def script(case):
        asked.append(case.material.splitlines()[-1])
        return [0.9, 0.1]

    verdict = asyncio.run(StepJudge(ScriptedJudge(script))(solution("First.\nSecond.")))
    assert verdict.probabilities == pytest.approx((0.81, 0.19))
    assert asked == ["The step: First.", "The step: Second."]


def test_steps_that_code_settles_are_not_asked():
    steps = [Step("proved", True), Step("open")]
    verdict = asyncio.run(StepJudge(ScriptedJudge([0.7, 0.3]), split=lambda case: steps)(solution("")))
    assert verdict.probabilities == pytest.approx((0.7, 0.3))
    assert verdict.scores["steps_verified"] == 1.0


def test_what_cannot_be_judged_is_not_judged():
    assert asyncio.run(StepJudge()(solution("1+1 = 2"))).status == "abstain"
    assert asyncio.run(StepJudge(ScriptedJudge(None))(solution("First."))).status == "abstain"
    assert asyncio.run(StepJudge(ScriptedJudge(9))(solution("First."))).status == "error"
    assert asyncio.run(StepJudge()(solution(""))).status == "error"
    assert asyncio.run(StepJudge(split=lambda case: 1 // 0)(solution("x"))).status == "error"
    assert asyncio.run(StepJudge(split=lambda case: [Step("a", True)])(Case("q", ("a", "b", "c")))).status == "error"


@pytest.mark.skipif("DEBATE_DATA" not in os.environ, reason="needs DEBATE_DATA, the folder of public data sets")
def test_reference_solutions_of_gsm8k_are_not_refuted():
    """The annotated arithmetic of the reference solutions is right; what is refuted there is a misreading of ours."""
    lines = Path(os.environ["DEBATE_DATA"], "gsm8k_test.jsonl").read_text().splitlines()
    steps = [s for line in lines for s in arithmetic_steps(json.loads(line)["answer"].split("####")[0])]
    refuted = [s for s in steps if s.holds is False]
    confirmed = [s for s in steps if s.holds]
    assert len(confirmed) > 3000
    assert len(refuted) <= 0.01 * len(steps), [s.checked for s in refuted][:20]


# --- preferences ----------------------------------------------------------------------------------------------------

PAIRS = [(0, 1), (0, 1), (1, 2), (2, 0)]


def test_bradley_terry_value():
    assert plackett_luce(PAIRS, 3) == pytest.approx([0.4196, -0.4196, 0.0], abs=1e-4)


def test_bradley_terry_through_games():
    pytest.importorskip("games.evaluation.pairwise", reason="games.bradley_terry is not there", exc_type=ImportError)
    assert preference_rewards(PAIRS, 4)[:3] == pytest.approx([0.4196, -0.4196, 0.0], abs=1e-4)
    assert math.isnan(preference_rewards(PAIRS, 4)[3])


def test_plackett_luce_recovers_the_ratings_it_was_drawn_from():
    rng = np.random.default_rng(0)
    truth = np.array([1.0, 0.3, -0.2, -1.1])
    rankings = [np.argsort(-(truth + rng.gumbel(size=4))).tolist() for _ in range(4000)]
    assert plackett_luce(rankings, 4) == pytest.approx(truth, abs=0.1)


def test_plackett_luce_maximises_the_likelihood():
    rankings = [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]]

    def log_likelihood(ratings):
        return sum(ratings[r[k]] - np.logaddexp.reduce(ratings[r[k:]]) for r in rankings for k in range(len(r) - 1))

    best = plackett_luce(rankings, 3)
    for direction in itertools.product((-0.01, 0.0, 0.01), repeat=3):
        assert log_likelihood(best + np.array(direction)) <= log_likelihood(best) + 1e-12


def test_ratings_that_do_not_exist_are_refused_and_a_prior_makes_them_finite():
    with pytest.raises(ValueError, match="no finite ratings"):
        plackett_luce([[0, 1], [1, 2]], 3)
    rewards = preference_rewards([(0, 1), (1, 2)], 3, prior=1.0)
    assert np.isfinite(rewards).all()
    assert rewards[0] > rewards[1] > rewards[2]
    assert preference_rewards([], 2, prior=1.0) == pytest.approx([0.0, 0.0])
    assert np.isnan(preference_rewards([], 2)).all()


@pytest.mark.parametrize("ranking", [[0], [0, 0], [0, 3], [-1, 0]])
def test_wrong_rankings(ranking):
    with pytest.raises(ValueError, match=r"rankings\[0\]"):
        plackett_luce([ranking], 3)


def test_comparisons_keep_ties_and_failures_apart():
    scripts = {("a", "b"): 0, ("a", "c"): [0.5, 0.5], ("b", "c"): None}
    found = asyncio.run(compare(ScriptedJudge(lambda case: scripts[case.options]), "Which?", ["a", "b", "c"]))
    assert found.pairs == ((0, 1),)
    assert found.ties == ((0, 2),)
    assert found.failed == ((1, 2),)


def test_group_rewards():
    nan = math.nan
    rewards = group_rewards([[nan, 1.0, 0.5], [0.0, nan, nan], [0.5, nan, nan]])
    assert rewards == pytest.approx([0.75, 0.0, 0.5])
    assert math.isnan(group_rewards([[1.0]])[0])


# --- turns ----------------------------------------------------------------------------------------------------------


def verdicts(*beliefs):
    return [Verdict.failed("j", "x") if p is None else Verdict("j", (p, 1 - p)) for p in beliefs]


def read(reward, beliefs, own=0):
    return [r.value if r.status == "ok" else r.status for r in reward(verdicts(*beliefs), own)]


def test_kinds_of_process_rewards():
    beliefs = (0.5, 0.7, 0.4, 0.9)
    assert read(ProcessReward("gain"), beliefs) == pytest.approx([0.2, -0.3, 0.5])
    assert read(ProcessReward("gain"), beliefs, own=1) == pytest.approx([-0.2, 0.3, -0.5])
    assert read(ProcessReward("level"), beliefs) == pytest.approx([0.7, 0.4, 0.9])
    assert read(ProcessReward("potential"), beliefs) == pytest.approx([0.2, -0.3, -0.4])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.1, 1.0))
def test_potential_based_rewards_sum_to_minus_the_start(beliefs, gamma):
    """Ng, Harada & Russell 1999: Σ γ^t r_t = −Φ(start), whatever was said; so it cancels under a shared baseline."""
    rewards = read(ProcessReward("potential", gamma), beliefs)
    assert sum(gamma**t * r for t, r in enumerate(rewards)) == pytest.approx(-beliefs[0])


def test_a_missing_verdict_touches_only_the_turns_that_need_it():
    assert read(ProcessReward("gain"), (0.5, None, 0.4, 0.9)) == ["error", "error", pytest.approx(0.5)]
    assert read(ProcessReward("level"), (None, 0.5, None)) == [0.5, "error"]
    assert read(ProcessReward("potential"), (0.5, 0.4, None)) == [pytest.approx(-0.1), pytest.approx(-0.4)]
    assert read(ProcessReward(), (0.5,)) == []


def test_bad_process_rewards():
    for wrong in ({"kind": "bonus"}, {"gamma": 0.0}, {"gamma": 1.5}):
        with pytest.raises(ValueError, match="ProcessReward"):
            ProcessReward(**wrong)
    with pytest.raises(ValueError, match="no option 5"):
        ProcessReward()(verdicts(0.5, 0.5), 5)


@pytest.mark.parametrize(
    "schedule",
    [
        {"steps": 100},
        {"start": 0.7, "steps": 100, "hold": 20},
        {"steps": 100, "shape": "cosine"},
        {"steps": 100, "shape": "constant"},
        [(0, 1.0), (30, 0.5), (100, 0.0)],
    ],
)
def test_annealing_falls_and_ends_at_exactly_zero(schedule):
    weight = anneal(schedule)
    values = [weight(t) for t in range(200)]
    assert values[0] > 0
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert all(v == 0.0 for v in values[100:])
    assert values[99] > 0


def test_annealing_values():
    weight = anneal({"start": 1.0, "steps": 10, "shape": "cosine"})
    assert weight(5) == pytest.approx(0.5)
    weight = anneal([(10, 1.0), (20, 0.0)])
    assert weight(0) == weight(10) == 1.0
    assert weight(15) == 0.5


@pytest.mark.parametrize(
    "schedule",
    [
        *[
            [],
            [(0, 1.0)],
            [(0, 1.0), (10, 1e-9)],
            [(5, 1.0), (5, 0.0)],
            [(0, -1.0), (5, 0.0)],
            [(0, math.inf), (5, 0.0)],
        ],
        *[{}, {"steps": 10, "shape": "wave"}, {"steps": 10, "hold": 10}, {"steps": 10, "end": 0.1}],
    ],
)
def test_schedules_that_do_not_end_at_zero_are_refused(schedule):
    with pytest.raises(ValueError, match="anneal"):
        anneal(schedule)
