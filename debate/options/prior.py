"""An agent that draws its plan moves near an equilibrium of the option game."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from debate.agents.agent import Agent, Ask, Reply, Speaker
from debate.errors import UserError
from debate.options.states import is_plan, option_state
from debate.protocol.kernel import choices
from debate.seeds import derive, draw
from debate.views import Style

Priors = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PriorSpeaker:
    """Mixes a speaker's plan probabilities π with a prior τ: p ∝ π^(1 − s) τ^s (a logarithmic opinion pool).

    This is piKL's rule (`debate.learning.pikl`) with log π in the place of the values, s = λ / (1 + λ). What is
    recorded of a pick is the policy's own log-probability, so that the play may be learned from with an importance
    correction.

    Attributes:
        inner: who speaks.
        priors: information state → {plan move: probability}, as `OptionEquilibrium.priors`.
        strength: s between 0 (the speaker alone) and 1 (the prior alone).
    """

    inner: Speaker
    priors: Priors
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a strength outside [0, 1].

        Raises:
            ValueError: so it is.
        """
        if not 0.0 <= self.strength <= 1.0:
            raise ValueError(f"PriorSpeaker.strength: expected a number between 0 and 1, got {self.strength}")

    @property
    def style(self) -> Style:
        """That of the inner speaker."""
        return self.inner.style

    async def __call__(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """One reply an ask, in order."""
        replies = await self.inner(asks)
        return [self._mixed(ask, reply) for ask, reply in zip(asks, replies, strict=True)]

    def _mixed(self, ask: Ask, reply: Reply) -> Reply:
        if not is_plan(ask.state.current) or reply.failure is not None:
            return reply
        names = choices(ask.state)
        tau = prior_at(self.priors, option_state(ask.state, ask.seat), names)
        mixed = pool(reply.probabilities, tau, self.strength)
        option = draw(mixed, derive(ask.seed, "prior"))
        own = reply.probabilities[option]
        known = reply.logprobs is not None
        return replace(
            reply,
            text=names[option],
            option=option,
            probabilities=mixed,
            tokens=reply.choices[option] if reply.choices is not None else None,
            logprobs=(math.log(own) if own > 0 else -math.inf,) if known else None,
        )


def pool(own: Sequence[float], prior: Sequence[float], strength: float) -> tuple[float, ...]:
    """[K] p ∝ π^(1 − s) τ^s; the prior where nothing is possible under both.

    >>> pool((0.5, 0.5), (0.8, 0.2), 1.0)
    (0.8, 0.2)
    """
    if strength in (0.0, 1.0):
        return tuple(prior if strength else own)
    weights = [a ** (1 - strength) * b**strength for a, b in zip(own, prior, strict=True)]
    total = math.fsum(weights)
    return tuple(w / total for w in weights) if total > 0 else tuple(prior)


def prior_at(priors: Priors, state: str, names: Sequence[str]) -> tuple[float, ...]:
    """[K] the prior of the plan moves at an information state; at its `SEAT/SLOT` where the state is not there.

    Raises:
        UserError: neither is there, or other plan moves are named.
    """
    place = state.partition(" after ")[0]
    row = priors.get(state, priors.get(place))
    if row is None:
        raise UserError(f"prior: no state {state!r} nor {place!r}; it has {', '.join(list(priors)[:6])}")
    if set(row) != set(names):
        raise UserError(f"prior: state {state!r} names {', '.join(row)}; the protocol offers {', '.join(names)}")
    return tuple(float(row[name]) for name in names)


def read_option_priors(path: Path) -> Priors:
    """The priors in a file that `debate options` wrote.

    Raises:
        UserError: no such file, not JSON, or something that is no distribution.
    """
    from debate.learning.plans import read_priors

    return read_priors(path)


def with_prior(agent: Agent, priors: Priors, strength: float = 1.0) -> Agent:
    """The agent with its plan moves pulled to a prior."""
    return Agent(agent.policy, PriorSpeaker(agent.speaker, priors, strength))
