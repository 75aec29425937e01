"""Speeches that are drafted before they are said: who is shown which draft, and what is said in the end.

The drafts, critiques and picks of a speech are the slots right before it, with nothing in between. Nobody sees them
afterwards, not even their author; what a step shows to its mover is worked out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from debate.protocol.events import Event
from debate.protocol.spec import DebateProtocol, Slot

TEXTS = ("draft", "refine")


def preparing(protocol: DebateProtocol, events: Sequence[Event]) -> list[Event]:
    """What has been done so far for the speech that is being prepared; empty where none is."""
    found = list(takewhile(lambda event: protocol.slots[event.where].aside, reversed(events)))
    return found[::-1]


def drafts(protocol: DebateProtocol, events: Sequence[Event], seat: str) -> tuple[Event, ...]:
    """A seat's drafts of the speech that is being prepared, in order: of each, the last version.

    A draft is left out where the seat had nothing left of its budget to write it with.
    """
    found: list[list[Event]] = []
    for event in preparing(protocol, events):
        part = _part(protocol, event)
        if event.seat != seat or part not in TEXTS:
            continue
        if part == "draft":
            found.append([])
        if not event.passed:
            found[-1].append(event)
    return tuple(versions[-1] for versions in found if versions)


def candidates(protocol: DebateProtocol, events: Sequence[Event], seat: str) -> tuple[Event, ...]:
    """The drafts of a seat that can be picked: of equal ones, the first."""
    found: dict[str, Event] = {}
    for event in drafts(protocol, events, seat):
        found.setdefault(event.text, event)
    return tuple(found.values())


def shown(protocol: DebateProtocol, events: Sequence[Event], slot: Slot, seat: str) -> tuple[Event, ...]:
    """What the mover of a step is shown of the steps before it.

    A pick: every draft that can be picked. A critique: the text as it stands, not what other critics say of it. A
    revision: the text as it stands, and what was said of it since. A draft: nothing.
    """
    step = slot.step
    if step is None or step.part in ("draft", "say"):
        return ()
    author = step.of or seat
    if step.part == "pick":
        return candidates(protocol, events, author)
    here = [event for event in preparing(protocol, events) if not event.passed]
    texts = [i for i, e in enumerate(here) if e.seat == author and _part(protocol, e) in TEXTS]
    if not texts:
        return ()
    last = texts[-1]
    if step.part == "critique":
        return (here[last],)
    since = (e for e in here[last + 1 :] if _part(protocol, e) == "critique" and _about(protocol, e) == author)
    return (here[last], *since)


def outcome(protocol: DebateProtocol, events: Sequence[Event], seat: str) -> Event | None:
    """The draft that a seat is to say now: the one picked, else the last; None where there is none."""
    found = candidates(protocol, events, seat)
    for event in reversed(preparing(protocol, events)):
        step = protocol.slots[event.where].step
        if step is not None and step.part == "pick" and step.of == seat and event.option is not None:
            return found[event.option]
    return found[-1] if found else None


def _part(protocol: DebateProtocol, event: Event) -> str:
    step = protocol.slots[event.where].step
    return "" if step is None else step.part


def _about(protocol: DebateProtocol, event: Event) -> str:
    step = protocol.slots[event.where].step
    return (step.of if step is not None else "") or event.seat
