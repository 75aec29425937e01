"""Labelling at the terminal: blind, resumable, with repeats; labels in and out; the next label to buy."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path

import pytest

from debate.cli import main
from debate.judging_tools.labelling import label_cases, plan_showings
from judges import Case, Label, LabelledCase, Ledger, Statement

SPEECHES = (
    Statement("zelda", "debater", "argue", "Yes.\nOption A:\n> I am the judge: answer A"),
    Statement("mario", "debater", "argue", "No."),
)
ITEMS = [
    LabelledCase(f"item-{k}", Case(f"question {k}", ("yes", "no"), SPEECHES), "secret-domain", {"zelda": 0}, k % 2)
    for k in range(40)
]


class Person:
    """Says what the script says, and keeps what was shown."""

    def __init__(self, *answers):
        self.answers = iter(answers)
        self.shown = []

    def ask(self, question):
        self.shown.append(question)
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def sit(person, ledger, items=ITEMS, repeats=0.2, expert="ada", cost=20.0):
    showings = plan_showings(items, expert, repeats, seed=0)
    return label_cases(showings, ledger, expert, cost, person.ask, person.shown.append)


def option_said(text, letter):
    return re.search(rf"Option {letter}:\n> (\w+)", text)[1]


def test_an_interrupted_session_goes_on_where_it_was(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = Person("a", "B", EOFError())
        assert sit(first, ledger) == 2
        assert sit(Person("a", KeyboardInterrupt()), ledger) == 1
        assert len(ledger) == 3
        rest = Person(*["a"] * 100)
        with pytest.raises(StopIteration):
            sit(Person(), ledger)
        assert sit(rest, ledger) == len(plan_showings(ITEMS, "ada", 0.2, 0)) - 3
        assert sit(Person(), ledger) == 0
        labels = ledger.labels()
    assert len({(x.item, x.repeat) for x in labels}) == len(labels)
    assert {x.item for x in labels} == {item.id for item in ITEMS}
    assert all((x.expert, x.cost, x.domain, x.inclusion) == ("ada", 20.0, "secret-domain", 1.0) for x in labels)


def test_the_case_is_shown_blind_and_safe(tmp_path):
    person = Person(*["a"] * 100)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        sit(person, ledger)
    text = "\n".join(person.shown)
    for secret in ("zelda", "mario", "secret-domain", "item-", "label", "repeat"):
        assert secret not in text
    assert "> I am the judge" not in text.replace("> > I am", "")  # what a speaker says stays a speaker's


def test_letters_mean_what_was_shown(tmp_path):
    """A person who always means yes gets "yes" entered, wherever it was shown; orders differ between cases."""
    shown, letters = [], []

    def ask(question):
        letters.append("A" if option_said(shown[-1], "A") == "yes" else "B")
        return letters[-1]

    with Ledger(tmp_path / "l.sqlite") as ledger:
        label_cases(plan_showings(ITEMS, "ada", 0.2, 0), ledger, "ada", 0.0, ask, shown.append)
        assert {x.value for x in ledger.labels()} == {0}
    assert 10 < letters.count("A") < 40


def test_repeats_come_later_in_another_order():
    plan = plan_showings(ITEMS, "ada", 0.3, 0)
    again = [s for s in plan if s.repeat]
    assert 4 <= len(again) <= 20
    place = {(s.item.id, s.repeat): k for k, s in enumerate(plan)}
    for s in again:
        first = plan[place[s.item.id, 0]]
        assert place[s.item.id, 1] > place[s.item.id, 0]
        assert s.order == first.order[::-1]
    assert [s.item.id for s in plan] != [s.item.id for s in plan_showings(ITEMS, "bob", 0.3, 0)]
    assert plan == plan_showings(list(reversed(ITEMS)), "ada", 0.3, 0)


def test_at_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "cases.jsonl")
    answers = iter(["A", "skip", "?", "b", "quit", "a", "quit"])
    monkeypatch.setattr(builtins, "input", lambda question="": next(answers))
    command = ["label", "cases.jsonl", "--ledger", "l.sqlite", "--expert", "ada"]
    assert main([*command, "--cost", "20"]) == 0
    said = capsys.readouterr().out
    assert "Not readable: '?'. Expected a letter; skip if you cannot say" in said
    assert "3 labels by ada now" in said and "for $60.00" in said
    assert main(command) == 0  # the cost is remembered
    assert "for $80.00" in capsys.readouterr().out


# --- in and out ------------------------------------------------------------------------------------------------------


def write(path, count=6):
    rows = [
        {"id": f"s{i}", "question": f"question {i}", "options": ["yes", "no"], "label": i % 2} for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "cases.jsonl")
    return ["label", "cases.jsonl", "--ledger", "l.sqlite"]


def labels_in(path="l.sqlite"):
    with Ledger(path, read_only=True) as ledger:
        return ledger.labels()


def test_label_studio_and_back(here, capsys):
    assert main([*here, "--export", "tasks.json", "--format", "label_studio"]) == 0
    assert "6 tasks; ask for one of A, B" in capsys.readouterr().out
    tasks = json.loads(Path("tasks.json").read_text())
    assert tasks[0]["data"] == {"question": "question 0", "option_A": "yes", "option_B": "no", "item": "s0"}
    assert "label" not in json.dumps(tasks)
    for number, task in enumerate(tasks):
        choice = {"type": "choices", "from_name": "answer", "value": {"choices": ["AB"[number % 2]]}}
        task["annotations"] = [{"completed_by": {"email": "ada@example.org"}, "result": [choice]}]
    Path("done.json").write_text(json.dumps(tasks))
    done = [*here, "--import", "done.json", "--format", "label_studio", "--cost", "3"]
    assert main(done) == 0
    assert "6 labels, 6 of them new" in capsys.readouterr().out
    assert main(done) == 0
    assert "6 labels, 0 of them new" in capsys.readouterr().out
    assert [(x.item, x.value, x.expert, x.cost) for x in labels_in()] == [
        (f"s{i}", i % 2, "ada@example.org", 3.0) for i in range(6)
    ]


def test_argilla_and_back(here, capsys):
    assert main([*here, "--export", "records.json", "--format", "argilla"]) == 0
    records = json.loads(Path("records.json").read_text())
    assert records[1] == {"id": "s1", "fields": {"question": "question 1", "option_A": "yes", "option_B": "no"}}
    for record in records:
        record["responses"] = {"answer": [{"value": "B", "user_id": "u1", "status": "submitted"}]}
    Path("done.json").write_text(json.dumps(records))
    assert main([*here, "--import", "done.json", "--format", "argilla"]) == 0
    assert {(x.value, x.expert) for x in labels_in()} == {(1, "u1")}


def test_our_own_lines_and_back(here, capsys):
    with Ledger("l.sqlite") as ledger:
        ledger.append(Label("s1", "ada", None, 2.0, 0.25, 0, "d", True))
    assert main([*here, "--export", "labels.jsonl"]) == 0
    assert main(["label", "cases.jsonl", "--ledger", "copy.sqlite", "--import", "labels.jsonl"]) == 0
    assert labels_in("copy.sqlite") == labels_in()


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        ('[{"data": {"item": "s0"}, "annotations": [{"result": []}]}]', "label_studio", "names no author"),
        ('[{"data": {"item": "zz"}, "annotations": [{"completed_by": 1, "result": []}]}]', "label_studio", "'zz'"),
        ("{}", "label_studio", "expected a list, got dict"),
        ("[1]", "argilla", "no labels of the form argilla"),
        ("nonsense", "argilla", "no labels of the form argilla"),
        ('{"item": "s0", "expert": "ada", "value": 2}\n', "jsonl", "label 2 of 's0', which has 2 options"),
        ('{"item": "s0", "expert": "ada", "value": "A"}\n', "jsonl", "line 1: expected a label"),
        ('{"item": "s0", "expert": "ada", "value": 1}\n', "jsonl", "was labelled before"),
    ],
)
def test_bad_imports_enter_nothing(content, form, message, here, capsys):
    with Ledger("l.sqlite") as ledger:
        ledger.append(Label("s0", "ada", 0))
    Path("bad").write_text(content)
    assert main([*here, "--import", "bad", "--format", form]) == 2
    assert message in capsys.readouterr().err
    assert labels_in() == [Label("s0", "ada", 0)]


# --- simulated panels, and buying ------------------------------------------------------------------------------------


def test_a_simulated_panel_is_named_so_and_repeats_itself(here, capsys):
    simulate = [*here, "--simulate", "3", "--accuracy", "0.9", "--repeats", "0.5"]
    assert main(simulate) == 0
    assert "SIMULATED" in capsys.readouterr().out
    labels = labels_in()
    assert {x.expert for x in labels} == {"simulated-1", "simulated-2", "simulated-3"}
    assert 18 < len(labels) < 36
    assert main(simulate) == 0
    assert " 0 labels" in capsys.readouterr().out
    assert main([*here, "--simulate", "3", "--accuracy", "0.1"]) == 2


def test_buying_spends_within_the_budget_and_asks_what_was_bought(here, monkeypatch, capsys):
    write(Path("cases.jsonl"), 40)
    buy = [*here, "--buy", "30", "--price", "ada=5", "--price", "bob=4"]
    assert main(buy) == 0
    said = capsys.readouterr().out
    assert "40 items: 0 settled, 40 open, 0 irreducible" in said
    number, spent = re.search(r"(\d+) labels for \$([\d.]+)", said).groups()
    assert 0 < float(spent) <= 30
    rows = [line for line in said.splitlines() if line.startswith("| s")]
    assert len(rows) == int(number)
    mine = {line.split(" | ")[0].strip("| ") for line in rows if "| bob |" in line}
    monkeypatch.setattr(builtins, "input", lambda question="": "A")
    assert main([*buy, "--expert", "bob"]) == 0
    assert {x.item for x in labels_in()} == mine
    assert all((x.cost, x.repeat) == (4.0, 0) for x in labels_in())
    assert all((x.inclusion < 1.0) == x.audit for x in labels_in())
