"""What a seat has left of its budgets in a match: tokens, words, quotes."""

from __future__ import annotations

from debate.protocol.drafting import shown
from debate.protocol.events import Event
from debate.protocol.spec import Slot
from debate.protocol.state import State


def allowance(state: State, seat: str) -> int | None:
    """How many tokens a seat has left for words in the current slot (0: it must pass); None where nothing limits it.

    Where an engine hides tokens, words are counted in their place. A draft gets what its speech may use; a critique is
    limited by its slot alone, and passed where there is no draft.
    """
    slot, budgets = state.current, state.setup.protocol.budgets
    if slot is None or slot.kind not in ("speech", "question"):
        return None
    if slot.criticises:
        return None if shown(state.setup.protocol, state.events, slot, seat) else 0
    spoken = _spoken(state, seat)
    slots = state.setup.protocol.slots
    left: list[int] = []
    if budgets.tokens is not None:
        left.append(budgets.tokens - sum(map(_length, spoken)))
    if budgets.think_tokens is not None and slot.think:
        left.append(budgets.think_tokens - sum(_length(e) for e in spoken if slots[e.where].think))
    if budgets.words is not None and not slot.think and words_left(state, seat) == 0:
        left.append(0)
    return max(0, min(left)) if left else None


def _spoken(state: State, seat: str) -> list[Event]:
    """A seat's words so far. Drafts, and critiques of drafts, are paid for by nobody's budget: what is said is."""
    slots = state.setup.protocol.slots
    return [e for e in state.events if e.seat == seat and e.option is None and not slots[e.where].aside]


def _length(event: Event) -> int:
    return len(event.text.split()) if event.tokens is None else event.tokens


def words_left(state: State, seat: str) -> int | None:
    """How many words a seat may still say in the match; None where nothing limits it."""
    budget = state.setup.protocol.budgets.words
    if budget is None:
        return None
    slots = state.setup.protocol.slots
    said = (e for e in _spoken(state, seat) if not slots[e.where].think)
    return max(0, budget - sum(len(e.text.split()) for e in said))


def quotes_left(state: State, seat: str, slot: Slot) -> int | None:
    """How many quotes of a seat are verified in a slot; None where nothing limits it."""
    budget = state.setup.protocol.budgets.quotes
    used = sum(len(e.quotes) - e.excess for e in _spoken(state, seat))
    limits = [n for n in (slot.quotes, None if budget is None else max(0, budget - used)) if n is not None]
    return min(limits) if limits else None


def most_words(state: State, seat: str, slot: Slot) -> int | None:
    """After how many words a speech in a slot is cut; None: never."""
    limits = [slot.most_words] if slot.most_words else []
    left = None if slot.think or slot.criticises else words_left(state, seat)
    return min([*limits, left] if left is not None else limits, default=None)
