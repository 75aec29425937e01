"""Agents as they play in training: their plans picked by a guide, everything else as ever."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from debate.agents.agent import Agent, Ask, Reply, Speaker
from debate.preference import base_id
from debate.protocol.kernel import choices
from debate.seeds import derive, draw
from debate.views import Style

if TYPE_CHECKING:
    from debate.learning.plans import PlanGuide


class Exploring(Mapping[str, Agent]):
    """A cast in which some policies pick their plans by a guide."""

    def __init__(self, cast: Mapping[str, Agent], guides: Mapping[str, PlanGuide]) -> None:
        """Wraps a cast.

        Args:
            cast: policy id → agent.
            guides: id of a policy's weights → its guide.
        """
        self.cast, self.guides = cast, guides
        self._speakers: dict[int, ExploringSpeaker] = {}

    def __getitem__(self, policy: str) -> Agent:
        agent = self.cast[policy]
        if base_id(policy) not in self.guides:
            return agent
        # One wrapper for each speaker, so that all its asks stay one batch.
        wrapped = self._speakers.setdefault(id(agent.speaker), ExploringSpeaker(agent.speaker, self.guides))
        return Agent(agent.policy, wrapped)

    def __iter__(self) -> Iterator[str]:
        return iter(self.cast)

    def __len__(self) -> int:
        return len(self.cast)


@dataclass(frozen=True)
class ExploringSpeaker:
    """Draws plan moves from the guide's distribution instead of the policy's.

    What is recorded of a move is the policy's own log-probability of it.

    Attributes:
        inner: who speaks; its probabilities of the plans are the prior.
        guides: id of a policy's weights → its guide.
    """

    inner: Speaker
    guides: Mapping[str, PlanGuide]

    @property
    def style(self) -> Style:
        """That of the inner speaker."""
        return self.inner.style

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, in order."""
        replies = await self.inner(asks)
        return [self._explored(ask, reply) for ask, reply in zip(asks, replies, strict=True)]

    def _explored(self, ask: Ask, reply: Reply) -> Reply:
        from debate.learning.turn_credit import PLAN

        slot = ask.state.current
        guide = self.guides.get(base_id(ask.policy))
        if guide is None or reply.option is None or slot is None or slot.phase != PLAN:
            return reply
        names = choices(ask.state)
        key = f"{ask.state.setup.protocol.role_of(ask.seat).name}/{ask.state.slot}"
        chances = guide.distribution(key, ask.seat, names, reply.probabilities)
        option = draw(chances.tolist(), derive(ask.seed, "explore"))
        known = reply.probabilities[option]
        return replace(
            reply,
            text=names[option],
            option=option,
            tokens=reply.choices[option] if reply.choices is not None else None,
            logprobs=(math.log(known) if known > 0 else -math.inf,),
        )
