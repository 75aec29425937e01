"""Agents that are told how to weigh their criteria: one policy for a whole front of preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from debate.agents.agent import Ask, Reply, Speaker
from debate.preference import MARK, base_id, preference_of, words
from debate.transcript import Policy
from debate.views import Style
from judges.types import Message


@dataclass(frozen=True, slots=True)
class Preferring(Policy):
    """A policy under a preference (as `debate.preference.words` writes it); its id names both."""

    preference: str = ""

    @property
    def id(self) -> str:
        """`name-vN@criterion=weight,…`."""
        return f"{self.name}-v{self.version}{MARK}{self.preference}"


@dataclass(frozen=True)
class PreferenceSpeaker:
    """Adds the weights to the end of the system message; whoever is asked without any is told the usual ones.

    Attributes:
        inner: who speaks.
        usual: criterion → weight.
    """

    inner: Speaker
    usual: Mapping[str, float]

    @property
    def style(self) -> Style:
        """That of the inner speaker."""
        return self.inner.style

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, all asked in one batch."""
        return await self.inner([self._told(ask) for ask in asks])

    def _told(self, ask: Ask) -> Ask:
        weights = words(preference_of(ask.policy) or self.usual)
        first, *rest = ask.messages
        text = f"{first.text} {weights}" if self.style == "compact" else f"{first.text}\nWhat you care for: {weights}."
        return replace(ask, policy=base_id(ask.policy), messages=(Message(first.role, text, first.tokens), *rest))


def unwrapped(one: Any) -> Any:
    """The speaker, or the engine, under its wrappers."""
    while hasattr(one, "inner"):
        one = one.inner
    return one
