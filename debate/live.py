"""A match on the terminal as it is played: speeches when they are released, and who sees them.

What is shown depends on who watches. A spectator sees everything; a person in a seat what that seat may see; a person
who judges what a case holds. The rest is shown when the match is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from debate.agents.agent import Ask, Reply, Speaker
from debate.protocol.drafting import shown
from debate.protocol.kernel import State, sees
from debate.render import printable
from debate.views import Style

if TYPE_CHECKING:
    from debate.protocol.events import Event
    from debate.protocol.spec import DebateProtocol

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


@dataclass
class Screen:
    """Shows the events of a growing state, each once.

    Attributes:
        console: rich's.
        protocol: what is played.
        people: seats in which a person sits.
        judging: whether a person judges.
        told: events looked at so far.
        hidden: those of them that were not shown, with their state.
    """

    console: Any
    protocol: DebateProtocol
    people: tuple[str, ...] = ()
    judging: bool = False
    told: int = 0
    hidden: list[tuple[State, Event]] = field(default_factory=list)
    slot: int = -1

    def opening(self, question: str, options: Sequence[str], sitting: dict[str, str]) -> None:
        """The protocol, the question and who sits where."""
        from rich.rule import Rule

        self.console.print(Rule(printable(self.protocol.title)))
        self._line("question", question)
        if options:
            self._line("options", " | ".join(options))
        for seat, who in sitting.items():
            self._line(f"seat {seat}", "you" if seat in self.people else who, self._colour(seat))

    def show(self, state: State, over: bool = False) -> None:
        """Shows what was released since the last time; once it is over, a person who judged has read the rest."""
        for event in state.events[self.told :]:
            if self._may_see(state, event):
                if not (over and self.judging):
                    self._event(state, event)
            else:
                self.hidden.append((state, event))
        self.told = len(state.events)

    def reveal(self) -> None:
        """Shows what was hidden while the match was played."""
        if not self.hidden:
            return
        from rich.rule import Rule

        self.console.print(Rule("what you could not see"))
        self.slot = -1
        for state, event in self.hidden:
            self._event(state, event)
        self.hidden = []

    def waiting(self, seats: Sequence[str]) -> Any:
        """A sign of life while somebody thinks."""
        if not self.console.is_terminal or self.people:  # a spinner would fight with the line being typed
            return nullcontext()
        return self.console.status(f"{', '.join(seats)} …")

    def _may_see(self, state: State, event: Event) -> bool:
        if self.judging:
            channels = self.protocol.decision.channels
            if event.visibility != "public" or event.channel not in channels or event.kind == "decision":
                return False
        return all(sees(state, seat, event) for seat in self.people)

    def _event(self, state: State, event: Event) -> None:
        from rich.padding import Padding
        from rich.text import Text

        if event.slot != self.slot:
            self.slot = event.slot
            together = [e.seat for e in state.events if e.slot == event.slot]
            self.console.print(Text(f"\n{event.phase}" + (" · at once" if len(together) > 1 else ""), style="dim"))
        head = Text(event.seat, style=f"bold {self._colour(event.seat)}")
        head.append(f"  {self._readers(state, event)}", style="dim")
        if event.legal is False:
            head.append("  illegal", style="bold red")
        self.console.print(head)
        self.console.print(Padding(Text(printable(event.text)), (0, 0, 0, 2)))
        for quote in event.quotes:
            if event.option is None:
                mark = {True: "found in the material", False: "NOT in the material", None: "not checked"}[
                    quote.verified
                ]
                self.console.print(Padding(Text(f"quote {printable(quote.text)!r}: {mark}", style="dim"), (0, 0, 0, 2)))

    def _readers(self, state: State, event: Event) -> str:
        others = [s for s in self.protocol.seats if s != event.seat and sees(state, s, event)]
        decision = self.protocol.decision
        public = event.visibility == "public" and event.channel in decision.channels and event.kind != "decision"
        readers = [*others, *(["the judge"] if public and decision.by == "judge" else [])]
        if self.protocol.slots[event.where].aside:
            return "on the way to a speech: nobody, not even itself later"
        if event.visibility == "ephemeral":
            return "a scratchpad: nobody, not even itself later"
        return f"seen by {', '.join(readers)}" if readers else "private: seen by nobody else"

    def _line(self, name: str, words: str, colour: str = "white") -> None:
        from rich.text import Text

        text = Text(f"{name:<10}", style="dim")
        text.append(printable(words), style=colour)
        self.console.print(text)

    def _colour(self, seat: str) -> str:
        seats = self.protocol.seats
        return COLOURS[seats.index(seat) % len(COLOURS)] if seat in seats else "white"


@dataclass(frozen=True)
class Watched:
    """A speaker on whose every move the screen is brought up to date first.

    Attributes:
        inner: who speaks.
        screen: where it is shown.
        person: whether it is a person at this terminal, who is then told only what the screen has not shown.
    """

    inner: Speaker
    screen: Screen
    person: bool = False

    @property
    def style(self) -> Style:
        """The inner speaker's."""
        return self.inner.style

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """The inner speaker's replies."""
        for ask in asks:
            self.screen.show(ask.state)
        if self.person:
            return await self.inner([_short(ask) for ask in asks])
        with self.screen.waiting([ask.seat for ask in asks]):
            return await self.inner(asks)


def _short(ask: Ask) -> Ask:
    """The ask with the opening, where it is the first, and what is asked for now: speeches are on the screen.

    Drafts and critiques to work on are not; those to pick from are listed as choices anyway.
    """
    first = not any(event.seat == ask.seat for event in ask.state.events)
    opening = [m for m in ask.messages if m.role == "system"] if first else []
    slot = ask.state.current
    assert slot is not None
    drafts = shown(ask.state.setup.protocol, ask.state.events, slot, ask.seat) if slot.kind != "choice" else ()
    return replace(ask, messages=(*opening, *ask.messages[-1 - len(drafts) :]))
