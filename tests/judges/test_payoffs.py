"""Reward rules that read what happened: every value by hand, zero-sum where claimed, no failure ever a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judges import RULES, Act, Case, Record, Verdict, make_rule

YES_NO = ("yes", "no")


def act(seat, role, phase, text, option=None, kind="choice", probabilities=(), public=True):
    return Act(
        seat,
        role,
        phase,
        "speech" if option is None and kind == "choice" else kind,
        text,
        option,
        probabilities,
        public,
    )


def record(roles, acts=(), verdicts=(), *, answers=None, label=0, options=YES_NO, case=None, **more):
    seats = tuple(roles)
    given_verdicts = tuple(v if isinstance(v, Verdict) else Verdict("j", v) for v in verdicts)
    return Record(
        Case("q", case or options),
        given_verdicts,
        label,
        seats,
        tuple((answers or {}).get(seat) for seat in seats),
        roles=tuple(roles.values()),
        acts=tuple(acts),
        options=options,
        **more,
    )


def values(rule, rec, **params):
    return [r.value if r.status == "ok" else r.status for r in make_rule(rule, **params)(rec)]


DEBATERS = {"A": "debater", "B": "debater"}


@pytest.mark.parametrize(
    ("belief", "a", "b", "expected"),
    [
        ((0.9, 0.05, 0.05), 0, 1, [1.0, -1.0]),  # sole win, loss
        ((0.9, 0.05, 0.05), 0, 0, [0.0, 0.0]),  # double win
        ((0.05, 0.9, 0.05), 0, 2, [-1.0, -1.0]),  # double loss
        ((0.05, 0.9, 0.05), 0, 0, [-1.0, -1.0]),  # the same wrong answer
        ((0.4, 0.4, 0.2), 0, 1, [0.0, 0.0]),  # tie
        ((0.4, 0.2, 0.4), 0, 1, [0.0, -1.0]),  # a tie at the top that one side has no part in
    ],
)
def test_ladder(belief, a, b, expected):
    rec = record(DEBATERS, verdicts=[belief], answers={"A": a, "B": b}, options=("x", "y", "z"))
    assert values("ladder", rec) == expected


def test_ladder_pays_what_it_is_told_and_nobody_without_an_answer():
    rec = record({**DEBATERS, "j": "judge"}, verdicts=[(0.9, 0.1)], answers={"A": 0, "B": 0})
    assert values("ladder", rec, shared=0.5) == [0.5, 0.5, "abstain"]


def votes(before, after):
    jury = [f"juror_{i}" for i in range(len(before))]
    acts = [act(j, "juror", "pre_vote", YES_NO[v], v) for j, v in zip(jury, before, strict=True)]
    acts += [act(j, "juror", "post_vote", YES_NO[v], v, "decision") for j, v in zip(jury, after, strict=False)]
    return record({**DEBATERS, **dict.fromkeys(jury, "juror")}, acts, answers={"A": 0, "B": 1})


@pytest.mark.parametrize(
    ("before", "after", "share", "sign"),
    [
        ((0, 0, 1), (0, 1, 1), -1 / 3, -1.0),
        ((1, 1, 1), (0, 0, 1), 2 / 3, 1.0),
        ((0, 1, 0), (1, 0, 0), 0.0, 0.0),  # equal = draw
    ],
)
def test_vote_gain(before, after, share, sign):
    rec = votes(before, after)
    assert values("vote_gain", rec)[:2] == pytest.approx([share, -share])
    assert values("vote_gain", rec, pay="sign") == [sign, -sign, *["abstain"] * 3]


def test_a_vote_that_is_not_complete_pays_nobody():
    assert values("vote_gain", votes((0, 1, 0), (0, 1))) == ["abstain"] * 5
    assert values("vote_gain", votes((), ())) == ["abstain"] * 2


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=7))
def test_vote_gains_of_two_sides_are_opposite(pairs):
    rec = votes(*zip(*pairs, strict=True))
    for pay in ("share", "sign"):
        assert sum(values("vote_gain", rec, pay=pay)[:2]) == 0.0


def test_approval_and_two_sides_of_what_is_decided():
    """Where a claim is decided, the record's label and answers are about it: the claimant defends its first option."""
    rec = record({"A": "claimant", "B": "challenger"}, verdicts=[(0.8, 0.2)], answers={"A": 0, "B": 1}, case=("a", "b"))
    assert values("approval", rec) == [0.8, 0.8]
    assert values("win", rec) == [1.0, -1.0]
    assert values("margin", rec) == pytest.approx([0.6, -0.6])


def test_accuracy_where_the_protagonist_is_wrong():
    wrong = record(DEBATERS, verdicts=[(0.8, 0.2)], answers={"A": 1, "B": 0})
    right = record(DEBATERS, verdicts=[(0.8, 0.2)], answers={"A": 0, "B": 1})
    assert values("when_wrong", wrong, role="debater") == [1.0, 1.0]
    assert values("when_wrong", right, role="debater") == ["abstain", "abstain"]


PROOF = {"prover": "prover", "verifier": "verifier"}


def proof(text=None, p=1.0, label=0, **more):
    acts = [act("prover", "prover", "proof", "because")]
    if text is not None:
        shares = (p, 1 - p) if text == "accept" else (1 - p, p)
        acts.append(act("verifier", "verifier", "verdict", text, ("accept", "reject").index(text), "decision", shares))
    return record(PROOF, acts, answers={"prover": 0}, label=label, case=("accept", "reject"), **more)


def test_prover_and_verifier():
    """Prover: 1 on accept. Verifier: +1 right, −1 wrong, −1 out of time."""
    assert values("accepted", proof("accept")) == [1.0, "abstain"]
    assert values("accepted", proof("reject")) == [0.0, "abstain"]
    assert values("accepted", proof()) == [0.0, 0.0]
    decided = {"claim": "prover"}
    assert values("decided", proof("accept"), **decided) == ["abstain", 1.0]
    assert values("decided", proof("accept", label=1), **decided) == ["abstain", -1.0]
    assert values("decided", proof("reject", label=1), **decided) == ["abstain", 1.0]
    assert values("decided", proof("reject"), **decided) == ["abstain", -1.0]
    assert values("decided", proof(), **decided) == ["abstain", -1.0]
    assert values("decided", proof("accept", label=None), **decided) == ["abstain", "abstain"]
    assert values("decided", proof(label=None), timeout=-0.5, **decided) == ["abstain", -0.5]


def test_a_free_answer_is_verified():
    roles = {"prover": "prover", "verifier": "verifier"}
    acts = [act("verifier", "verifier", "verdict", "accept", 0, "decision", (0.75, 0.25))]
    more = {"gold": "5", "case": ("accept", "reject"), "options": (), "label": None}
    right = record(roles, acts, finals=("#### 5", None), **more)
    wrong = record(roles, acts, finals=("#### 6", None), **more)
    unread = record(roles, acts, finals=("five?", None), **more)
    params = {"claim": "prover", "verifier": "numeric"}
    assert values("decided", right, **params) == ["abstain", 1.0]
    assert values("decided", wrong, **params) == ["abstain", -1.0]
    assert values("decided", unread, **params) == ["abstain", "abstain"]
    assert values("accept_score", right, verifier="numeric") == ["abstain", pytest.approx(-2 * 0.25**2)]
    assert values("accept_score", wrong, verifier="numeric") == ["abstain", pytest.approx(-2 * 0.75**2)]


@pytest.mark.parametrize(
    ("side", "final", "expected"),
    [("helpful", "5", 0.75), ("helpful", "6", -0.75), ("sneaky", "6", 0.75), ("sneaky", "5", -0.75)],
)
def test_convincingness_is_signed_by_consistency_with_the_role(side, final, expected):
    acts = [
        act("chance", "chance", "side", side, 0, "chance"),
        act("verifier", "verifier", "verdict", "accept", 0, "decision", (0.75, 0.25)),
    ]
    rec = record(PROOF, acts, finals=(final, None), gold="5", case=("accept", "reject"), options=(), label=None)
    assert values("convincing", rec, verifier="numeric") == [expected, "abstain"]


def test_persuasion_is_paid_to_the_prover_that_spoke():
    roles = {"merlin": "merlin", "morgana": "morgana", "arthur": "arthur"}
    for speaker, option, merlin, morgana in (
        ("merlin", 0, 1.0, "abstain"),
        ("merlin", 1, 0.0, "abstain"),
        ("morgana", 1, "abstain", 1.0),
        ("morgana", 0, "abstain", 0.0),
    ):
        acts = [
            act(speaker, speaker, "proof", "look"),
            act("arthur", "arthur", "verdict", YES_NO[option], option, "decision"),
        ]
        rec = record(roles, acts)
        assert values("persuaded", rec)[0] == merlin
        assert values("persuaded", rec, toward="wrong")[1] == morgana
        assert values("persuaded", rec)[2] == "abstain"
        assert values("decided", rec, decider="arthur")[2] == (1.0 if option == 0 else -1.0)


CRITIC = {"proposer": "proposer", "critic": "critic"}


def proposal(pick, final="6", verdicts=()):
    acts = [act("critic", "critic", "claim", pick, 0)]
    return record(
        CRITIC, acts, verdicts, finals=(final, None), gold="5", case=("accept", "reject"), options=(), label=None
    )


def test_a_flaw_is_paid_where_it_is_validated():
    params = {"verifier": "numeric", "penalty": 0.5}
    assert values("flaw", proposal("flaw", "6"), **params) == ["abstain", 1.0]
    assert values("flaw", proposal("flaw", "5"), **params) == ["abstain", -0.5]
    assert values("flaw", proposal("no flaw", "6"), **params) == ["abstain", 0.0]
    assert values("flaw", proposal("flaw", "dunno"), **params) == ["abstain", "abstain"]
    by_judge = {"validated": "judge", "penalty": 0.5}
    assert values("flaw", proposal("flaw", verdicts=[(0.2, 0.8)]), **by_judge) == ["abstain", 1.0]
    assert values("flaw", proposal("flaw", verdicts=[(0.9, 0.1)]), **by_judge) == ["abstain", -0.5]
    assert values("flaw", proposal("flaw", verdicts=[(0.5, 0.5)]), **by_judge) == ["abstain", 0.0]
    assert values("flaw", proposal("flaw", verdicts=[Verdict.failed("j", "x")]), **by_judge) == ["abstain", "error"]


def revision(first, second, pick="right"):
    acts = [
        act("solver", "solver", "answer", first),
        act("solver", "solver", "judgement", pick, 0),
        act("solver", "solver", "revision", second),
    ]
    return record({"solver": "solver"}, acts, gold="5", options=(), label=None)


@pytest.mark.parametrize(
    ("first", "second", "shaped", "helped", "lost", "gained"),
    [
        ("5", "5", 1.0, 0.0, 0.0, 0.0),
        ("6", "5", 6.0, 1.0, 0.0, 1.0),  # r2 + α (r2 − r1) = 1 + 5
        ("5", "6", -5.0, -1.0, 1.0, 0.0),
        ("6", "7", 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_self_critique(first, second, shaped, helped, lost, gained):
    rec, check = revision(first, second), {"verifier": "numeric"}
    assert values("correct_at", rec, phase="answer", **check) == [float(first == "5")]
    assert values("improvement", rec, **check) == [shaped]
    assert values("improvement", rec, keep=0, alpha=1, **check) == [helped]
    assert values("flip", rec, change="lost", **check) == [lost]
    assert values("flip", rec, change="gained", **check) == [gained]
    assert values("discerned", rec, **check) == [float(first == "5")]
    assert values("discerned", revision(first, second, "wrong"), **check) == [float(first != "5")]


def test_a_critic_is_paid_for_the_change_of_another():
    acts = [act("w", "writer", "draft", "6"), act("c", "critic", "critique", "no"), act("w", "writer", "refined", "5")]
    rec = record({"w": "writer", "c": "critic"}, acts, gold="5", options=(), label=None)
    shared = {"first": "draft", "last": "refined", "verifier": "numeric"}
    assert values("improvement", rec, **shared) == [6.0, "abstain"]
    assert values("improvement", rec, of="writer", keep=0, alpha=1, **shared) == [1.0, 1.0]


def test_an_answer_that_cannot_be_read_pays_nothing():
    rec, check = revision("a few", "5"), {"verifier": "numeric"}
    assert values("correct_at", rec, phase="answer", **check) == ["abstain"]
    assert values("improvement", rec, **check) == values("flip", rec, change="lost", **check) == ["abstain"]
    assert values("discerned", rec, **check) == ["abstain"]


MARKET = {"predictor": "predictor", "adversary": "adversary"}


def market(*forecasts, verdicts=((0.7, 0.3),)):
    return record(MARKET, [act("predictor", "predictor", "forecast", f, 0) for f in forecasts], verdicts)


def test_market():
    rec = market("0.5", "0.9", "0.6")
    assert values("forecast", rec) == [pytest.approx(-(0.04 + 0.04 + 0.01) / 3), "abstain"]
    assert values("forecast", rec, use="last") == [pytest.approx(-0.01), "abstain"]
    assert values("belief_change", rec, role="adversary") == ["abstain", pytest.approx(0.7)]
    assert values("belief_change", rec, role="adversary", pay="net") == ["abstain", pytest.approx(0.1)]
    assert values("belief_change", market("0.5"), role="adversary") == ["abstain", "abstain"]
    assert values("forecast", market("0.5", verdicts=[Verdict.failed("j", "x")])) == ["error", "error"]
    with pytest.raises(ValueError, match="needs numbers"):
        values("forecast", market("likely"))


def test_a_forecast_is_proper():
    grid = [i / 10 for i in range(11)]
    best = max(grid, key=lambda f: values("forecast", market(str(f)))[0])
    assert best == 0.7


ESTIMATES = {"prover": "prover", "estimator": "estimator"}


def level(p1, p2, pick, sign):
    return [
        act("estimator", "estimator", "estimate_1", p1, 0),
        act("estimator", "estimator", "estimate_2", p2, 0),
        act("prover", "prover", "pick", f"claim {pick}", pick),
        act("prover", "prover", "sign", sign, 0),
    ]


def again(p):
    return [act("estimator", "estimator", "again", p, 0)]


def test_estimates_must_stay_consistent():
    """Depth 0: claim 2 at .3, "too low", later .5. Depth 1: claim 1 at .9, "too high", oracle .2. Growth 2."""
    acts = [*level("0.1", "0.3", 1, "too low"), *again("0.5"), *level("0.9", "0.7", 0, "too high")]
    rec = record(ESTIMATES, acts, [(0.2, 0.8)], case=("holds", "fails"))
    gain = 1 * (0.5 - 0.3) + 2 * -(0.2 - 0.9)
    assert values("estimate_gap", rec, growth=2) == pytest.approx([gain, -gain])
    one = record(ESTIMATES, level("0.1", "0.3", 1, "too low"), [(0.2, 0.8)], case=("holds", "fails"))
    assert values("estimate_gap", one) == pytest.approx([-0.1, 0.1])


def test_a_first_estimate_again_at_the_root_is_not_a_later_one():
    acts = [*again("0.6"), *level("0.1", "0.3", 1, "too low"), *again("0.5"), *level("0.9", "0.7", 0, "too high")]
    rec = record(ESTIMATES, acts, [(0.2, 0.8)], case=("holds", "fails"))
    assert values("estimate_gap", rec, growth=2)[0] == pytest.approx(0.2 + 1.4)


def test_an_estimate_that_is_missing_pays_nobody():
    acts = [*level("0.1", "0.3", 1, "too low"), *level("0.9", "0.7", 0, "too high")]
    rec = record(ESTIMATES, acts, [(0.2, 0.8)], case=("holds", "fails"))
    assert values("estimate_gap", rec) == ["abstain", "abstain"]
    assert values("estimate_gap", record(ESTIMATES, [], [(0.2, 0.8)])) == ["abstain", "abstain"]
    failed = record(ESTIMATES, acts, [Verdict.failed("j", "x")])
    assert values("estimate_gap", failed) == ["error", "error"]


TABOO = {"attacker": "attacker", "defender": "defender"}


@pytest.mark.parametrize(
    ("said", "attacker"),
    [
        ([("attacker", "talk", "It floats."), ("defender", "talk", "A boat is nice.")], 1.0),
        ([("attacker", "talk", "It floats."), ("defender", "guess", "Is it boat?")], -1.0),
        ([("attacker", "talk", "It floats."), ("defender", "guess", "A whale.")], 1.0),
        ([("attacker", "talk", "A BOAT floats."), ("defender", "talk", "A boat?")], -1.0),
        ([("attacker", "talk", "It floats."), ("defender", "talk", "Boats are nice.")], 0.0),  # another word
    ],
)
def test_taboo(said, attacker):
    acts = [act(role, role, phase, text) for role, phase, text in said]
    assert values("taboo", record(TABOO, acts, gold="boat")) == [attacker, -attacker]


def test_a_scratchpad_gives_no_word_away():
    acts = [act("attacker", "attacker", "plan", "The word is boat.", public=False)]
    assert values("taboo", record(TABOO, acts, gold="boat")) == [0.0, 0.0]
    assert values("taboo", record(TABOO, acts)) == ["abstain", "abstain"]


STEPS = {"alice": "alice", "bob": "bob", "vera": "vera"}


@pytest.mark.parametrize(
    ("acts", "alice"),
    [
        ([("bit", "0"), ("bit", "1")], 1.0),  # nobody challenged: the last bit
        ([("bit", "1"), ("bit", "0")], -1.0),
        ([("bit", "0"), ("ruling", "holds")], 1.0),
        ([("bit", "1"), ("ruling", "fails")], -1.0),
    ],
)
def test_doubly_efficient(acts, alice):
    rec = record(STEPS, [act("x", "x", phase, text, 0) for phase, text in acts])
    assert values("stepwise", rec) == [alice, -alice, "abstain"]


def test_turns_have_a_price():
    acts = [act("alice", "alice", "p", "0.5", 0), act("alice", "alice", "p", "0.5", 0), act("bob", "bob", "r", "ok", 0)]
    rec = record(STEPS, acts)
    assert values("turns", rec) == [-2.0, -1.0, 0.0]
    assert values("turns", rec, phase="p", scale=-0.05, role="alice") == [pytest.approx(-0.1), "abstain", "abstain"]
    assert values("stepwise", record(STEPS)) == values("turns", record(STEPS)) == ["abstain"] * 3


NEW = {
    "ladder": {},
    "vote_gain": {},
    "when_wrong": {"role": "A"},
    "accepted": {},
    "decided": {"decider": "B", "claim": "A"},
    "persuaded": {},
    "convincing": {"prover": "A"},
    "accept_score": {"decider": "B", "claim": "A"},
    "approval": {},
    "flaw": {"proposer": "A"},
    "correct_at": {"phase": "x"},
    "improvement": {},
    "flip": {"change": "lost"},
    "discerned": {},
    "forecast": {},
    "belief_change": {"role": "A"},
    "estimate_gap": {"prover": "A", "estimator": "B"},
    "taboo": {"attacker": "A", "defender": "B"},
    "stepwise": {"alice": "A", "bob": "B"},
    "turns": {},
}


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("verdicts", [(), (Verdict.failed("j", "x"),), (Verdict.failed("j", "x", "abstain"),)])
def test_nothing_known_is_never_a_number(name, verdicts):
    rec = record({"A": "A", "B": "B"}, verdicts=verdicts, answers={"A": 0, "B": 1})
    assert not any(isinstance(v, float) for v in values(name, rec, **NEW[name]))


@pytest.mark.parametrize(
    ("name", "params", "word"),
    [
        ("ladder", {"win": "one"}, "finite number"),
        ("vote_gain", {"pay": "all"}, "expected share or sign"),
        ("when_wrong", {}, "role is required"),
        ("turns", {"phase": 3}, "expected a text"),
        ("decided", {"verifier": "guess"}, "exact, numeric, choice, math or code"),
        ("flaw", {"penalty": -1}, "at least 0"),
        ("improvement", {"alpha": True}, "finite number"),
        ("flip", {"change": "kept"}, "lost or gained"),
        ("estimate_gap", {"growth": 1.0}, "above 1"),
        ("persuaded", {"toward": "lies"}, "truth or wrong"),
        ("belief_change", {"role": "A", "pay": "max"}, "steps or net"),
        ("forecast", {"use": "best"}, "mean or last"),
    ],
)
def test_bad_settings(name, params, word):
    with pytest.raises(ValueError, match=word):
        make_rule(name, **params)


def test_every_new_rule_is_tested_here():
    old = {"win", "margin", "log_score", "brier", "judge_log_score", "agree", "truth", "honest", "correct"}
    old |= {"validity", "brevity", "format", "forged", "measure"}
    assert set(RULES) - old >= set(NEW)
