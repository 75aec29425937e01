"""The JSON Schema of protocol files: what ships validates, and what the schema refuses the loader refuses too."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from debate.cli import main
from debate.errors import UserError
from debate.protocol.load import CATALOGUE, find_protocol, parse_protocol, shipped
from debate.protocol.schema import protocol_schema
from debate.reader import parse_yaml

GOOD = """\
name: everything
parameters: {rounds: 2, words: 9, sees: [question, public]}
roles:
  red:
    seats: [R]
    sees: [question, options, answer, secret]
    prompt: {chat: "{question}", compact: "?"}
    options: {cite: Cite., ask: {chat: Ask., compact: "!"}}
  blue: {count: 2, sees: question, answers: none, trained: false, prompt: Hello.}
  green: {sees: [answer, options, question], answers: opposes, opposes: red, alias: somebody}
channels: {back: {readers: [red], writers: [red, blue]}}
schedule:
  - {kind: chance, choices: [a, b], probabilities: [0.5, 0.5], phase: coin, channel: back}
  - {roles: red, kind: choice, choices: options, binds: answer, phase: bind}
  - {roles: [red, blue], phase: talk, words: {limit: 5, accept: 7}, quotes: 1, repeat: $rounds, until: {played: coin}}
  - {roles: red, phase: plan, options: true, show_option: true, think_tokens: 5, words: $words, parts: 3}
  - {roles: red, phase: copy, recall: talk, visibility: private, final: true}
  - {roles: [red, green], phase: pitch, best_of: {n: $rounds, by: R, instruction: Pick one.}}
  - {roles: red, phase: plea, refine: {critics: 2, times: 1, by: [green], tokens: 9, words: 5, revision: Again.}}
  - recurse:
      depth: 2
      into: [{roles: red, phase: claims, parts: 2}, {roles: green, kind: choice, choices: {parts_of: claims}}]
    until: {anyof: [{phase: claims, is: x}, {all: [{agreed: talk}, {not: {phase: bind, any: "yes"}}]}]}
  - slots: [{roles: green, kind: choice, choices: ["0.1", "0.9"], phase: odds}]
    repeat: 2
    when: {says: secret, role: blue}
  - {kind: chance, choices: ["1", "0"], probabilities: {from: odds}, when: {verified: red, verifier: exact}}
  - {roles: green, kind: decision}
decision: {by: vote, sees: $sees, options: [holds, fails], question: "{claim}?", about: red, ties: first}
budgets: {tokens: 100, think_tokens: 10, words: 50, quotes: 3, verifier_calls: 1}
rewards:
  win: {rule: win, utility: zero_sum, roles: [red]}
  brevity: {budget: 5}
finite: false
"""


def validator():
    schema = protocol_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", shipped())
def test_what_ships_validates(name):
    data = yaml.safe_load(find_protocol(name).read_text(encoding="utf-8"))
    assert [e.message for e in validator().iter_errors(data)] == []


def test_the_schema_knows_the_whole_grammar():
    assert list(validator().iter_errors(yaml.safe_load(GOOD))) == []
    assert parse_protocol(parse_yaml(GOOD, "good.yaml"), {}).seats == ("R", "blue_1", "blue_2", "green")


@pytest.mark.parametrize(
    "change",
    [
        ("name: everything", "nam: everything"),
        ("name: everything", "name: 3"),
        ("name: everything\n", ""),
        ("kind: choice, choices: options", "kind: choise, choices: options"),
        ("best_of: {n: $rounds", "best_of: {m: $rounds"),
        ("best_of: {n: $rounds", "best_of: {n: 0"),
        ("refine: {critics: 2", "refine: {critics: many"),
        ("refine: {critics: 2, times: 1", "refine: {critics: 2, times: -1"),
        ("kind: decision}", "kind: decision, best_of: {n: 2}}"),
        ("recall: talk", "recall: talk, refine: {}"),
        ("kind: choice, choices: options, binds: answer", "kind: choice"),
        ("binds: answer", "binds: it"),
        ("repeat: $rounds, ", ""),
        ("quotes: 1", "quotes: -1"),
        ("quotes: 1", "quotes: one"),
        ("limit: 5, accept: 7", "limit: 5"),
        ("sees: [question, options, answer, secret]", "sees: [question, everything]"),
        ("answers: none", "answers: some"),
        ("trained: false", "trained: 7"),
        ("count: 2", "count: 0"),
        ('{chat: Ask., compact: "!"}', '{chat: Ask., small: "!"}'),
        ("visibility: private", "visibility: hidden"),
        ("probabilities: [0.5, 0.5]", "probabilities: [0.5, 1.5]"),
        ("{kind: chance, choices: [a, b]", "{kind: chance, roles: red, choices: [a, b]"),
        ("roles: [red, blue], phase: talk", "phase: talk"),
        ("roles: red, phase: copy", "roles: red, phase: copy, probabilities: [1]"),
        ("{roles: green, kind: decision}", "{roles: green, kind: decision, words: 5}"),
        ("choices: {parts_of: claims}", "choices: {part_of: claims}"),
        ("depth: 2\n      into", "into"),
        ("{played: coin}", "{happened: coin}"),
        ("{played: coin}", "{played: coin, agreed: talk}"),
        ("{phase: claims, is: x}", "{phase: claims}"),
        ("{says: secret, role: blue}", "{says: secret}"),
        ("{says: secret, role: blue}", "{says: hello, role: blue}"),
        ("verifier: exact", "verifier: close"),
        ("{anyof: [{", "{anyof: [], never: [{"),
        ("by: vote", "by: chance"),
        ("ties: first", "ties: last"),
        ("decision: {by: vote, ", "decision: {"),
        ("rule: win", "rule: winn"),
        ("utility: zero_sum", "utility: zero"),
        ("tokens: 100", "tokens: many"),
        ("verifier_calls: 1", "verifiers: 1"),
        ("finite: false", "finite: maybe"),
        ("readers: [red]", "reader: [red]"),
    ],
    ids=lambda change: f"{change[0][:24]} → {change[1][:24]}",
)
def test_a_mistake_fails_in_both(change):
    assert change[0] in GOOD
    text = GOOD.replace(*change, 1)
    assert list(validator().iter_errors(yaml.safe_load(text)))
    with pytest.raises(UserError):
        parse_protocol(parse_yaml(text, "bad.yaml"), {})


def test_every_field_the_schema_names_is_one_the_loader_knows():
    definitions = protocol_schema()["$defs"]
    for name, places in {
        "slot": "schedule[2]",
        "role": "roles.red",
        "decision": "decision",
        "budgets": "budgets",
    }.items():
        with pytest.raises(UserError) as refused:
            marked = {
                "slot": ("phase: talk", "phase: talk, zzz: 1"),
                "role": ("seats: [R]", "seats: [R]\n    zzz: 1"),
                "decision": ("by: vote", "by: vote, zzz: 1"),
                "budgets": ("tokens: 100", "tokens: 100, zzz: 1"),
            }[name]
            parse_protocol(parse_yaml(GOOD.replace(*marked), "bad.yaml"), {})
        message = str(refused.value)
        assert places in message and "zzz: unknown field" in message
        known = set(message.rpartition("expected among ")[2].split(", "))
        expected = set(definitions[name]["properties"])
        assert known <= expected, f"the loader takes {known - expected}, which the schema does not name"


def test_hints_come_from_the_docstrings():
    slot = protocol_schema()["$defs"]["slot"]["properties"]
    assert slot["binds"]["description"] == "the pick becomes the answer the seat defends."
    assert sum("description" in schema for schema in slot.values()) > 15


def test_the_command_prints_the_schema_that_ships(capsys):
    assert main(["protocols", "schema"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == protocol_schema()
    shipped_file = CATALOGUE / "protocol.schema.json"
    assert shipped_file.read_text(encoding="utf-8") == printed, "run: debate protocols schema > that file"
