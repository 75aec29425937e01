"""Protocol files: what ships loads, and every mistake names file, line, field and what was expected."""

from __future__ import annotations

import pytest

from debate.errors import UserError
from debate.protocol.load import load_protocol, parse_protocol, shipped
from debate.reader import parse_yaml

GOOD = """\
name: tiny
roles:
  speaker: {seats: [A, B], sees: [question, options, answer], answers: by_seat, prompt: "{question} {answer}"}
  clerk: {sees: [question]}
channels:
  back: {readers: [speaker], writers: [speaker]}
schedule:
  - {roles: speaker, phase: talk, tokens: 8}
  - {roles: A, phase: plan, channel: back}
decision: {by: judge, sees: [question, public]}
rewards:
  win: {rule: win, utility: zero_sum}
"""


def load(text, **parameters):
    return parse_protocol(parse_yaml(text, "tiny.yaml"), parameters)


def test_what_ships_loads_with_seats_slots_and_criteria():
    assert {
        "evidence_debate",
        "evidence_consultancy",
        "debate_simultaneous",
        "debate_sequential",
        "self_critique",
        "direct",
    } <= set(shipped())
    for name in shipped():
        protocol = load_protocol(name)
        assert protocol.name == name and protocol.seats and protocol.schedule and protocol.source and protocol.summary


def test_parameters_unroll_the_schedule():
    assert len(load_protocol("evidence_debate", {"k": 3}).longest()) == 6
    assert [len(s.seats) for s in load_protocol("debate_sequential").longest()] == [2, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("tokens: 8", "tokns: 8"), r'tiny\.yaml:8: schedule\[0\]\.tokns: unknown field \(did you mean "tokens"\?\)'),
        (
            ("tokens: 8", "tokens: eight"),
            r"tiny\.yaml:8: schedule\[0\]\.tokens: expected a whole number, got str 'eight'",
        ),
        (("tokens: 8", "kind: speach"), r'schedule\[0\]\.kind: .*did you mean "speech"'),
        (("tokens: 8", "kind: choice"), r"'choices' is missing"),
        (("tokens: 8", "reveal: true"), r"reveal: only a choice among items"),
        (("name: tiny", "nme: tiny"), r"field 'name' is missing.*\(is \"nme\" meant for it\?\)"),
        (
            ("{roles: A,", "{roles: clerk,"),
            r"schedule\[1\]\.channel: role 'clerk' may not write to 'back': its writers are speaker",
        ),
        (
            ("clerk: {", "clerk: {reads: [back], "),
            r"roles\.clerk\.reads\[0\]: role 'clerk' may not read channel 'back'",
        ),
        (("sees: [question, public]", "sees: [back]"), r"decision\.sees\[0\]: the judge may not read channel 'back'"),
        (("{question} {answer}", "{sekret}"), r"unknown placeholder \{sekret\} \(did you mean \"secret\""),
        (("{question} {answer}", "{secret}"), r"\{secret\} is shown, but the role does not see"),
        (("sees: [question, options, answer]", "sees: [question]"), r"defends an assigned answer, so it must see it"),
        (("rule: win,", "rule: wins,"), r'rewards\.win\.rule: .*did you mean "win"'),
        (("rule: win,", "rule: brevity, budget: -1,"), r"rewards\.win: reward rule 'brevity': budget"),
        (("rule: win,", "rule: brevity, budget: .nan,"), r"budget"),
        (("utility: zero_sum", "utility: zero"), r'did you mean "zero_sum"'),
        (("by: judge", "by: seat"), r"no slot of kind: decision"),
        (("decision:", "finite: true\ndecision:"), r"finite: declared true, but a slot holds free words"),
        (("tokens: 8", "tokens: $t"), r"no parameter 't'"),
        (("seats: [A, B]", "seats: [A, A]"), r"seat 'A' is given twice"),
        (("name: tiny", "name: tiny\nname: tiny"), r"tiny\.yaml:2: name: given twice"),
        (("name: tiny", "name: [tiny"), r"tiny\.yaml:\d+: not YAML"),
    ],
)
def test_a_mistake_is_named(change, message):
    with pytest.raises(UserError, match=message):
        load(GOOD.replace(*change))


def test_the_good_file_is_good():
    assert load(GOOD).seats == ("A", "B", "clerk")


def test_unknown_names_get_a_hint():
    with pytest.raises(UserError, match='did you mean "evidence_debate"'):
        load_protocol("evidense_debate")
    with pytest.raises(UserError, match=r"no parameter 'kk' \(did you mean \"k\"|no parameter 'kk'"):
        load_protocol("evidence_debate", {"kk": 1})
