"""The turn kernel: a pure, frozen state machine over a schedule of slots.

A slot is left only with the moves of all its seats at once, and what a seat sees is computed from slots already left.
So nothing of a running slot can reach anyone: simultaneous rounds cannot leak, whoever drives the kernel.

`State` and the order of slots are in `state`, what each seat knows in `knowledge`, budgets in `budgets`; here is what
can be done, and `step`, which does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from debate.protocol.budgets import allowance, most_words, quotes_left
from debate.protocol.conditions import latest
from debate.protocol.drafting import outcome
from debate.protocol.events import Event, Move, Setup
from debate.protocol.knowledge import answers, claim, finals, names, recall_end, released, sees, view
from debate.protocol.position import Cursor
from debate.protocol.spec import CHANCE, Drawn, Slot
from debate.protocol.speech import clean, cut, quotes_of
from debate.protocol.state import State, next_cursor, offered
from judges.types import Quote

__all__ = [
    "Event",
    "Move",
    "Setup",
    "State",
    "allowance",
    "answers",
    "choices",
    "claim",
    "finals",
    "hidden",
    "labels",
    "legal",
    "names",
    "probabilities",
    "recall_end",
    "released",
    "sees",
    "step",
    "to_move",
    "view",
]


def to_move(state: State) -> tuple[str, ...]:
    """The seats whose moves the current slot waits for; `("chance",)` for a draw; empty when the match is over."""
    slot = state.current
    return slot.seats if slot else ()


def hidden(state: State) -> Counter[str]:
    """How many copies of each item of evidence nobody has revealed yet."""
    left = Counter(state.setup.question.items)
    left.subtract(event.text for event in state.events if event.legal and event.quotes)
    return left


def choices(state: State) -> tuple[str, ...]:
    """What can be picked in the current slot; empty for a speech. Equal items are one choice."""
    slot = state.current
    if slot is None or state.cursor is None:
        return ()
    return offered(state.setup, state.events, slot, state.cursor)


def labels(state: State) -> tuple[str, ...]:
    """What a model writes to pick each choice: the choice itself, or the number of a text that came out of play."""
    slot, texts = state.current, choices(state)
    drawn = slot is not None and isinstance(slot.choices, Drawn)
    return tuple(str(number) for number in range(1, len(texts) + 1)) if drawn else texts


def legal(state: State) -> tuple[bool, ...]:
    """For each choice of the current slot, whether picking it is legal."""
    texts = choices(state)
    if state.current is None or not state.current.reveal:
        return (True,) * len(texts)
    left = hidden(state)
    return tuple(left[text] > 0 for text in texts)


def probabilities(state: State) -> tuple[float, ...]:
    """The probability of each choice of a chance slot; empty for other slots.

    Raises:
        ValueError: the number that was to be picked was not picked, or is no probability.
    """
    slot = state.current
    if slot is None or slot.kind != "chance":
        return ()
    if not isinstance(slot.probabilities, str):
        return slot.probabilities
    said = latest(state.events, slot.probabilities)
    try:
        first = float(said[-1].text)
    except (IndexError, ValueError):
        first = -1.0
    if not 0.0 <= first <= 1.0:
        got = repr(said[-1].text) if said else "nothing"
        raise ValueError(f"chance slot {slot.phase!r}: expected a probability picked in {slot.probabilities!r}: {got}")
    return (first, 1.0 - first)


def step(state: State, moves: Mapping[str, Move]) -> State:
    """Plays the current slot with the moves of all its seats; where words were drafted before, these are said.

    Raises:
        ValueError: the match is over, a seat's move is missing or superfluous, or a pick is out of range.
    """
    slot = state.current
    if slot is None or state.cursor is None:
        raise ValueError("the match is over: no move can be made")
    where = f"slot {state.slot} ({slot.phase})"
    if set(moves) != set(slot.seats):
        raise ValueError(f"{where}: expected moves of {sorted(slot.seats)}, got {sorted(moves)}")
    texts = choices(state)
    left = hidden(state) if slot.reveal else Counter()
    events = []
    for seat in slot.seats:
        if slot.says:
            events.append(_said(state, slot, state.cursor, seat))
            continue
        move = moves[seat]
        fair, lost, forged, excess = None, 0, 0, 0
        quotes: tuple[Quote, ...] = ()
        if slot.kind not in ("speech", "question"):
            if move.option is None or not 0 <= move.option < len(texts):
                raise ValueError(f"{where}: {seat} must pick 0…{len(texts) - 1}, got {move.option}")
            text, fair = texts[move.option], True
            if slot.reveal:
                fair = left[text] > 0
                left[text] -= 1
                quotes = (Quote(text, verified=fair),)
        elif move.passed:
            text = ""
        else:
            text, lost = cut(move.text, most_words(state, seat, slot))
            text, forged = clean(text)
            quotes, excess = quotes_of(text, state.setup.question.material, quotes_left(state, seat, slot))
        events.append(
            Event(
                state.slot,
                seat,
                CHANCE if slot.kind == "chance" else state.setup.protocol.role_of(seat).name,
                slot.phase,
                slot.kind,
                slot.channel,
                slot.visibility,
                text,
                quotes,
                move.option,
                fair,
                move.probabilities,
                slot.id,
                state.cursor,
                slot.copies,
                move.passed,
                move.tokens,
                lost,
                forged,
                excess,
            )
        )
    now = (*state.events, *events)
    return State(state.setup, state.slot + 1, now, next_cursor(state.setup, now, state.cursor))


def _said(state: State, slot: Slot, cursor: Cursor, seat: str) -> Event:
    """What a seat drafted before, said now: as it was cleaned, cut and looked up then."""
    protocol = state.setup.protocol
    draft = outcome(protocol, state.events, seat)
    role = protocol.role_of(seat).name
    event = Event(state.slot, seat, role, slot.phase, slot.kind, slot.channel, slot.visibility, "")
    if draft is None:
        return replace(event, where=slot.id, cursor=cursor, passed=True)
    counted = {name: getattr(draft, name) for name in ("text", "quotes", "tokens", "cut", "forged", "excess")}
    return replace(event, where=slot.id, cursor=cursor, **counted)
