"""Exploration over plans: a value memory per plan, and PUCT in the sampler, not in the advantage.

    score(a) = q̄(a) + c √prior(a) √(N + 1) / (1 + n(a))      (after Silver et al. 2017, with the root of the prior)

Both the root and the value of plans never followed matter. Sixteen plans, a decoy worth .6 with prior .5, the best
worth 1 with prior .004: it is first tried at pull 47 with the root and the running mean, at 207 with the plain prior,
at 136 where unvisited plans are worth 0, and at 22,751 with both changes. Letters: A plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass
class PlanMemory:
    """How often each plan was followed and what it earned.

    Attributes:
        plans: A.
        constant: c, in units of the reward.
        counts: [A] n(a). totals: [A] sums of rewards.
    """

    plans: int
    constant: float = 1.0
    counts: Array = field(init=False)
    totals: Array = field(init=False)

    def __post_init__(self) -> None:
        """Starts empty."""
        if self.plans < 1 or self.constant < 0:
            raise ValueError(f"PlanMemory: expected plans >= 1 and constant >= 0, got {self.plans}, {self.constant}")
        self.counts, self.totals = np.zeros(self.plans), np.zeros(self.plans)

    @property
    def values(self) -> Array:
        """[A] mean reward of each plan; of a plan never followed, the running mean over all (0 before any)."""
        pulls = float(self.counts.sum())
        running = float(self.totals.sum()) / pulls if pulls else 0.0
        return np.where(self.counts > 0, self.totals / np.maximum(self.counts, 1), running)

    def scores(self, prior: ArrayLike) -> Array:
        """[A] PUCT scores under the policy's prior over plans."""
        p = self._distribution(prior)
        exploration: Array = self.constant * np.sqrt(p) * np.sqrt(self.counts.sum() + 1) / (1 + self.counts)
        return self.values + exploration

    def choose(self, prior: ArrayLike) -> int:
        """The plan with the highest score; ties go to the first."""
        return int(np.argmax(self.scores(prior)))

    def visits(self, prior: ArrayLike, pulls: int) -> Array:
        """[A] shares of the next `pulls` choices, each earning what its plan is thought to be worth.

        What AlphaZero plays from (Silver et al. 2017): here, so that matches played side by side do not all follow the
        same plan. A match draws its plan from it with its own seed; nothing depends on what else is played.
        """
        if pulls < 1:
            raise ValueError(f"PlanMemory.visits: expected at least 1 pull, got {pulls}")
        ahead = PlanMemory(self.plans, self.constant)
        ahead.counts, ahead.totals = self.counts.copy(), self.totals.copy()
        for _ in range(pulls):
            plan = ahead.choose(prior)
            ahead.record(plan, float(ahead.values[plan]))
        shares: Array = (ahead.counts - self.counts) / pulls
        return shares

    def record(self, plan: int, reward: float) -> None:
        """Remembers what a plan earned. A reward that is not known must not be recorded.

        Raises:
            ValueError: no such plan, or a reward that is not finite.
        """
        if not 0 <= plan < self.plans or not np.isfinite(reward):
            raise ValueError(
                f"PlanMemory: expected a plan below {self.plans} and a finite reward, got {plan}, {reward}"
            )
        self.counts[plan] += 1
        self.totals[plan] += reward

    def target(self, prior: ArrayLike, temperature: float = 0.1) -> Array:
        """[A] what the policy over plans is pulled to: π(a) ∝ prior(a) exp(q̄(a) / temperature).

        The value-weighted update: a policy gradient would weigh each plan by how often the *sampler* took it.
        """
        p = self._distribution(prior)
        if not temperature > 0:
            raise ValueError(f"PlanMemory.target: expected a temperature > 0, got {temperature}")
        logits = self.values / temperature
        weights: Array = p * np.exp(logits - logits.max())
        return weights / float(weights.sum())

    def _distribution(self, prior: ArrayLike) -> Array:
        p = np.asarray(prior, dtype=np.float64)
        if p.shape != (self.plans,) or (p < 0).any() or abs(p.sum() - 1) > 1e-6:
            raise ValueError(f"PlanMemory: expected a distribution over {self.plans} plans, got {p.tolist()}")
        return p

    def state(self) -> dict[str, Any]:
        """JSON-able memory."""
        return {"counts": self.counts.tolist(), "totals": self.totals.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores `state()` bit for bit."""
        counts, totals = np.array(state["counts"], dtype=float), np.array(state["totals"], dtype=float)
        if counts.shape != (self.plans,) or totals.shape != (self.plans,):
            raise ValueError(f"PlanMemory: expected state of {self.plans} plans, got {counts.shape}")
        self.counts, self.totals = counts, totals
