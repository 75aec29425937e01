"""The judge's commands end to end, in this process, with scripted judges."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.cli import main
from debate.judging_tools.cases import in_turn, read_cases, write_cases
from debate.judging_tools.named import KeptAnswers, longer_output, model_identity, named_judge
from judges import Case, Certificate, Completion, HumanJudge, LabelledCase, Message, Quote, Request, Statement
from judges.charter.trust import check_trust

GAUGE = ["--ratings", "panel.sqlite", "--blind", "--no-own-texts", "--seals", "seals.jsonl"]


def write_simulated(path, first=0, count=200, **more):
    """Simulated cases: questions that are told apart, two options, a label."""
    rows = [
        {"id": f"s{i}", "question": f"simulated question {i}", "options": ["yes", "no"], "label": i * 7 % 5 % 2, **more}
        for i in range(first, first + count)
    ]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with simulated cases, and a machine that has gauged nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEBATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEBATE_DATA", raising=False)
    write_simulated("cases.jsonl")
    return tmp_path


@pytest.fixture
def panel(here, capsys):
    """The same with a simulated panel."""
    assert main(["label", "cases.jsonl", "--ledger", "panel.sqlite", "--simulate", "3"]) == 0
    assert "3 SIMULATED experts, none of a person" in capsys.readouterr().out
    return here


# --- gauge, bless, audit, revoke -------------------------------------------------------------------------------------


def test_blessed_then_revoked(panel, capsys):
    assert main(["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE, "--certificate", "judge.json"]) == 0
    said = capsys.readouterr().out
    assert "BLESSED" in said and "SIMULATED panel: says nothing about people" in said
    assert "agreement 95.0%, beside 60.0% of the best constant judge" in said
    judge = named_judge("simulated:0.95", read_cases("cases.jsonl"))
    assert check_trust(judge, Path("judge.json"), 0).problems == (
        "its panel was SIMULATED: no person has rated anything",
    )
    assert check_trust(judge, Path("judge.json"), 0, "simulated").allowed
    assert "SIMULATED" in Path("judge.json").read_text(encoding="utf-8")

    write_simulated("later.jsonl", 1000, 300)
    assert main(["audit", "judge.json", "later.jsonl", "--judge", "simulated:0.95", "--checkpoint", "70"]) == 0
    assert "STANDS" in capsys.readouterr().out
    assert main(["audit", "judge.json", "later.jsonl", "--judge", "simulated:0.95,0.5", "--checkpoint", "90"]) == 1
    said = capsys.readouterr().out
    assert "agreement with experts fell under 0.75" in said
    assert "quarantined: rewards of policy checkpoints 71 to 90" in said
    held = check_trust(judge, Path("judge.json"), 0)
    assert not held.allowed and "it was revoked" in held.problems[0]
    assert main(["audit", "judge.json", "later.jsonl", "--judge", "simulated:0.95"]) == 2
    assert "it was revoked" in capsys.readouterr().err
    rows = [json.loads(line) for line in Path("judge.audits.jsonl").read_text().splitlines()]
    assert [(row["checkpoint"], bool(row["reasons"])) for row in rows] == [(70, False), (90, True)]


def test_another_judge_is_not_certified(panel, capsys):
    main(["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE, "--certificate", "judge.json"])
    assert main(["audit", "judge.json", "cases.jsonl", "--judge", "longer_output"]) == 1
    assert "the judge's version has changed" in capsys.readouterr().out


def test_a_panel_of_other_judges_that_disagrees_revokes(panel, capsys):
    main(["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE, "--certificate", "judge.json"])
    audit = ["audit", "judge.json", "cases.jsonl", "--judge", "simulated:0.95", "--panel"]
    assert main([*audit, "simulated:0.9"]) == 0
    assert main([*audit, "simulated:0.1"]) == 1
    assert "agreement with the cross-family panel fell" in capsys.readouterr().out


def test_reward_that_rises_alone_revokes(panel, capsys):
    """In the second half the side that speaks first always wins, and is right half of the time."""
    from debate.judging_tools.auditing import Audited, reward_windows
    from debate.judging_tools.played import Played
    from judges import Verdict

    def row(k):
        late = k >= 100
        verdict = Verdict("j", (0.9, 0.1) if late or k % 2 else (0.1, 0.9))
        item = LabelledCase(f"i{k}", Case("q", ("yes", "no")), defends={"A": 0, "B": 1})
        return Audited(Played(item, {}, k // 10), verdict, True, 1.0, (k + 1) % 2)

    windows = reward_windows([row(k) for k in range(200)])
    assert len(windows) == 6
    assert windows[0].raw == pytest.approx(0.5) and windows[0].corrected == pytest.approx(0.5)
    assert windows[-1].raw == pytest.approx(0.9) and windows[-1].corrected == pytest.approx(0.5)
    from judges import Certificate, Evidence, revoke

    main(["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE, "--certificate", "judge.json"])
    certificate = Certificate.load(Path("judge.json"))
    judge = named_judge("simulated:0.95", read_cases("cases.jsonl"))
    found = revoke(certificate, Evidence(judge, 19, windows=windows))
    assert "the judge's mean rose" in found.reasons[0]


def test_refusals_leave_no_certificate(panel, capsys):
    refused = ["--labels", "cases.jsonl", *GAUGE, "--certificate", "no.json"]
    for name, reason in (
        ("simulated:0.7", "agreement/all"),
        ("constant", "agreement/all"),
        ("longer_output", "attack/"),
    ):
        assert main(["gauge", name, *refused]) == 1
        said = capsys.readouterr().out
        assert reason in said.partition("REFUSED:")[2]
        assert "of the best constant judge" in said
        assert not Path("no.json").exists()
    assert main(["gauge", "naive_evidence", "--labels", "cases.jsonl", *GAUGE]) == 0


def test_a_split_is_sealed_and_a_panel_is_needed(panel, capsys):
    arguments = ["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE, "--certificate", "judge.json"]
    assert main(arguments) == 0
    assert main(arguments) == 1
    assert "has been gauged on 200 of these 200 items before" in capsys.readouterr().out.partition("REFUSED:")[2]
    bare = ["gauge", "simulated:0.95", "--labels", "cases.jsonl", "--report", "report.md"]
    assert main(bare) == 0
    reasons = capsys.readouterr().out.partition("REFUSED:")[2]
    for check in ("panel", "blind", "repeats", "alpha", "alt_test", "self_preference"):
        assert f"- {check}, asked" in reasons
    assert "no expert ratings" in reasons
    assert "REFUSED" in Path("report.md").read_text(encoding="utf-8")
    assert (panel / "home" / "seals.jsonl").is_file()


def test_a_limit_seals_its_items_and_no_other_limit_unseals_them(panel, capsys):
    arguments = ["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE]
    assert main([*arguments, "--limit", "150"]) == 0
    assert "covers these 150 items" in capsys.readouterr().out
    assert main([*arguments, "--limit", "180"]) == 0
    said = capsys.readouterr().out
    assert "gauged on 150 of these 180 items before" in said and "REFUSED" in said


def test_gates_of_your_own_stand_in_the_certificate(panel):
    gates = ["--gate", "agreement=0.9", "--gate", "checkpoints=5..7", "--gate", "days=3"]
    arguments = ["gauge", "simulated:0.97", "--labels", "cases.jsonl", *GAUGE, *gates, "--certificate", "judge.json"]
    assert main(arguments) == 0
    certificate = Certificate.load(Path("judge.json"))
    assert certificate.terms["agreement"] == 0.9
    assert certificate.checkpoints == (5, 7)


def test_attack_table(here, capsys):
    rows = [{"id": f"t{i}", "question": f"q {i}", "options": ["long " * (i + 2), "short"]} for i in range(160)]
    Path("texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["attack", "longer_output", "--labels", "texts.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "| empty | 160 | 0 | 0 | 0.0185 | yes | 0 of 160 |" in said  # the constant judge's stand beside
    assert (
        "flips of the constant judge" in said
        and "| swapped_answers | 160 | 0 | 0 | 0.0185 | yes | 160 of 160 |" in said
    )
    assert "agreement unknown: no judged case has a label; so is the constant judge's" in said
    labelled = [{**row, "label": int(i % 4 == 0)} for i, row in enumerate(rows)]
    Path("labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labelled))
    assert main(["attack", "longer_output", "--labels", "labelled.jsonl", "--attack", "empty"]) == 0
    beside = "agreement 75.0%, beside 75.0% of the best constant judge, on 160 judged cases"
    assert beside in capsys.readouterr().out
    passed = said.partition("passed the judge: ")[2].splitlines()[0]
    assert "instructions" in passed and "empty" not in passed
    assert main(["attack", "longer_output", "--labels", "texts.jsonl", "--attack", "empty", "--limit", "20"]) == 0
    said = capsys.readouterr().out
    assert "for want of cases (149 without a flip are needed): empty" in said
    assert "instructions" not in said


# --- bad input -------------------------------------------------------------------------------------------------------

CASE = '{"id": "a", "case": {"question": "q", "options": ["x", "y"]}'
BAD_CASES = [
    ("", "holds no cases"),
    ("not json\n", "bad.jsonl:1: not JSON"),
    ("[1]\n", "expected a JSON object"),
    ('{"id": "a", "question": "q"}\n', "a case needs two or more options"),
    ('{"id": "a", "question": "q", "options": ["x", "y"], "label": 2}\n', "label must be an option or its index 0…1"),
    (CASE + ', "lable": 1}\n', "unknown field 'lable' (did you mean \"label\"?)"),
    (CASE + ', "label": true}\n', "label must be the index of an option, 0…1: True"),
    (CASE + ', "defends": {"A": 7}}\n', "A must be the index of an option, 0…1: 7"),
    (CASE + "}\n" + CASE + "}\n", "id 'a' stands at case 1 and again at case 2"),
    ('{"id": "a", "case": {"question": "q", "options": ["x"]}}\n', "'case.options' must be a list of two or more"),
    ('{"id": "a", "case": {"question": "q", "options": ["x", "y"], "statements": [{}]}}\n', "a statement needs"),
    ('{"case": {"question": "q", "options": ["x", "y"]}}\n', "field 'id' is needed"),
]


@pytest.mark.parametrize(("text", "message"), BAD_CASES)
def test_bad_cases(text, message, here, capsys):
    Path("bad.jsonl").write_text(text, encoding="utf-8")
    assert main(["gauge", "constant", "--labels", "bad.jsonl"]) == 2
    assert message in capsys.readouterr().err


BAD_COMMANDS = [
    (["gauge", "simulate:0.9", "--labels", "cases.jsonl"], "a judge is naive_evidence, constant"),
    (["gauge", "smollm2-135", "--labels", "cases.jsonl"], 'did you mean "smollm2-135m"'),
    (["gauge", "smollm2-135m", "--labels", "cases.jsonl"], "debate models pull smollm2-135m"),
    (["gauge", "simulated:1.5", "--labels", "cases.jsonl"], "expected accuracies such as simulated:0.95"),
    (["gauge", "simulated", "--labels", "cases.jsonl"], "expected accuracies such as simulated:0.95"),
    (["gauge", "constant", "--labels", "absent.jsonl"], "absent.jsonl: no such file"),
    (["gauge", "constant", "--labels", "llmbar"], "set the environment variable DEBATE_DATA"),
    (["gauge", "constant", "--labels", "."], "neither the folder of a run nor one with LLMBar's files"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--ratings", "cases.jsonl"], "no readable labels"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--ratings", "absent"], "absent: no such file"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--gate", "tau=1"], "expected NAME=VALUE"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--gate", "agreement=2"], "between 0 and 1, got 2"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--gate", "agreement=high"], "expected a number"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--gate", "checkpoints=5"], "expected a range"),
    (["gauge", "constant", "--labels", "cases.jsonl", "--certificate", "no/where.json"], "expected a file in a folder"),
    (["attack", "constant", "--labels", "cases.jsonl", "--attack", "emty"], 'did you mean "empty"'),
    (["audit", "absent.json", "cases.jsonl", "--judge", "constant"], "no readable certificate"),
    (["audit", "cases.jsonl", "cases.jsonl", "--judge", "constant"], "no readable certificate"),
    (["label", "cases.jsonl", "--ledger", "l.sqlite"], "who labels? give --expert NAME"),
    (["label", "cases.jsonl", "--ledger", "cases.jsonl", "--expert", "ada"], "not a ledger"),
    (["label", "cases.jsonl", "--ledger", "no/l.sqlite", "--expert", "ada"], "no: no such folder"),
    (["label", "cases.jsonl", "--ledger", "l.sqlite", "--expert", "simulated-1"], "kept for simulations"),
    (["label", "cases.jsonl", "--ledger", "l.sqlite", "--buy", "10"], "--price EXPERT=DOLLARS"),
    (["label", "cases.jsonl", "--ledger", "l.sqlite", "--buy", "10", "--price", "ada=free"], "dollars above 0"),
    (["label", "cases.jsonl", "--ledger", "l.sqlite", "--import", "x", "--export", "y"], "one thing at a time"),
    (["label", "cases.jsonl", "--ledger", "l.sqlite", "--import", "absent.jsonl"], "absent.jsonl: no such file"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_COMMANDS)
def test_bad_commands(arguments, message, here, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("debate: ") and message in said
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--limit", "x"], ["--rows", "-1"], ["--device", "tpu"]])
def test_bad_numbers(arguments, here, capsys):
    with pytest.raises(SystemExit) as left:
        main(["gauge", "constant", "--labels", "cases.jsonl", *arguments])
    assert left.value.code == 2


def test_ratings_of_other_cases(here, capsys):
    write_simulated("other.jsonl", 5000)
    main(["label", "other.jsonl", "--ledger", "other.sqlite", "--simulate", "3"])
    assert main(["gauge", "constant", "--labels", "cases.jsonl", "--ratings", "other.sqlite"]) == 2
    assert "labels is of any of these 200 cases" in capsys.readouterr().err


def test_an_audit_needs_a_judge_for_bare_cases(panel, capsys):
    main(["gauge", "simulated:0.95", "--labels", "cases.jsonl", *GAUGE, "--certificate", "judge.json"])
    assert main(["audit", "judge.json", "cases.jsonl"]) == 2
    assert "name the judge to ask with --judge" in capsys.readouterr().err
    whole = json.loads(Path("judge.json").read_text())
    Path("judge.json").write_text(json.dumps({**whole, "expires": "2999-01-01"}))
    assert main(["audit", "judge.json", "cases.jsonl", "--judge", "simulated:0.95"]) == 2
    assert "changed after it was issued" in capsys.readouterr().err


# --- cases and judges ------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
QUOTES = st.builds(
    Quote, WORDS, st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)), st.sampled_from([True, False, None])
)
STATEMENTS = st.builds(Statement, WORDS.filter(bool), WORDS, WORDS, WORDS, st.lists(QUOTES, max_size=2).map(tuple))
CASES = st.builds(
    Case, WORDS, st.lists(WORDS, min_size=2, max_size=4).map(tuple), st.lists(STATEMENTS, max_size=3).map(tuple), WORDS
)


@settings(max_examples=50)
@given(st.lists(CASES, min_size=1, max_size=4), st.sampled_from([0, 1, None]))
def test_cases_survive_their_file(tmp_path_factory, cases, label):
    path = tmp_path_factory.mktemp("cases") / "cases.jsonl"
    items = [LabelledCase(f"i{k}", case, "d", {"A": 1}, label, None) for k, case in enumerate(cases)]
    assert write_cases(path, items) == len(items)
    assert read_cases(str(path)) == items


def test_a_limit_keeps_every_domain():
    items = [LabelledCase(f"i{k}", Case("q", ("a", "b")), "big" if k < 90 else "small") for k in range(100)]
    chosen = in_turn(items, 12)
    assert [i.id for i in chosen] == [f"i{k}" for k in [*range(6), *range(90, 96)]]
    assert in_turn(items, 500) == items


def test_longer_output():
    assert longer_output(Case("q", ("a", "bbb"))) == [0.0, 1.0]
    assert longer_output(Case("q", ("aa", "bb"))) == [0.5, 0.5]
    assert longer_output(Case("q", ("a", "b"), (Statement("A", "debater", "argue", "x"),))) is None


def test_a_person_is_asked_one_case_after_the_other(monkeypatch):
    from debate.judging_tools.named import TerminalJudge

    asked = []

    def ask(question):
        asked.append(question)
        return "A" if question.startswith("Answer") else "because"

    judge = TerminalJudge(HumanJudge(ask=ask, show=lambda text: None))
    verdicts = asyncio.run(judge.judge_many([Case("q", ("a", "b"))] * 3))
    assert [v.answer for v in verdicts] == [0, 0, 0]
    assert [q.split()[0] for q in asked] == ["Answer", "Why?"] * 3


def test_other_weights_are_another_judge(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    names = set()
    for content in (b"one", b"two"):
        (tmp_path / "model.safetensors").write_bytes(content)
        names |= {model_identity(str(tmp_path), dtype) for dtype in ("float32", "bfloat16")}
    assert len(names) == 4


def test_a_call_that_was_answered_is_not_made_again(tmp_path):
    asked = []

    async def engine(requests):
        asked.extend(requests)
        return [Completion(text=request.messages[0].text) for request in requests]

    kept = KeptAnswers(engine, tmp_path / "calls.sqlite", "engine", 3)
    requests = [Request((Message("user", str(k)),)) for k in range(8)]
    first = asyncio.run(kept(requests))
    assert [answer.text for answer in first] == [str(k) for k in range(8)]
    assert asyncio.run(kept(requests[::-1])) == first[::-1]
    assert len(asked) == 8


def test_the_parser_costs_nothing():
    code = "import sys, debate.cli; debate.cli.parser(); print([m for m in sys.modules if m in sys.argv[1:]])"
    heavy = ["torch", "numpy", "scipy", "transformers", "sqlite3", "yaml"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
