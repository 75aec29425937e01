"""Where plan moves are picked, and what a seat knows of the plans when it picks one.

A plan move is a choice slot of phase "option". Information states are named as in files of priors
(`debate.learning`): `SEAT/SLOT`, and behind it what the seat knows of earlier picks, such as `A/2 after A:attack`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from debate.errors import UserError
from debate.protocol.kernel import State, view
from debate.protocol.spec import Block, DebateProtocol, Slot

PLAN = "option"


@dataclass(frozen=True, slots=True)
class PlanSlot:
    """A slot in which plan moves are picked.

    Attributes:
        number: of the slot in the longest match.
        seats: who picks, at once.
        names: the plan moves.
        shown: whether the seats that read its channel see the pick.
        readers: seats that do.
    """

    number: int
    seats: tuple[str, ...]
    names: tuple[str, ...]
    shown: bool
    readers: frozenset[str]


def is_plan(slot: Slot | None) -> bool:
    """Whether plan moves are picked in a slot."""
    return slot is not None and slot.kind == "choice" and slot.phase == PLAN


def plan_slots(protocol: DebateProtocol) -> tuple[PlanSlot, ...]:
    """Every pick of a plan move in the longest match, in order.

    Raises:
        UserError: the protocol has none.
    """
    found = []
    for number, slot in enumerate(protocol.longest()):
        if not is_plan(slot):
            continue
        if not isinstance(slot.choices, tuple):
            raise UserError(f"protocol {protocol.name}, slot {number}: plan moves must be named, not {slot.choices}")
        roles = protocol.channel(slot.channel).readers
        readers = frozenset(seat for seat in protocol.seats if protocol.role_of(seat).name in roles)
        found.append(PlanSlot(number, slot.seats, slot.choices, slot.visibility == "public", readers))
    if not found:
        raise UserError(f"protocol {protocol.name} has no plan moves: give a speech `options` and its role their texts")
    return tuple(found)


def state_name(seat: str, slot: int, known: Iterable[tuple[str, str]]) -> str:
    """The name of an information state from the (seat, option) picks the seat knows of."""
    after = " ".join(f"{who}:{what}" for who, what in known)
    return f"{seat}/{slot} after {after}" if after else f"{seat}/{slot}"


def option_state(state: State, seat: str) -> str:
    """The information state of a seat that is to pick a plan move."""
    known = [(event.seat, event.text) for event in view(state, seat) if event.phase == PLAN]
    return state_name(seat, planned_number(state), known)


def planned_number(state: State) -> int:
    """The number that the current slot has in the longest match, whatever was skipped on the way to it.

    The running number would tell a seat, and a file of priors, how many hidden slots were played.
    """
    assert state.cursor is not None
    number, nodes = 0, state.setup.protocol.schedule
    for place, nth in state.cursor:
        number += nth * sum(map(_length, nodes)) + sum(map(_length, nodes[:place]))
        node = nodes[place]
        nodes = node.items if isinstance(node, Block) else ()
    return number


def _length(node: Slot | Block) -> int:
    return node.repeat * sum(map(_length, node.items)) if isinstance(node, Block) else 1
