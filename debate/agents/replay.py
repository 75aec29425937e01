"""Moves that were made before, made again: the beginning of a match that is played on from another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from debate.agents.agent import Agent, Ask, Reply, Speaker
from debate.transcript import Transcript, Turn
from debate.views import Style


class Replaying(Mapping[str, Agent]):
    """A cast that answers the asks whose seeds it knows from a table, and asks the real agents for the rest.

    A move's seed names its run, match, slot and seat, so it says exactly which move is meant.
    """

    def __init__(self, cast: Mapping[str, Agent], table: Mapping[int, Reply]) -> None:
        """Wraps a cast.

        Args:
            cast: policy id → agent.
            table: seed of an ask → the reply.
        """
        self.cast, self.table = cast, table
        self._speakers: dict[int, ReplayingSpeaker] = {}

    def __getitem__(self, policy: str) -> Agent:
        agent = self.cast[policy]
        wrapped = self._speakers.setdefault(id(agent.speaker), ReplayingSpeaker(agent.speaker, self.table))
        return Agent(agent.policy, wrapped)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cast)

    def __len__(self) -> int:
        return len(self.cast)


@dataclass(frozen=True)
class ReplayingSpeaker:
    """Gives known replies again and asks for the others in one batch."""

    inner: Speaker
    table: Mapping[int, Reply]

    @property
    def style(self) -> Style:
        """That of the inner speaker."""
        return self.inner.style

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, in order."""
        new = [ask for ask in asks if ask.seed not in self.table]
        fresh = iter(await self.inner(new) if new else [])
        return [self.table[ask.seed] if ask.seed in self.table else next(fresh) for ask in asks]


def replies(transcript: Transcript) -> list[tuple[Turn, Reply]]:
    """Each turn for which somebody was asked, with the reply that made it. It costs nothing now: it did then."""
    rows: dict[str, list[int]] = {}
    found = []
    for turn in transcript.turns:
        if not turn.policy:
            continue
        row = rows.setdefault(turn.seat, [])
        if turn.fresh:
            row.clear()
        row.extend(turn.prompt_tokens or ())
        reply = Reply(
            turn.public or turn.private,
            turn.option,
            turn.probabilities,
            None if turn.prompt_tokens is None else tuple(row),
            turn.tokens,
            turn.logprobs,
            turn.choices,
            turn.stop_reason,
        )
        row.extend(turn.tokens or ())
        found.append((turn, reply))
    return found
