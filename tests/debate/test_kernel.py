"""The turn kernel: what is released when, and that nothing leaks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.protocol.kernel import Move, Setup, State, choices, finals, hidden, legal, released, step, to_move, view
from debate.protocol.load import parse_protocol
from debate.questions import Question
from debate.reader import Document
from debate.views import conversation

ROLES = ("red", "blue", "green")
CHANNELS = ("public", "back", "side")

slot = st.fixed_dictionaries(
    {
        "roles": st.lists(st.sampled_from(ROLES), min_size=1, max_size=3, unique=True),
        "visibility": st.sampled_from(["public", "private", "ephemeral"]),
        "channel": st.sampled_from(CHANNELS),
    }
)


@st.composite
def protocols(draw):
    """A random protocol: three roles, two private channels with random readers, a random schedule."""
    readers = {c: draw(st.lists(st.sampled_from(ROLES), unique=True)) for c in CHANNELS[1:]}
    schedule = draw(st.lists(slot, min_size=1, max_size=6))
    data = {
        "name": "random",
        "roles": {name: {} for name in ROLES},
        "channels": {c: {"readers": readers[c], "writers": list(ROLES)} for c in readers},
        "schedule": schedule,
        "decision": {"by": "nobody"},
        "rewards": {"format": {"rule": "format"}},
    }
    return parse_protocol(Document("random", data), {})


def word(slot_number, seat):
    return f"w{slot_number}{seat}"


def play_out(protocol):
    """Every state of a match in which each seat says a word of its own."""
    state = State(Setup(protocol, Question("q", "?"), dict.fromkeys(protocol.seats)))
    states = [state]
    while to_move(state):
        state = step(state, {seat: Move(word(state.slot, seat)) for seat in to_move(state)})
        states.append(state)
    return states


@given(protocols())
def test_no_word_of_a_running_or_foreign_slot_reaches_a_seat(protocol):
    """The leak property: a seat knows a word iff its slot is over and visibility, channel and authorship allow it."""
    for state in play_out(protocol):
        for seat in protocol.seats:
            known = {event.text for event in view(state, seat)}
            for number, planned in enumerate(protocol.longest()):
                for author in planned.seats:
                    over = number < state.slot
                    if author == seat:
                        allowed = over and planned.visibility != "ephemeral"
                    else:
                        reads = protocol.role_of(seat).name in protocol.channel(planned.channel).readers
                        allowed = over and planned.visibility == "public" and reads
                    assert (word(number, author) in known) == allowed


@given(protocols())
def test_views_only_grow_at_their_end(protocol):
    states = play_out(protocol)
    for before, after in pairwise(states):
        for seat in protocol.seats:
            old, new = view(before, seat), view(after, seat)
            assert new[: len(old)] == old


@given(protocols())
def test_a_prompt_holds_exactly_the_words_its_seat_may_know(protocol):
    for state in play_out(protocol)[:-1]:
        for seat in to_move(state):
            text = "\n".join(m.text for m in conversation(state, seat, "compact"))
            allowed = {event.text for event in view(state, seat)}
            said = {word(n, s) for n, planned in enumerate(protocol.longest()) for s in planned.seats}
            assert {w for w in said if w in text} == allowed


@given(protocols())
def test_the_judge_reads_public_words_only(protocol):
    final = play_out(protocol)[-1]
    seen = {statement.text for statement in released(final)}
    for number, planned in enumerate(protocol.longest()):
        for seat in planned.seats:
            public = planned.visibility == "public" and planned.channel == "public"
            assert (word(number, seat) in seen) == public


EVIDENCE = Question("q", "?", ("positive", "negative"), 0, items=("+16", "-2", "+16", "-8"))


def evidence(k=2):
    from debate.protocol.load import load_protocol

    return State(Setup(load_protocol("evidence_debate", {"k": k}), EVIDENCE, {"A": 0, "B": 1}))


def test_equal_items_are_one_choice_with_as_many_copies():
    state = evidence()
    assert choices(state) == ("+16", "-2", "-8")
    state = step(state, {"A": Move(option=0)})
    assert hidden(state)["+16"] == 1 and legal(state) == (True, True, True)
    state = step(state, {"B": Move(option=0)})
    assert legal(state) == (False, True, True)


def test_an_illegal_reveal_is_recorded_and_not_verified():
    state = evidence()
    state = step(state, {"A": Move(option=1)})
    state = step(state, {"B": Move(option=1)})
    event = state.events[-1]
    assert event.legal is False and event.quotes[0].verified is False
    assert released(state)[-1].quotes[0].verified is False
    assert hidden(state)["-2"] == 0


def test_moves_must_be_those_of_the_slot():
    state = evidence()
    with pytest.raises(ValueError, match="expected moves of \\['A'\\]"):
        step(state, {"B": Move(option=0)})
    with pytest.raises(ValueError, match="must pick 0…2"):
        step(state, {"A": Move(option=3)})
    for _ in range(2):
        state = step(state, {"A": Move(option=0)})
        state = step(state, {"B": Move(option=0)})
    with pytest.raises(ValueError, match="over"):
        step(state, {"A": Move(option=0)})


def test_the_last_final_slot_is_the_answer():
    from debate.protocol.load import load_protocol

    state = State(Setup(load_protocol("self_critique"), Question("q", "1+1?", gold="2"), {"solver": None}))
    for move in (Move("#### 3"), Move("that is wrong"), Move(option=1), Move("#### 2")):
        state = step(state, {"solver": move})
    assert finals(state) == {"solver": "#### 2"}
