"""What a solver answers with: a profile together with the evidence that it is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from games.normal_form import Array


class NotConverged(RuntimeError):
    """A solver stopped before its answer met the tolerance; the message says what was reached."""


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """One solution of a game, verified.

    Attributes:
        concept: "nash", "ce", "cce", "logit", "stackelberg", "alpharank", "ser", "esr".
        method: the algorithm that found it.
        profile: P mixed strategies [k_i]; None where the concept is a joint distribution.
        joint: [k_0, …] distribution over pure profiles; None where the concept is a product profile.
        regrets: [P] each player's largest gain from a deviation of the kind the concept forbids.
        nash_conv: Σ regrets (for "ce" and "cce": the sum of the largest incentive violations).
        support: for each player, the strategies played with positive probability.
        degenerate: whether the game is degenerate there (some best reply outside the support, or a
            payoff-equivalent duplicate); None where it was not examined.
        exact: regrets verified with rational arithmetic.
        interval: named intervals (name → (low, high)), such as a bootstrap's; empty where none was asked for.
        payoffs: [P, C] expected payoffs.
        details: numbers of the method (iterations, residual, path parameter, …).
    """

    concept: str
    method: str
    regrets: Array
    nash_conv: float
    profile: tuple[Array, ...] | None = None
    joint: Array | None = None
    support: tuple[tuple[int, ...], ...] = ()
    degenerate: bool | None = None
    exact: bool = False
    interval: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    payoffs: Array | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses an answer that is no answer.

        Raises:
            ValueError: neither or both of profile and joint, or a number that is not finite.
        """
        if (self.profile is None) == (self.joint is None):
            raise ValueError("Equilibrium: expected either a profile or a joint distribution")
        arrays = list(self.profile) if self.profile is not None else [np.asarray(self.joint)]
        if not all(np.isfinite(a).all() for a in [*arrays, self.regrets]):
            raise ValueError(f"Equilibrium: {self.method} produced numbers that are not finite")


def support_of(profile: Sequence[Array], tolerance: float = 1e-9) -> tuple[tuple[int, ...], ...]:
    """For each player the indices of strategies with probability above `tolerance`."""
    return tuple(tuple(int(k) for k in np.flatnonzero(p > tolerance)) for p in profile)
