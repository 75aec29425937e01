"""From what a seat knows to the messages its model reads: a conversation that only grows at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from debate.protocol.kernel import Event, Setup, State, choices, to_move, view
from judges.types import Message

Style = Literal["chat", "compact"]


def opening(setup: Setup, seat: str, style: Style) -> Message:
    """The system message: what the seat's role is told, with what it is given filled in."""
    role, question = setup.protocol.role_of(seat), setup.question
    answer = setup.answers.get(seat)
    known = {
        name: "" for name in ("question", "options", "material", "items", "answer", "answer_index", "other_answer")
    }
    if "question" in role.sees:
        known["question"] = question.question
    if "options" in role.sees:
        known["options"] = " / ".join(question.options)
    if "material" in role.sees:
        known["material"] = question.material
    if "items" in role.sees:
        known["items"] = ("" if style == "compact" else ", ").join(question.items)
    if "answer" in role.sees and answer is not None:
        known["answer"] = question.options[answer]
        known["answer_index"] = str(answer)
        known["other_answer"] = " / ".join(o for i, o in enumerate(question.options) if i != answer)
    template = role.prompt.compact if style == "compact" else role.prompt.chat
    return Message("system", template.format(seat=seat, **known).strip())


def heard(event: Event, style: Style) -> Message:
    """Another seat's move as one message of its own: speeches are never pasted together."""
    if style == "compact":
        return Message("user", f"{event.seat}{event.text}")
    return Message("user", f"{event.seat} ({event.phase}):\n{event.text}")


def news(state: State, seat: str, known: int, style: Style) -> tuple[Message, ...]:
    """The messages that bring a seat up to date before its move.

    Args:
        state: the position; the seat is to move.
        seat: who.
        known: how many events of its view the seat has been told already.
        style: chat or compact.

    Returns:
        One message for each new event of others, then (chat only) what is asked for now.
    """
    messages = [heard(event, style) for event in view(state, seat)[known:] if event.seat != seat]
    slot = state.current
    assert slot is not None and seat in to_move(state)
    if style == "compact":
        if slot.instruction.compact:
            messages.append(Message("user", slot.instruction.compact))
        return tuple(messages)
    asked = slot.instruction.chat
    if slot.kind in ("choice", "decision"):
        asked += "\nPick one of: " + ", ".join(choices(state))
    if slot.words:
        asked += f"\nUse at most {slot.words} words."
    messages.append(Message("user", asked.strip() or f"{slot.phase}:"))
    return tuple(messages)


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
    for number, slot in enumerate(setup.protocol.schedule[: state.slot + 1]):
        if seat not in slot.seats:
            continue
        past = State(setup, number, tuple(event for event in state.events if event.slot < number))
        messages += news(past, seat, told, style)
        told = len(view(past, seat))
        if number < state.slot:
            mine = next(e for e in state.events if e.slot == number and e.seat == seat)
            message = kept.pop(0) if kept else Message("assistant", mine.text)
            if mine.visibility != "ephemeral":  # not even its author keeps a scratchpad
                messages.append(message)
    return tuple(messages)
