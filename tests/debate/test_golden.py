"""Golden playthroughs: one plain-text match a protocol, replayed line by line.

To record anew after an intended change: `python tests/debate/test_golden.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.play import Arena, play
from debate.protocol.kernel import Move, choices
from debate.protocol.load import load_protocol, shipped
from debate.questions import Question
from debate.render import render
from debate.transcript import Match, Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

GOLDEN = Path(__file__).parent.parent / "golden"
EVIDENCE = Question(
    "e",
    "Is the sum of the hidden weights positive?",
    ("positive", "negative"),
    0,
    items=("+16", "-2", "-8", "+4", "-1", "-1"),
)
CLAIM = Question(
    "c",
    "Do whales breathe air?",
    ("yes", "no"),
    0,
    "Whales are mammals. They surface to breathe air through blowholes.",
)
SUM = Question("s", "What is 2 + 3?", gold="5")
LINES = {
    "opening": "They are mammals; the text says <quote>surface to breathe air</quote>.",
    "argument": "The passage has it: <quote>They surface to breathe</quote> and <quote>whales are fish</quote>.",
    "rebuttal": "My opponent quotes what is not there.",
    "answer": "2 + 3 is 6.\n#### 6",
    "critique": "2 + 3 is 5, not 6.",
    "revision": "#### 5",
}


def speak(state, seat, seed):
    return random_legal(state, seat, seed) if choices(state) else Move(LINES[state.current.phase])


def playthrough(name: str) -> str:
    protocol = load_protocol(name)
    evidence = any(slot.choices == "items" for slot in protocol.schedule)
    question = EVIDENCE if evidence else SUM if protocol.decision.by == "verifier" else CLAIM
    judge = NaiveEvidenceJudge() if evidence else ScriptedJudge((0.75, 0.25))
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("golden", protocol, {question.id: question}, (judge,), rules)
    policy = Policy("script", 0, "scripted")
    match = Match(f"golden/{name}", "golden", question.id, dict.fromkeys(protocol.seats, policy.id))
    cast = {policy.id: Agent(policy, ScriptedSpeaker(speak))}
    (episode,) = asyncio.run(play(arena, [match], cast, seed=1))
    return "\n".join(render(episode)) + "\n"


@pytest.mark.parametrize("name", shipped())
def test_playthrough(name):
    path = GOLDEN / f"{name}.txt"
    assert path.is_file(), f"protocol {name} has no golden playthrough: run python {Path(__file__).name}"
    assert playthrough(name) == path.read_text(encoding="utf-8")


def test_every_playthrough_belongs_to_a_protocol():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(shipped())


if __name__ == "__main__":
    for protocol_name in shipped():
        (GOLDEN / f"{protocol_name}.txt").write_text(playthrough(protocol_name), encoding="utf-8")
