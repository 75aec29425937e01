"""A person at the terminal in a seat of the debate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from debate.agents.agent import Ask, Reply
from debate.protocol.kernel import choices
from debate.transcript import Failure
from debate.views import Style


@dataclass(frozen=True)
class HumanSpeaker:
    """Shows a person what their seat may see and reads their move; what is asked again is only what was mistyped.

    Attributes:
        ask: reads one line after a prompt (`input`).
        tell: shows a line (`print`).
    """

    ask: Callable[[str], str] = input
    tell: Callable[[str], None] = print
    style: Style = "chat"

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One person, one move after the other."""
        return [self._move(ask) for ask in asks]

    def _move(self, ask: Ask) -> Reply:
        self.tell(f"\n— you are {ask.seat} —")
        last = max((i for i, m in enumerate(ask.messages) if m.role == "assistant"), default=-1)
        for message in ask.messages[last + 1 :]:
            self.tell(message.text)
        offered = choices(ask.state)
        try:
            if not offered:
                return Reply(self.ask("> "))
            for number, text in enumerate(offered, 1):
                self.tell(f"  {number}. {text}")
            while True:
                line = self.ask(f"1–{len(offered)} > ").strip()
                if line.isascii() and line.isdigit() and 1 <= int(line) <= len(offered):
                    option = int(line) - 1
                    certain = tuple(float(i == option) for i in range(len(offered)))
                    return Reply(offered[option], option, certain, stop_reason="choice")
                self.tell(f"{line!r} is not a number from 1 to {len(offered)}")
        except EOFError:
            return Reply(
                stop_reason="error", failure=Failure("human", ask.seat, "the input ended before a move was made")
            )
