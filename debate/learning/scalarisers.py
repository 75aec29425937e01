"""From reward vectors to one number, each way of doing it named.

Two stages exist. A *utility* scores the reward vector of every episode before credit is assigned (ESR: the expected
utility of returns is maximised). A *combination* mixes the criteria's normalised advantages (linear; SER, the utility
of the expected return, through its gradient at the mean; Lagrangian). Survey: Hayes et al. 2022, JAAMAS 36:26.
Axis letters: N samples, C criteria.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@runtime_checkable
class Utility(Protocol):
    """ESR: the utility of each episode's reward vector."""

    def utility(self, rewards: Array, criteria: Sequence[str]) -> Array:
        """[N] utilities of [N, C] rewards; NaN where a criterion it needs is not known."""
        ...


@runtime_checkable
class Combination(Protocol):
    """Mixes normalised advantages."""

    def combine(self, advantages: Array, rewards: Array, criteria: Sequence[str]) -> Array:
        """[N] mixed from [N, C] advantages; `rewards` [N, C] are the raw ones. NaN where nothing is known."""
        ...


def weight_vector(weights: Mapping[str, float], criteria: Sequence[str]) -> Array:
    """[C] weights in the order of the criteria; a criterion without one weighs 0.

    Raises:
        ValueError: a weight for an unknown criterion, one that is not finite, or none that is not 0.
    """
    unknown = sorted(set(weights) - set(criteria))
    if unknown:
        raise ValueError(f"weights: unknown criteria {', '.join(unknown)}; the rewards have {', '.join(criteria)}")
    vector = np.array([float(weights.get(name, 0.0)) for name in criteria])
    if not np.isfinite(vector).all() or not vector.any():
        raise ValueError(f"weights: expected finite numbers, at least one not 0, got {dict(weights)}")
    return vector


def weighted_sum(advantages: Array, weights: Array) -> Array:
    """Σ_c w_c A_c over the criteria that are known; NaN where none with a weight is.

    Args:
        advantages: [N, C].
        weights: [C], or [N, C] where each sample has its own.
    """
    used = np.isfinite(advantages) & (weights != 0)
    known = np.where(used, advantages, 0.0)
    total = known @ weights if weights.ndim == 1 else (known * weights).sum(axis=1)
    return np.where(used.any(axis=1), total, np.nan)


@dataclass(frozen=True)
class Linear:
    """Σ_c w_c A_c. The weights belong to the agent."""

    weights: Mapping[str, float]

    def combine(self, advantages: Array, rewards: Array, criteria: Sequence[str]) -> Array:
        """See `weighted_sum`."""
        return weighted_sum(advantages, weight_vector(self.weights, criteria))


@dataclass(frozen=True, eq=False)
class Drawn:
    """Σ_c w_nc A_nc: weights that were drawn for each sample and told to the agent.

    One policy that is conditioned on its preference covers a front (Abels et al., 1809.07803; Yang et al., 1908.08342).

    Attributes:
        weights: [N, C] ≥ 0, in the order of the criteria.
    """

    weights: Array

    def combine(self, advantages: Array, rewards: Array, criteria: Sequence[str]) -> Array:
        """See `weighted_sum`.

        Raises:
            ValueError: weights of other samples or criteria.
        """
        if self.weights.shape != advantages.shape:
            raise ValueError(f"Drawn: expected weights of shape {advantages.shape}, got {self.weights.shape}")
        return weighted_sum(advantages, self.weights)


@dataclass(frozen=True)
class ChebyshevESR:
    """u(r) = −max_k w_k (z*_k − r_k) of every episode: the expected utility of the return is maximised.

    Attributes:
        weights: criterion → w_k ≥ 0.
        ideal: criterion → z*_k, the best value that can be hoped for.
    """

    weights: Mapping[str, float]
    ideal: Mapping[str, float]

    def utility(self, rewards: Array, criteria: Sequence[str]) -> Array:
        """[N]; NaN where a weighted criterion is not known."""
        weights, ideal = _chebyshev(self.weights, self.ideal, criteria)
        used = weights > 0
        loss: Array = np.max(weights[used] * (ideal[used] - rewards[:, used]), axis=1)
        return -loss


@dataclass(frozen=True)
class ChebyshevSER:
    """u(E r) = −max_k w_k (z*_k − E r_k): the utility of the mean return, ascended along its subgradient.

    ∂u/∂E r_k is w_k at the criterion that attains the maximum at the batch's mean reward and 0 elsewhere.
    """

    weights: Mapping[str, float]
    ideal: Mapping[str, float]

    def combine(self, advantages: Array, rewards: Array, criteria: Sequence[str]) -> Array:
        """w_k* A_k* for the criterion k* that is worst at the mean; ties take the first.

        Raises:
            ValueError: a weighted criterion that no sample knows.
        """
        weights, ideal = _chebyshev(self.weights, self.ideal, criteria)
        known = np.isfinite(rewards)
        missing = [name for c, name in enumerate(criteria) if weights[c] and not known[:, c].any()]
        if missing:
            raise ValueError(f"ChebyshevSER: no sample knows {', '.join(missing)}, so the mean return is not known")
        mean = np.where(known, rewards, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        loss = np.where(weights > 0, weights * (ideal - mean), -np.inf)
        worst = int(np.argmax(loss))
        ascent: Array = weights[worst] * advantages[:, worst]
        return ascent


def _chebyshev(
    weights: Mapping[str, float], ideal: Mapping[str, float], criteria: Sequence[str]
) -> tuple[Array, Array]:
    """Weights and ideal point as vectors, checked."""
    vector = weight_vector(weights, criteria)
    if (vector < 0).any():
        raise ValueError(f"Chebyshev weights: expected numbers >= 0, got {dict(weights)}")
    missing = [name for name, w in zip(criteria, vector, strict=True) if w and name not in ideal]
    if missing:
        raise ValueError(f"Chebyshev: the ideal point lacks {', '.join(missing)}")
    return vector, np.array([float(ideal.get(name, 0.0)) for name in criteria])


@dataclass(frozen=True)
class Lexicographic:
    """Thresholded lexicographic order (Gábor, Kalmár, Szepesvári 1998): a utility that is a rank.

    Episodes are compared on the first criterion, each value cut off at its threshold; ties go to the next criterion.

    Attributes:
        order: criteria, most important first.
        thresholds: criterion → value from which more does not count; the last criterion usually has none.
        resolution: differences below it do not count (values are floored to its multiples); 0 counts every one.
    """

    order: tuple[str, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    resolution: float = 0.0

    def utility(self, rewards: Array, criteria: Sequence[str]) -> Array:
        """[N] mid-ranks scaled to [−1, 1]; NaN where a criterion of the order is not known."""
        weight_vector(dict.fromkeys(self.order, 1.0), criteria)
        columns = []
        for name in self.order:
            column = np.minimum(rewards[:, list(criteria).index(name)], self.thresholds.get(name, np.inf))
            columns.append(np.floor(column / self.resolution) if self.resolution else column)
        keys = np.stack(columns, axis=1)
        known = np.isfinite(keys).all(axis=1)
        out = np.full(len(keys), np.nan)
        if known.any():
            _, inverse, count = np.unique(keys[known], axis=0, return_inverse=True, return_counts=True)
            mid = np.cumsum(count) - (count + 1) / 2.0
            total = int(known.sum())
            out[known] = (2.0 * mid / (total - 1) - 1.0)[inverse.reshape(-1)] if total > 1 else 0.0
        return out


@dataclass(frozen=True, slots=True)
class Constraint:
    """A criterion with a limit: at most (`ceiling`) or at least (`floor`) this much in expectation."""

    criterion: str
    kind: Literal["ceiling", "floor"]
    limit: float

    @property
    def sign(self) -> float:
        """+1 where more of the criterion is a cost, −1 where less is."""
        return 1.0 if self.kind == "ceiling" else -1.0


@dataclass
class Lagrangian:
    """(A_r − Σ_j λ_j s_j A_j) / (1 + Σ_j λ_j) with s_j = +1 for ceilings, −1 for floors (Ray et al. 2019).

    `step` moves the multipliers on raw costs: λ_j ← [λ_j + η s_j (E c_j − d_j)]₊. Keep some entropy in the policy:
    without it the last iterate oscillates around the constraint.

    Attributes:
        weights: of the criteria that are rewards.
        constraints: the criteria that are limited.
        rate: η.
        multipliers: λ_j, one for each constraint; start at 0.
    """

    weights: Mapping[str, float]
    constraints: tuple[Constraint, ...]
    rate: float = 0.05
    multipliers: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Starts the multipliers at 0 where none are given."""
        self.multipliers = list(self.multipliers) or [0.0] * len(self.constraints)
        if len(self.multipliers) != len(self.constraints) or min(self.multipliers, default=0.0) < 0:
            raise ValueError(f"Lagrangian: expected {len(self.constraints)} multipliers >= 0, got {self.multipliers}")

    def combine(self, advantages: Array, rewards: Array, criteria: Sequence[str]) -> Array:
        """[N]; constrained criteria that are not known are left out of a sample's sum."""
        mixed = dict(self.weights)
        for constraint, multiplier in zip(self.constraints, self.multipliers, strict=True):
            mixed[constraint.criterion] = mixed.get(constraint.criterion, 0.0) - multiplier * constraint.sign
        return weighted_sum(advantages, weight_vector(mixed, criteria)) / (1.0 + sum(self.multipliers))

    def step(self, rewards: Array, criteria: Sequence[str]) -> list[float]:
        """Moves the multipliers by the batch's mean raw costs and returns them; an unknown mean moves nothing.

        Args:
            rewards: [N, C] raw.
            criteria: C names.
        """
        for j, constraint in enumerate(self.constraints):
            column = rewards[:, list(criteria).index(constraint.criterion)]
            column = column[np.isfinite(column)]
            if column.size:
                excess = constraint.sign * (float(column.mean()) - constraint.limit)
                self.multipliers[j] = max(0.0, self.multipliers[j] + self.rate * excess)
        return list(self.multipliers)

    def adopt(self, other: Lagrangian) -> None:
        """Takes over the multipliers of the constraints that another one has too."""
        moved = dict(zip((c.criterion for c in other.constraints), other.multipliers, strict=True))
        self.multipliers = [moved.get(c.criterion, m) for c, m in zip(self.constraints, self.multipliers, strict=True)]

    def state(self) -> dict[str, Any]:
        """JSON-able multipliers."""
        return {"multipliers": list(self.multipliers)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores the multipliers."""
        self.multipliers = [float(x) for x in state["multipliers"]]
        self.__post_init__()


def without(scalariser: Combination | Utility, frozen: Collection[str]) -> Combination | Utility:
    """The scalariser as if criteria that pay nothing any more were not among its settings."""
    if not frozen:
        return scalariser

    def rest(values: Mapping[str, float]) -> dict[str, float]:
        return {name: value for name, value in values.items() if name not in frozen}

    if isinstance(scalariser, Lexicographic):
        order = tuple(name for name in scalariser.order if name not in frozen)
        return replace(scalariser, order=order, thresholds=rest(scalariser.thresholds))
    if isinstance(scalariser, Lagrangian):
        held = [
            (c, m)
            for c, m in zip(scalariser.constraints, scalariser.multipliers, strict=True)
            if c.criterion not in frozen
        ]
        return Lagrangian(rest(scalariser.weights), tuple(c for c, _ in held), scalariser.rate, [m for _, m in held])
    if isinstance(scalariser, Linear | ChebyshevESR | ChebyshevSER):
        return replace(scalariser, weights=rest(scalariser.weights))
    return scalariser
