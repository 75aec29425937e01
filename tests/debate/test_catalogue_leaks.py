"""The leak property over everything that ships: nobody is told what it may not know, in any match that can be played.

Every speech is a word of its own, so that whoever was told of it can be found; who may know it is said here anew, from
the channels, and not taken from the kernel.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.examples import find_example
from debate.play import Arena, play
from debate.protocol.kernel import Move, choices
from debate.protocol.load import load_protocol, shipped
from debate.transcript import Match, Policy
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

SHOWN = {"material": "MATERIAL", "secret": "SECRET"}


def chatter(state, seat, seed):
    """Words that nobody else ever says, two lines of them; picks at random."""
    if choices(state):
        return random_legal(state, seat, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    mark = f"w{state.slot}q{seat}q"
    return Move(f"{mark}\nand {mark}" if rng.random() < 0.7 else mark)


class Ear:
    """Speaks by a script and keeps what every ask was told."""

    def __init__(self, style):
        self.style, self.inner, self.asks = style, ScriptedSpeaker(chatter), []

    async def __call__(self, asks):
        self.asks += asks
        return await self.inner(asks)


def may_know(protocol, seat, event, now):
    """Whether a seat may know an event at slot `now`: over, and its own, or public on a channel its role reads."""
    if event.slot >= now:
        return False
    if event.seat == seat and not event.recalled:
        return event.visibility != "ephemeral"
    role = next(r.name for r in protocol.roles if seat in r.seats)
    readers = next(c.readers for c in protocol.channels if c.name == event.channel)
    return event.visibility == "public" and role in readers


def known_to(ask):
    """The events that the asked seat may know; of a copy of it, those until its memory ends, and the query."""
    state, protocol = ask.state, ask.state.setup.protocol
    known = [e for e in state.events if may_know(protocol, ask.seat, e, state.slot)]
    recall = state.current.recall
    if not recall:
        return known
    end = max(e.slot for e in state.events if e.phase == recall)
    return [e for e in known if e.slot <= end or (e.slot == state.slot - 1 and e.seat != ask.seat)]


@settings(deadline=None)
@given(name=st.sampled_from(shipped()), seed=st.integers(0, 2**32), style=st.sampled_from(["chat", "compact"]))
def test_nobody_is_told_what_it_may_not_know(name, seed, style):
    protocol, example = load_protocol(name), find_example(name)
    question = replace(example.question, material="MATERIAL" if example.question.material else "")
    if any("secret" in role.sees for role in protocol.roles):
        question = replace(question, gold="SECRET")
    cases, ear = [], Ear(style)
    judge = ScriptedJudge(lambda case: cases.append(case) or [1 / len(case.options)] * len(case.options))
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("a", protocol, {question.id: question}, (judge,), rules)
    match = Match("m", "a", question.id, dict.fromkeys(protocol.seats, "s-v0"))
    (episode,) = asyncio.run(play(arena, [match], {"s-v0": Agent(Policy("s", 0, "x"), ear)}, seed))
    assert episode.failure is None

    before: dict[str, str] = {}
    for ask in ear.asks:
        told = "\n".join(message.text for message in ask.messages)
        role = protocol.role_of(ask.seat)
        allowed = "\n".join(event.text for event in known_to(ask))
        for event in ask.state.events:
            for word in event.text.split():
                if word.startswith("w") and word.endswith("q"):
                    assert (word in told) == (word in allowed), f"{ask.seat} at slot {ask.state.slot}: {word}"
        for sight, text in SHOWN.items():
            if sight not in role.sees and text not in allowed:
                assert text not in told
        if not ask.state.current.recall:  # what a seat was told only ever grows at its end
            assert told.startswith(before.get(ask.seat, ""))
            before[ask.seat] = told
        for other in protocol.roles:
            if other.alias and other is not role:
                assert not any(f"{seat}{mark}" in told for seat in other.seats for mark in (" (", "w"))

    readable = set(protocol.decision.channels)
    channel_of = {slot.id: (slot.channel, slot.visibility) for slot in protocol.slots}
    for case in cases:
        shown = "\n".join(statement.text for statement in case.statements)
        for turn in episode.transcript.turns:
            channel, visibility = channel_of[turn.where]
            if channel not in readable or visibility != "public":
                assert not any(w in shown for w in (turn.public or turn.private).split() if w.endswith("q"))
        assert "SECRET" not in shown and ("MATERIAL" in case.material) <= protocol.decision.sees_material
        aliased = {seat for role in protocol.roles if role.alias for seat in role.seats}
        assert not aliased & {statement.seat for statement in case.statements}
