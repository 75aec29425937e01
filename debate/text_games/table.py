"""An agent that plays a text game by a table of probabilities, such as a solver's equilibrium."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from debate.agents.agent import Ask, Reply
from debate.protocol.kernel import choices
from debate.seeds import derive, draw
from debate.views import Style


@dataclass(frozen=True)
class TableSpeaker:
    """Picks by a policy table.

    Attributes:
        policy: information state, named `seat|string` as in `debate.text_games.compiled` → {action: probability}.
    """

    policy: Mapping[str, Mapping[str, float]]
    style: Style = "compact"

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One pick an ask.

        Raises:
            KeyError: an information state that the table does not have.
        """
        return [self._reply(ask) for ask in asks]

    def _reply(self, ask: Ask) -> Reply:
        slot, offered = ask.state.current, choices(ask.state)
        assert slot is not None
        told = slot.instruction.compact.replace("{{", "{").replace("}}", "}")
        row = self.policy[f"{ask.seat}|{told}"]
        probabilities = tuple(row.get(action, 0.0) for action in offered)
        option = draw(probabilities, derive(ask.seed, "pick"))
        return Reply(offered[option], option, probabilities, stop_reason="choice")
