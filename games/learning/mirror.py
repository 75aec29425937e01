"""Mirror-descent self-play with exact payoffs: naive, towards a magnet, optimistic, extragradient.

One step multiplies each action's probability by what it is worth and pulls the policy towards the magnet ρ:

    π(a) ∝ [π(a) ρ(a)^{ηβ} exp(η q(a))]^{1 / (1 + ηβ)}        (magnetic mirror descent, Sokota et al. 2023, eq. 8)

With β = 0 this is the exponentiated gradient, whose last iterate cycles in zero-sum games. With a fixed magnet it
converges, to a point biased towards the magnet; where the magnet is replaced by the current policy every K steps, the
sequence of those points converges to a Nash equilibrium (proximal point method; K must outlast the inner
convergence). Optimistic steps use 2 q_t − q_{t−1} (Rakhlin and Sridharan 2013; Daskalakis and Panageas 2019),
extragradient steps the values at a point looked ahead to (Korpelevich 1976).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.extensive.tree import ExtensiveGame
from games.learning.field import Field, field_of, normalised, uniform
from games.normal_form import Array, NormalFormGame

RULES = ("naive", "fixed_magnet", "moving_magnet", "optimistic", "extragradient")


@dataclass(frozen=True, eq=False)
class SelfPlay:
    """Where self-play came to.

    Attributes:
        policy: [Q] the last iterate; the players' strategies one after the other for a normal-form game.
        nash_conv: of the last iterate.
        trace: step → NashConv of the iterate then.
    """

    policy: Array
    nash_conv: float
    trace: Mapping[int, float]


def self_play(
    game: NormalFormGame | ExtensiveGame,
    rule: str = "moving_magnet",
    steps: int = 10_000,
    eta: float = 0.05,
    beta: float = 0.1,
    every: int = 200,
    start: ArrayLike | None = None,
    magnet: ArrayLike | None = None,
    trace: Iterable[int] = (),
) -> SelfPlay:
    """Simultaneous self-play of all players.

    1. q = what each action is worth against the others' policies now (at the point looked ahead to; with optimism,
       twice the new values less the last ones).
    2. Every information set takes the step above.
    3. A moving magnet becomes the current policy after every K-th step.

    Args:
        game: scalar.
        rule: one of `RULES`.
        steps: how many.
        eta: step size η.
        beta: strength β of the magnet; used by the two magnet rules only.
        every: K.
        start: [Q] first policy, every probability > 0; uniform by default.
        magnet: [Q] the (first) magnet ρ, every probability > 0; uniform by default.
        trace: steps after which NashConv is recorded; 0 is the start.

    Raises:
        ValueError: an unknown rule, a number out of range, or a policy that does not fit or touches the boundary.
    """
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}")
    for name, value in (("steps", steps), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not (eta > 0 and beta >= 0):
        raise ValueError(f"expected eta > 0 and beta >= 0, got {eta} and {beta}")
    field = field_of(game)
    points = set(trace)
    logp = np.log(_interior(field, start, "start"))
    rho = np.log(_interior(field, magnet, "magnet"))
    pull = eta * beta if rule in ("fixed_magnet", "moving_magnet") else 0.0
    recorded = {0: field.nash_conv(np.exp(logp))} if 0 in points else {}
    last: Array | None = None
    for t in range(1, steps + 1):
        q = field.values(np.exp(logp))
        direction = q
        if rule == "optimistic":
            direction = q if last is None else 2.0 * q - last
            last = q
        elif rule == "extragradient":
            direction = field.values(np.exp(normalised(field, logp + eta * q)))
        logp = normalised(field, (logp + pull * rho + eta * direction) / (1.0 + pull))
        if rule == "moving_magnet" and t % every == 0:
            rho = logp
        if t in points:
            recorded[t] = field.nash_conv(np.exp(logp))
    policy = np.exp(logp)
    return SelfPlay(policy, field.nash_conv(policy), recorded)


def _interior(field: Field, given: ArrayLike | None, name: str) -> Array:
    """[Q] a policy in the interior of the simplices, checked; uniform where none is given."""
    if given is None:
        return uniform(field)
    policy = np.asarray(given, dtype=np.float64)
    if policy.shape != field.owner.shape:
        raise ValueError(f"{name}: expected [{len(field.owner)}], got shape {policy.shape}")
    sums = np.add.reduceat(policy, field.first)
    if not (policy > 0).all() or np.abs(sums - 1.0).max() > 1e-6:
        raise ValueError(f"{name}: expected positive probabilities that sum to 1 in each information set, got {policy}")
    return policy
