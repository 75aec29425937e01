"""`check_protocol`: what loads but cannot be meant is found, and what ships passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from debate import check_protocol
from debate.protocol.load import load_protocol, parse_protocol, shipped
from debate.protocol.spec import Prompt
from debate.reader import parse_yaml

GOOD = """\
name: small
roles:
  red: {sees: [question, options, answer], answers: by_seat}
  blue: {sees: [question, options, answer], answers: opposes, opposes: red}
  green: {sees: [question, options]}
schedule:
  - {roles: [red, blue], phase: talk}
  - repeat: 3
    until: {phase: more, is: stop}
    slots:
      - {roles: red, phase: reply}
      - {roles: green, kind: choice, choices: [go, stop], phase: more}
  - {roles: green, kind: decision, phase: vote}
decision: {by: seat}
rewards:
  win: {rule: win, utility: zero_sum}
  score: {rule: brier, roles: [green]}
"""


def found(*changes):
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return [str(finding) for finding in check_protocol(parse_protocol(parse_yaml(text, "small.yaml"), {}))]


@pytest.mark.parametrize("name", shipped())
def test_what_ships_passes(name):
    assert [str(f) for f in check_protocol(load_protocol(name)) if f.level == "error"] == []


def test_the_good_one_is_good():
    assert found() == []


ALL = "[red, blue, green]"
LATE = "  - {roles: green, kind: decision, phase: vote}\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [("phase: talk}", "phase: talk, when: {played: vote}}")],
            "error order: slot 0 (talk): when asks about 'vote', which only comes later",
        ),
        (
            [("until: {phase: more, is: stop}", "until: {played: vote}")],
            "error order: the block from slot 1 (reply) on: until asks about 'vote', which only comes later",
        ),
        (
            [("is: stop", "is: halt")],
            "error unreachable: the block from slot 1 (reply) on: until: 'halt' cannot be picked in 'more'",
        ),
        (
            [(LATE, LATE + "  - {roles: red, phase: never, when: {phase: more, is: maybe}}\n")],
            "error unreachable: slot 4 (never): no one of 48 random matches came to it",
        ),
        (
            [("until: {phase: more, is: stop}", "until: {all: [{played: more}, {not: {played: talk}}]}")],
            "warning never_left: no one of 48 random matches left a block early: does until ever hold?",
        ),
        (
            [("green: {sees: [question, options]}", "green: {sees: [question]}")],
            "error blind_decision: slot 3 (vote): 'green' decides, but its role does not see the options",
        ),
        (
            [("green: {sees: [question, options]}", "green: {sees: [options]}")],
            "error blind_decision: slot 3 (vote): 'green' decides, but its role does not see the question",
        ),
        (
            [
                ("schedule:", "channels: {back: {readers: [red, blue], writers: [red, blue]}}\nschedule:"),
                ("phase: talk}", "phase: talk, channel: back}"),
                ("phase: reply}", "phase: reply, channel: back}"),
            ],
            "error blind_decision: slot 3 (vote): 'green' decides, but it can read nothing of what is said before",
        ),
        (
            [
                (
                    "schedule:",
                    "channels: {back: {readers: [red, blue, green], writers: [red, blue, green]}}\nschedule:",
                ),
                ("phase: talk}", "phase: talk, channel: back}"),
                ("phase: reply}", "phase: reply, channel: back}"),
                ("phase: more}", "phase: more, channel: back}"),
                ("by: seat", "by: judge"),
            ],
            "error blind_decision: the judge decides, but it can read nothing of what is said",
        ),
        (
            [("roles: [green]}", "roles: [red]}")],
            "error unpaid: criterion 'score': rule 'brier' paid nobody in 48 random matches",
        ),
        (
            [("win: {rule: win, utility: zero_sum}", "margin: {rule: log_score, utility: zero_sum}")],
            "error not_zero_sum: criterion 'margin' is declared zero_sum, but its rewards of one match sum to",
        ),
        (
            [("utility: zero_sum", "utility: constant_sum, roles: [red]")],
            "error not_constant_sum: criterion 'win' is declared constant_sum, but its rewards of one match sum to",
        ),
        (
            [
                ("answers: by_seat}", 'answers: none, prompt: "You defend {answer}."}'),
                ("{roles: [red, blue], phase: talk}", "{roles: red, kind: choice, choices: options, binds: answer}"),
            ],
            "error unbound: role 'red': its prompt shows {answer} before the answer is bound",
        ),
        ([("green: {", "idle: {}\n  green: {")], "warning idle: role 'idle' never moves"),
    ],
)
def test_what_cannot_be_meant_is_found(changes, expected):
    assert any(line.startswith(expected) for line in found(*changes)), found(*changes)


def test_a_leak_is_found_in_a_protocol_made_by_hand():
    protocol = load_protocol("debate_simultaneous")
    blind = replace(protocol.roles[0], sees=frozenset({"question"}))
    told = replace(protocol, roles=(blind,)).with_slots(lambda s: replace(s, instruction=Prompt("zqmaterial")))
    findings = [str(f) for f in check_protocol(told)]
    assert "error leak: A reads the question's material, which its role does not see" in findings


def test_a_rule_that_fails_is_found():
    protocol = load_protocol("debate_simultaneous")
    rewards = (replace(protocol.rewards[0], rule="win", params={"verdicts": "none of these"}),)
    assert any(
        str(f).startswith("error reward: ValueError") for f in check_protocol(replace(protocol, rewards=rewards))
    )
