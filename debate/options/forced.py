"""Agents whose plan moves are given beforehand; their words are their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from debate.agents.agent import Agent, Ask, Reply, Speaker
from debate.options.states import PLAN, is_plan
from debate.protocol.kernel import choices
from debate.transcript import Policy
from debate.views import Style

MARK = "~"


@dataclass
class ForcedSpeaker:
    """Answers picks of plan moves by the plan in the policy's name and passes everything else on.

    Attributes:
        inner: who speaks.
        plans: id of the forced policy → (id of the policy that speaks, its plan moves in order).
    """

    inner: Speaker
    plans: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    @property
    def style(self) -> Style:
        """That of the inner speaker."""
        return self.inner.style

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, in order; the inner speaker gets all it must answer as one batch."""
        spoken = [ask for ask in asks if not is_plan(ask.state.current)]
        told = [replace(ask, policy=self.plans[ask.policy][0]) for ask in spoken]
        words = iter(await self.inner(told) if told else ())
        return [self._picked(ask) if is_plan(ask.state.current) else next(words) for ask in asks]

    def _picked(self, ask: Ask) -> Reply:
        _, plan = self.plans[ask.policy]
        done = sum(event.seat == ask.seat and event.phase == PLAN for event in ask.state.events)
        offered = choices(ask.state)
        option = offered.index(plan[done])
        return Reply(
            offered[option], option, tuple(float(i == option) for i in range(len(offered))), stop_reason="choice"
        )


def force(agents: Sequence[tuple[Agent, tuple[str, ...]]]) -> list[Agent]:
    """Agents that follow a plan each; those with one speaker share one wrapper, so that they stay one batch."""
    wrapped: dict[int, ForcedSpeaker] = {}
    result = []
    for agent, plan in agents:
        speaker = wrapped.setdefault(id(agent.speaker), ForcedSpeaker(agent.speaker))
        old = agent.policy
        policy = Policy(f"{old.name}{MARK}{'.'.join(plan)}", old.version, old.base, old.adapter)
        speaker.plans[policy.id] = (old.id, plan)
        result.append(Agent(policy, speaker))
    return result
