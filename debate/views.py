"""From what a seat knows to the messages its model reads: a conversation that only grows at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from debate.protocol.conditions import reference, secret
from debate.protocol.kernel import (
    Event,
    Setup,
    State,
    answers,
    choices,
    claim,
    labels,
    names,
    recall_end,
    to_move,
    view,
)
from debate.protocol.spec import DebateProtocol, Drawn, Prompt, Slot
from judges.types import Message

Style = Literal["chat", "compact"]
Marks = Sequence[tuple[int, int, int]]


def opening(setup: Setup, seat: str, style: Style) -> Message:
    """The system message: what the seat's role is told, with what it is given filled in."""
    return Message("system", _filled(setup.protocol.role_of(seat).prompt, State(setup), seat, style).strip())


def _filled(prompt: Prompt, state: State, seat: str, style: Style) -> str:
    """A template in one style, its placeholders replaced by what the seat may see of the question."""
    template = prompt.compact if style == "compact" else prompt.chat
    if "{" not in template and "}" not in template:
        return template
    role, question = state.setup.protocol.role_of(seat), state.setup.question
    slot = state.current
    known = dict.fromkeys(("question", "options", "material", "items", "secret", "truth"), "")
    known |= dict.fromkeys(("answer", "answer_index", "other_answer"), "")
    known |= {"seat": seat, "level": str(slot.level if slot else 0)}
    if "question" in role.sees:
        known["question"] = question.question
    if "options" in role.sees:
        known["options"] = " / ".join(question.options)
    if "material" in role.sees:
        known["material"] = question.material
    if "items" in role.sees:
        known["items"] = ("" if style == "compact" else ", ").join(question.items)
    if "secret" in role.sees:
        known["secret"] = secret(question)
    if role.sees & {"truth", "label"}:
        known["truth"] = reference(question) or ""
    answer = answers(state)[seat]
    if "answer" in role.sees and answer is not None:
        known["answer"] = question.options[answer]
        known["answer_index"] = str(answer)
        known["other_answer"] = " / ".join(o for i, o in enumerate(question.options) if i != answer)
    if "{claim" in template:
        known["claim"] = claim(state)
    return template.format(**known)


def heard(protocol: DebateProtocol, event: Event, style: Style) -> Message:
    """Another seat's move as one message of its own: speeches are never pasted together."""
    speaker, _ = names(protocol, event)
    if style == "compact":
        return Message("user", f"{speaker}{event.text}")
    return Message("user", f"{speaker} ({event.phase}):\n{event.text}")


def _heard(protocol: DebateProtocol, event: Event, style: Style, numbers: Mapping[str, str]) -> Message:
    """An event as `heard`; a draft that can be picked (text → number) under its number instead."""
    number = numbers.get(event.text) if protocol.slots[event.where].aside else None
    if number is None:
        return heard(protocol, event, style)
    return Message("user", f"{number}{event.text}" if style == "compact" else f"Draft {number}:\n{event.text}")


def _picks_draft(slot: Slot) -> bool:
    return slot.step is not None and slot.step.part == "pick"


def own_words(protocol: DebateProtocol, event: Event) -> str:
    """What a seat's own move reads like to itself: the words, or the label that it picked."""
    if event.option is not None and isinstance(protocol.slots[event.where].choices, Drawn):
        return str(event.option + 1)
    return event.text


def news(state: State, seat: str, known: int, style: Style) -> tuple[Message, ...]:
    """The messages that bring a seat up to date before its move.

    Args:
        state: the position; the seat is to move.
        seat: who.
        known: how many events of its view the seat has been told already.
        style: chat or compact.

    Returns:
        One message for each new event of others, or draft to work on, then what is asked for now (compact: only where
        the slot says it).
    """
    slot = state.current
    assert slot is not None and seat in to_move(state)
    numbers = dict(zip(choices(state), labels(state), strict=True)) if _picks_draft(slot) else {}
    messages = [
        _heard(state.setup.protocol, event, style, numbers)
        for event in view(state, seat)[known:]
        if event.seat != seat or event.recalled
    ]
    asked = _filled(slot.instruction, state, seat, style)
    if slot.plan == "speak":
        asked = "\n".join(filter(None, (asked, _planned(state, seat, style))))
    if style == "compact":
        return (*messages, Message("user", asked)) if asked else tuple(messages)
    asked += _rules(state, slot, seat)
    return (*messages, Message("user", asked.strip() or f"{slot.speech}:"))


def _planned(state: State, seat: str, style: Style) -> str:
    """The instruction of the plan move that the seat has just picked."""
    slots = state.setup.protocol.slots
    picked = next(e.text for e in reversed(state.events) if e.seat == seat and slots[e.where].plan == "pick")
    return _filled(state.setup.protocol.role_of(seat).options[picked], state, seat, style)


def _rules(state: State, slot: Slot, seat: str) -> str:
    """What a chat model is told of a slot's form."""
    told = ""
    if slot.plan == "pick":
        options = state.setup.protocol.role_of(seat).options
        told += "".join(f"\n{name}: {_filled(options[name], state, seat, 'chat')}" for name in choices(state))
    if _picks_draft(slot):
        told += "\nPick one of the drafts by its number: " + ", ".join(labels(state))
    elif isinstance(slot.choices, Drawn):
        told += "\nPick one of these by its number:"
        told += "".join(f"\n{label}. {text}" for label, text in zip(labels(state), choices(state), strict=True))
    elif slot.kind in ("choice", "decision"):
        told += "\nPick one of: " + ", ".join(choices(state))
    if slot.words:
        told += f"\nUse at most {slot.words} words."
    if slot.parts:
        told += f"\nWrite each part on a line of its own, at most {slot.parts} lines."
    return told


def remembered(state: State, marks: Marks) -> tuple[int, int]:
    """(messages, told): where the conversation of a memory-isolated copy of the seat to move ends.

    Args:
        state: the position; its slot has `recall`.
        marks: (slot, messages, told) after each of the seat's own moves: how long its conversation was then, and how
            many events it had been told.
    """
    end = recall_end(state)
    return next(((messages, told) for slot, messages, told in reversed(marks) if slot <= end), (1, 0))


def conversation(state: State, seat: str, style: Style, own: Sequence[Message] = ()) -> tuple[Message, ...]:
    """The whole conversation of a seat, rendered afresh; the definition that the growing one is tested against.

    Args:
        state: the position.
        seat: whose.
        style: chat or compact.
        own: the seat's own messages so far, in order (they carry the sampled token ids); by default plain text.
    """
    setup = state.setup
    messages = [opening(setup, seat, style)]
    kept = list(own)
    told = 0
    marks = []
    for mine in state.events:
        if mine.seat != seat or mine.recalled or mine.passed:
            continue
        past = State(setup, mine.slot, tuple(e for e in state.events if e.slot < mine.slot), mine.cursor)
        messages += news(past, seat, told, style)
        told = len(view(past, seat))
        message = kept.pop(0) if kept else Message("assistant", own_words(setup.protocol, mine))
        if mine.visibility != "ephemeral":  # not even its author keeps a scratchpad
            messages.append(message)
        marks.append((mine.slot, len(messages), told))
    slot = state.current
    if slot is None or seat not in slot.seats:
        return tuple(messages)
    if slot.recall:
        length, told = remembered(state, marks)
        messages = messages[:length]
    return (*messages, *news(state, seat, told, style))
