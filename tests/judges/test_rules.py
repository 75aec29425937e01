"""Reward rules: values, zero-sum by construction, and no failure ever a number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges import RULES, Act, Case, Record, Verdict, make_rule, measure_rewards, reads_verdicts
from judges.rules import VERDICT_FREE

CASE = Case("Is it?", ("yes", "no"))


def record(*verdicts, label=0, answers=(0, 1), case=CASE, **more):
    given_verdicts = tuple(v if isinstance(v, Verdict) else Verdict("j", v) for v in verdicts)
    seats = tuple("ABCDEF"[: len(answers)])
    return Record(case, given_verdicts, label, seats, tuple(answers), **more)


def values(rule, rec, **params):
    return [r.value if r.status == "ok" else r.status for r in make_rule(rule, **params)(rec)]


def test_values_of_the_judged_rules():
    rec = record((0.8, 0.2))
    assert values("win", rec) == [1.0, -1.0]
    assert values("margin", rec) == pytest.approx([0.6, -0.6])
    assert values("log_score", rec) == pytest.approx([math.log(0.8), math.log(0.2)])
    assert values("agree", rec) == [1.0, 0.0]
    assert values("truth", rec) == [1.0, 1.0]
    assert values("honest", rec) == [1.0, 0.0]


def test_ties():
    rec = record((0.5, 0.5))
    assert values("win", rec) == [0.0, 0.0]
    assert values("truth", rec) == [0.5, 0.5]
    assert values("agree", rec) == [0.5, 0.5]
    averaged = record((0.1, 0.9), (0.7, 0.3), (0.7, 0.3))  # .1 + .7 + .7 is not 1.5 in floating point
    assert values("win", averaged) == [0.0, 0.0]
    assert values("truth", averaged) == [0.5, 0.5]


def test_log_score_is_floored():
    assert values("log_score", record((1.0, 0.0)), epsilon=0.01) == pytest.approx([0.0, math.log(0.01)])


def test_judge_seat_reads_the_proper_score_and_debaters_do_not():
    rec = record((0.8, 0.2), answers=(0, 1, None))
    assert values("brier", rec) == ["abstain", "abstain", pytest.approx(-0.08)]
    assert values("judge_log_score", rec) == ["abstain", "abstain", pytest.approx(math.log(0.8))]
    assert values("win", rec) == [1.0, -1.0, "abstain"]
    assert values("brier", record((0.8, 0.2), answers=(None,), label=None)) == ["abstain"]


def test_one_seat_alone():
    assert values("win", record((0.8, 0.2), answers=(1,))) == [-1.0]
    assert values("margin", record((0.8, 0.2), answers=(1,))) == pytest.approx([-0.6])


def test_two_sides_of_three_options_stay_opposed():
    case = Case("q", ("a", "b", "c"))
    assert values("win", record((0.4, 0.3, 0.3), case=case)) == [1.0, -1.0]
    assert values("win", record((0.0, 0.0, 1.0), case=case)) == [0.0, 0.0]


@given(st.floats(0, 1), st.floats(0, 1))
def test_win_and_margin_are_zero_sum(p, q):
    rec = record((p, 1 - p), (q, 1 - q))
    assert sum(values("win", rec)) == 0.0
    assert sum(values("margin", rec)) == 0.0


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_win_is_zero_sum_among_more_options(weights):
    total = sum(weights)
    rec = record(tuple(w / total for w in weights), case=Case("q", ("a", "b", "c")))
    assert sum(values("win", rec)) == 0.0


def test_proper_scores_are_proper():
    """Gneiting & Raftery (2007): the expected score is largest at the true distribution."""
    truth = 0.7
    for name in ("brier", "judge_log_score"):

        def expected(p, name=name):
            scores = [values(name, record((p, 1 - p), answers=(None,), label=y))[0] for y in (0, 1)]
            return truth * scores[0] + (1 - truth) * scores[1]

        grid = [i / 20 for i in range(1, 20)]
        assert max(grid, key=expected) == pytest.approx(truth)


ERROR = Verdict.failed("j", "no engine")
ABSTAIN = Verdict.failed("j", "too close", "abstain")
JUDGED = ["win", "margin", "log_score", "agree", "truth"]


@pytest.mark.parametrize("name", JUDGED)
def test_no_verdict_is_never_a_number(name):
    assert values(name, record()) == ["abstain", "abstain"]
    assert values(name, record(ABSTAIN)) == ["abstain", "abstain"]
    assert values(name, record(ERROR)) == ["error", "error"]
    assert values(name, record(ABSTAIN, ERROR)) == ["error", "error"]
    assert values(name, record((0.2, 0.3, 0.5))) == ["error", "error"]  # a verdict over other options


@pytest.mark.parametrize("name", JUDGED)
def test_the_mean_is_over_verdicts_that_are_ok(name):
    assert values(name, record((0.9, 0.1), ERROR, ABSTAIN)) == values(name, record((0.9, 0.1)))
    assert values(name, record((0.9, 0.1), ERROR), verdicts="all") == ["error", "error"]
    assert values(name, record((0.9, 0.1), ERROR), verdicts="last") == ["error", "error"]
    assert values(name, record((0.9, 0.1), (0.0, 1.0)), verdicts="first") == values(name, record((0.9, 0.1)))


def test_unknown_label_and_answers():
    rec = record((0.9, 0.1), label=None, answers=(0, None))
    assert values("truth", rec) == ["abstain", "abstain"]
    assert values("honest", rec) == ["abstain", "abstain"]
    assert values("win", rec) == [1.0, "abstain"]


def test_measures():
    rec = record(measures={"tokens": (25.0, math.nan), "validity": (1.0, 0.0), "forged": (0.0, 3.0)})
    assert values("brevity", rec, budget=100) == [0.75, "abstain"]
    assert values("brevity", rec, budget=10) == [0.0, "abstain"]
    assert values("validity", rec) == [1.0, 0.0]
    assert values("forged", rec) == [0.0, 3.0]
    assert values("forged", rec, scale=-1) == [0.0, -3.0]
    assert values("format", rec) == ["abstain", "abstain"]
    assert values("measure", rec, name="tokens", scale=2) == [50.0, "abstain"]
    with pytest.raises(ValueError, match="one a seat"):
        make_rule("validity")(record(measures={"validity": (1.0,)}))


def finals(verifier, *texts, gold="18", case=CASE):
    return values(
        "correct", record(answers=(None,) * len(texts), finals=texts, gold=gold, case=case), verifier=verifier
    )


def test_correct_asks_a_verifier():
    assert finals("exact", "Paris", "Lyon", None, gold="Paris") == [1.0, 0.0, "abstain"]
    assert finals("numeric", "#### 18", "$18.00", "#### 17", "many") == [1.0, 1.0, 0.0, "abstain"]
    assert finals("choice", "no", "B", "yes", "concrete", gold="no") == [1.0, 1.0, 0.0, "abstain"]
    assert finals("numeric", "18", gold="eighteen or so") == ["error"]
    assert finals("choice", "no", gold="maybe") == ["error"]
    assert values("correct", record(finals=("a", "b"))) == ["abstain", "abstain"]
    assert values("correct", record(gold="a")) == ["abstain", "abstain"]


@pytest.mark.parametrize(
    ("name", "params", "word"),
    [
        ("wins", {}, "unknown reward rule 'wins'"),
        ("win", {"budget": 3}, "unknown parameter budget"),
        ("brevity", {}, "budget is required"),
        ("brevity", {"budget": 0}, "positive"),
        ("brevity", {"budget": "ten"}, "brevity"),
        ("log_score", {"epsilon": 0.0}, "epsilon"),
        ("judge_log_score", {"epsilon": 1.0}, "epsilon"),
        ("correct", {"verifier": "guess"}, "expected exact"),
        ("win", {"verdicts": "best"}, "expected mean"),
    ],
)
def test_bad_names_and_parameters(name, params, word):
    with pytest.raises(ValueError, match=word):
        make_rule(name, **params)


def test_the_table_is_a_mapping():
    assert "win" in RULES
    assert "wins" not in RULES
    assert RULES.get("wins") is None
    assert all(RULES[name].name == name for name in RULES)
    with pytest.raises(KeyError):
        RULES["wins"]


def test_a_label_outside_the_options_is_a_bug_not_a_reading():
    with pytest.raises(ValueError, match=r"Record\.label"):
        make_rule("truth")(record((0.9, 0.1), label=5))
    with pytest.raises(ValueError, match=r"Record\.answers"):
        make_rule("win")(record((0.9, 0.1), answers=(0, 5)))


def test_rules_together():
    rewards = measure_rewards({n: make_rule(n) for n in ("win", "truth")}, record((0.9, 0.1), label=1))
    assert rewards.values.tolist() == [[1.0, 0.0], [-1.0, 0.0]]


PARAMS = {"brevity": {"budget": 50}, "measure": {"name": "tokens"}, "correct_at": {"phase": "argue"}}


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["ok", "abstain", "error"])), max_size=3),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["ok", "abstain", "error"])), max_size=3),
    st.integers(0, 1),
)
def test_rules_that_pay_on_without_a_judge_read_no_verdict(one, other, label):
    """Frozen with a judge is every rule that might read it; the listed ones read the same whatever it says."""

    def given_by(drawn):
        return tuple(
            Verdict("j", (p, 1 - p)) if status == "ok" else Verdict.failed("j", "no", status) for p, status in drawn
        )

    def readings(name, verdicts):
        acts = (
            Act("A", "attacker", "argue", "choice", "yes", 0),
            Act("B", "defender", "argue", "speech", "no, because"),
        )
        record = Record(
            Case("q", ("yes", "no")),
            verdicts,
            label,
            ("A", "B"),
            (0, 1),
            {"tokens": (3.0, 90.0), "validity": (1.0, 0.0), "format": (1.0, 0.5), "forged": (0.0, 2.0)},
            "yes",
            ("yes", "no"),
            roles=("attacker", "defender"),
            acts=acts,
        )
        return repr(list(make_rule(name, **PARAMS.get(name, {}))(record)))

    for name in VERDICT_FREE:
        assert readings(name, given_by(one)) == readings(name, given_by(other)), name
    for name in ("win", "truth", "margin", "agree", "brier", "ladder", "approval"):
        assert reads_verdicts(name)
    with pytest.raises(ValueError, match="unknown reward rule"):
        reads_verdicts("nothing")
