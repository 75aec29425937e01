"""What happened in a match as reward rules read it: every event, hidden ones included."""

from __future__ import annotations

from debate.protocol.kernel import State
from judges.types import Act


def acts_of(state: State) -> tuple[Act, ...]:
    """The acts of a match so far, in order; what only led to a speech is none."""
    slots = state.setup.protocol.slots
    return tuple(
        Act(e.seat, e.role, e.phase, e.kind, e.text, e.option, e.probabilities, e.visibility == "public")
        for e in state.events
        if not slots[e.where].aside
    )
