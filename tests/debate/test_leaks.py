"""The leak property under generated schedules: chance, conditions, channels, scratchpads, copies, plan moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from debate.errors import UserError
from debate.protocol import kernel, knowledge, leaks
from debate.protocol.leaks import QUESTION, find_leaks, play_marked
from debate.protocol.load import load_protocol, parse_protocol, shipped
from debate.reader import Document

ROLES = ("red", "blue", "green")
CHANNELS = ("public", "back", "side")
WRAPPERS = [
    {"best_of": {"n": 3}},
    {"best_of": {"n": 2, "by": "green"}},
    {"refine": {"critics": 2, "times": 2}},
    {"refine": {"by": ["red", "green"]}},
    {"best_of": {"n": 2, "by": "R1"}, "refine": {"times": 2, "by": "blue"}},
]
PLANS = {"cite": "Cite {claim}.", "ask": "Ask."}


def header(readers):
    return {
        "name": "random",
        "roles": {
            "red": {"seats": ["R1", "R2"], "sees": ["question", "options", "answer"], "options": PLANS},
            "blue": {"sees": ["question", "answer"], "answers": "opposes", "opposes": "red", "options": PLANS},
            "green": {"sees": ["question", "material", "secret"], "prompt": "{material} {secret}"},
        },
        "channels": {c: {"readers": readers[c], "writers": list(ROLES)} for c in readers},
        "decision": {"by": "nobody"},
        "rewards": {"format": {"rule": "format"}},
    }


@st.composite
def slots(draw, number):
    """One slot, which may refer to earlier phases."""
    phase, earlier = f"p{number}", [f"p{n}" for n in range(number)]
    kind = draw(st.sampled_from(["speech", "speech", "speech", "question", "choice", "chance"]))
    channel = draw(st.sampled_from(CHANNELS))
    if kind == "chance":
        return {"kind": "chance", "phase": phase, "channel": channel, "choices": [f"heads{number}", f"tails{number}"]}
    found = {
        "roles": draw(st.lists(st.sampled_from([*ROLES, "R1"]), min_size=1, max_size=3, unique=True)),
        "phase": phase,
        "kind": kind,
        "channel": channel,
        "visibility": draw(st.sampled_from(["public", "public", "private", "ephemeral"])),
        "instruction": draw(st.sampled_from(["", "Go on.", "About {claim} at {level}.", "For {answer}."])),
    }
    if kind == "choice":
        found["choices"] = draw(
            st.sampled_from(
                ["options", ["go", "stop"], *({"from": e} for e in earlier), *({"parts_of": e} for e in earlier)]
            )
        )
        if found["choices"] == "options" and draw(st.booleans()):
            found["binds"] = "answer"
    else:
        found |= draw(st.sampled_from([{}, {}, {"parts": 2}, {"options": True}, {"think_tokens": 9}]))
        found |= draw(st.sampled_from([{}, {}, *WRAPPERS]))
    if earlier and draw(st.integers(0, 3)) == 0:
        found["recall"] = draw(st.sampled_from(earlier))
    if earlier and draw(st.integers(0, 3)) == 0:
        phase = draw(st.sampled_from(earlier))
        tests = [
            {"played": phase},
            {"not": {"phase": phase, "is": "go"}},
            {"agreed": phase},
            {"phase": phase, "any": "go"},
        ]
        found["when"] = draw(st.sampled_from(tests))
    return found


@st.composite
def protocols(draw):
    """A random protocol: what the loader refuses is left out of it."""
    readers = {c: draw(st.lists(st.sampled_from(ROLES), unique=True)) for c in CHANNELS[1:]}
    head, schedule = header(readers), []
    kept = parse_protocol(Document("random", head | {"schedule": [{"roles": "red", "phase": "p0"}]}), {})
    schedule.append({"roles": "red", "phase": "p0"})
    for number in range(1, draw(st.integers(2, 7))):
        one = draw(slots(number))
        wrap = draw(st.sampled_from(["", "", "", "repeat", "until", "recurse"]))
        if wrap == "recurse":
            one = {"recurse": {"depth": 2, "into": [one]}}
        elif wrap:
            one = {"repeat": 2, "slots": [*schedule[-1:], one] if "slots" not in schedule[-1] else [one]}
            if wrap == "until":
                one["until"] = {"phase": f"p{number}", "any": draw(st.sampled_from(["go", "stop", f"heads{number}"]))}
        try:
            kept = parse_protocol(Document("random", head | {"schedule": [*schedule, one]}), {})
        except UserError:
            continue
        schedule.append(one)
    return kept


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(protocols())
def test_nobody_is_shown_what_it_may_not_see_and_everybody_what_it_may(protocol):
    assert find_leaks(protocol, 2) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(protocols())
def test_a_match_ends_within_the_longest_schedule(protocol):
    *_, last = play_marked(protocol, QUESTION, 0)
    assert last.current is None and last.slot <= len(protocol.longest())
    assert [e.slot for e in last.events] == sorted(e.slot for e in last.events)


@pytest.mark.parametrize("name", shipped())
def test_no_shipped_protocol_leaks(name):
    assert find_leaks(load_protocol(name)) == []


# --- the property finds what it is for -------------------------------------------------------------------------


def hidden_talk(**changes):
    data = header({"back": ["red"], "side": []})
    data["schedule"] = [
        {"roles": "blue", "phase": "hush", "channel": "back"} | changes,
        {"roles": ["red", "green"], "phase": "talk"},
    ]
    return parse_protocol(Document("random", data), {})


def test_a_kernel_that_shows_everything_is_found_out(monkeypatch):
    monkeypatch.setattr(knowledge, "sees", lambda state, seat, event: True)
    found = find_leaks(hidden_talk())
    assert "green is shown the move of blue in slot 0, which it may not see" in found
    assert "green reads the words of blue in slot 0, which it may not see" in found


def test_a_kernel_that_hides_too_much_is_found_out(monkeypatch):
    monkeypatch.setattr(knowledge, "sees", lambda state, seat, event: event.seat == seat)
    assert "R1 does not read the words of blue in slot 0, which it may see" in find_leaks(hidden_talk())


def test_a_case_with_private_words_is_found_out(monkeypatch):
    def all_said(state):
        public = replace(state.setup.protocol.decision, channels=("public", "back", "side"))
        setup = replace(state.setup, protocol=replace(state.setup.protocol, decision=public))
        return kernel.released(replace(state, setup=setup))

    monkeypatch.setattr(leaks, "released", all_said)
    assert "the judge is shown the speech of blue in slot 0, which is not public" in find_leaks(hidden_talk())


def test_a_prompt_that_shows_too_much_is_found_out():
    protocol = hidden_talk()
    blind = tuple(replace(role, sees=frozenset({"question"})) for role in protocol.roles)
    told = replace(blind[2], sees=frozenset({"secret"}))
    assert not any("secret" in line for line in find_leaks(replace(protocol, roles=(*blind[:2], told))))
    leaking = protocol.with_slots(lambda slot: replace(slot, instruction=replace(slot.instruction, chat="zqsecret")))
    assert "R1 reads the question's secret, which its role does not see" in find_leaks(leaking)
