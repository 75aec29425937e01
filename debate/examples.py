"""Worked examples of the shipped protocols: a question, an agent that plays every seat from a script, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from debate.agents.scripted import random_legal
from debate.protocol.drafting import TEXTS, preparing
from debate.protocol.kernel import Move, State, choices
from debate.questions import Question, question_from
from debate.reader import read_yaml

FILE = Path(__file__).parent / "catalogue" / "examples" / "examples.yaml"


@dataclass(frozen=True)
class Example:
    """How a protocol is shown.

    Attributes:
        question: what is debated.
        verdict: the judge's probabilities; None where the protocol asks no judge.
        says: role or seat → phase → the texts said there, in order; the last is said again.
        phases: phase → the same for whatever `says` does not list.
    """

    question: Question
    verdict: tuple[float, ...] | None
    says: Mapping[str, Mapping[str, Any]]
    phases: Mapping[str, Any]

    def __call__(self, state: State, seat: str, seed: int) -> Move:
        """The script: the seat's next text of this phase; a random legal pick, or a phrase, where none is written."""
        slot = state.current
        assert slot is not None
        role = state.setup.protocol.role_of(seat).name
        # A draft is a version of what is said: by default one of the texts that are listed for the speech.
        drafts = slot.step is not None and slot.step.part in TEXTS
        names = (slot.phase, slot.speech) if drafts else (slot.phase,)
        listed = (*(self.says.get(who, {}) for who in (seat, role)), self.phases)
        given = next((said[name] for name in names for said in listed if name in said), None)
        if given is None:
            return random_legal(state, seat, seed)
        texts = given if isinstance(given, list) else [given]
        told = sum(event.seat == seat and event.phase == slot.speech for event in state.events)
        told += sum(
            event.seat == seat and event.phase == slot.phase for event in preparing(state.setup.protocol, state.events)
        )
        text, offered = texts[min(told, len(texts) - 1)], choices(state)
        if not offered:
            return Move(str(text))
        if isinstance(text, int):
            return Move(option=min(text, len(offered)) - 1)
        return Move(option=offered.index(text)) if text in offered else random_legal(state, seat, seed)


@cache
def _examples() -> Mapping[str, Any]:
    data: Mapping[str, Any] = read_yaml(FILE).data
    return data


def find_example(protocol: str) -> Example | None:
    """The example of a shipped protocol; None for one that has none."""
    data = _examples()
    found = data["protocols"].get(protocol)
    if found is None:
        return None
    name = found["question"]
    question = question_from({"id": name, **data["questions"][name]}, f"{FILE.name}: questions.{name}")
    verdict = tuple(found["judge"]) if "judge" in found else None
    return Example(question, verdict, found.get("says", {}), data["phases"])
