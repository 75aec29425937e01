"""Golden playthroughs: one plain-text match a protocol, replayed line by line.

To record anew after an intended change: `python tests/debate/test_golden.py`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker
from debate.examples import find_example
from debate.play import Arena, play
from debate.protocol.load import load_protocol, shipped
from debate.render import render
from debate.transcript import Match, Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

GOLDEN = Path(__file__).parent.parent / "golden"


def playthrough(name: str) -> str:
    protocol, example = load_protocol(name), find_example(name)
    assert example is not None, f"protocol {name} has no example"
    judge = NaiveEvidenceJudge() if example.verdict is None else ScriptedJudge(example.verdict)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("golden", protocol, {example.question.id: example.question}, (judge,), rules)
    policy = Policy("script", 0, "scripted")
    match = Match(f"golden/{name}", "golden", example.question.id, dict.fromkeys(protocol.seats, policy.id))
    cast = {policy.id: Agent(policy, ScriptedSpeaker(example))}
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
    for protocol_name in sys.argv[1:] or shipped():
        (GOLDEN / f"{protocol_name}.txt").write_text(playthrough(protocol_name), encoding="utf-8")
