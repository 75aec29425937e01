"""Who moves, who reads and who does not, slot by slot: what the picture and its plain-text form both show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from debate.protocol.describe import say
from debate.protocol.spec import CHANCE, Block, DebateProtocol, Drawn, Slot

Mark = Literal["moves", "copy", "reads", ""]
JUDGE = "the judge"
_STEPS = {"draft": "drafts", "critique": "criticises {} draft", "refine": "drafts again", "pick": "picks {} draft"}
_VERBS = {"speech": "speaks", "question": "asks", "choice": "picks", "decision": "decides", "chance": "draws"}


@dataclass(frozen=True, slots=True)
class Column:
    """One slot as the picture shows it: its mark in every lane, and what is said about it."""

    slot: Slot
    marks: tuple[Mark, ...]
    verb: str
    note: str


@dataclass(frozen=True, slots=True)
class Span:
    """A block: from the first to the last of its columns, how it is played, and how deep it is nested."""

    first: int
    last: int
    depth: int
    text: str


def lanes(protocol: DebateProtocol) -> tuple[str, ...]:
    """Chance where something is drawn, every seat, the judge where one decides."""
    drawn = (CHANCE,) if any(slot.kind == "chance" for slot in protocol.slots) else ()
    return (*drawn, *protocol.seats, *((JUDGE,) if protocol.decision.by == "judge" else ()))


def columns(protocol: DebateProtocol) -> list[Column]:
    """The slots in the order of the schedule."""
    rows = lanes(protocol)
    return [Column(s, tuple(_mark(protocol, s, row) for row in rows), _verb(s), _note(s)) for s in protocol.slots]


def _mark(protocol: DebateProtocol, slot: Slot, lane: str) -> Mark:
    if lane in slot.seats:
        return "copy" if slot.recall else "moves"
    if slot.visibility != "public" or lane == CHANCE:
        return ""
    if lane == JUDGE:
        return "reads" if slot.channel in protocol.decision.channels and slot.kind != "decision" else ""
    return "reads" if protocol.role_of(lane).name in protocol.channel(slot.channel).readers else ""


def _verb(slot: Slot) -> str:
    if slot.plan == "pick":
        return "plans"
    if slot.step is not None and slot.aside:
        return _STEPS[slot.step.part].format("own" if slot.on_own else f"{slot.step.of}'s")
    if slot.think:
        return "thinks"
    if isinstance(slot.choices, Drawn):
        return (
            f"picks a part of {slot.choices.phase}"
            if slot.choices.source == "parts_of"
            else (f"picks from {slot.choices.phase}")
        )
    if slot.reveal:
        return "reveals"
    return _VERBS[slot.kind]


def _note(slot: Slot) -> str:
    notes = []
    if slot.when is not None:
        notes.append(f"when {say(slot.when)}")
    if slot.recall:
        notes.append(f"remembers up to {slot.recall}")
    if slot.binds:
        notes.append("binds its answer")
    if slot.says:
        notes.append("as drafted")
    if slot.final:
        notes.append("final answer")
    if isinstance(slot.probabilities, str):
        notes.append(f"odds from {slot.probabilities}")
    if slot.words:
        notes.append(f"{slot.words} words")
    return "; ".join(notes)


def spans(protocol: DebateProtocol) -> list[Span]:
    """Every block that is played in some way of its own, outer ones first."""
    return list(_spans(protocol.schedule, 0))


def _spans(nodes: Sequence[Slot | Block], depth: int) -> Iterator[Span]:
    for node in nodes:
        if isinstance(node, Block):
            inside, text = list(_slots(node)), _heading(node)
            if text:
                yield Span(inside[0].id, inside[-1].id, depth, text)
            yield from _spans(node.items, depth + bool(text))


def _slots(block: Block) -> Iterator[Slot]:
    for item in block.items:
        if isinstance(item, Slot):
            yield item
        else:
            yield from _slots(item)


def _heading(block: Block) -> str:
    times = f"{block.repeat} levels" if block.recurse else f"×{block.repeat}" if block.scope else ""
    if block.said is not None:
        times = f"towards one {block.said.phase}"
    if block.until is not None:
        times = f"at most {times}, until {say(block.until)}"
    return ", ".join(filter(None, (times, f"when {say(block.when)}" if block.when is not None else "")))
