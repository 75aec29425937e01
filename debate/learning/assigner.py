"""What assigns credit to one agent's play, with everything it remembers: baseline, critic, multipliers, plan values.

1. Rewards against their baseline, scalarised, process rewards added (`credit.assign_credit`): one number an episode.
2. Criteria that are tied to turns make each turn's advantage its own (`tied`).
3. Below the episode, a critic that has seen a batch credits turns or plans instead (`turn_credit`); until then
   step 1 stands. The critic is fitted after it was read, so no reward is part of its own baseline.
4. Plan moves of an agent that explores are pulled to plans of high value (`plans`).
5. Multipliers, baseline and memories learn from the batch, after it was credited.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.learning.baselines import Baseline, EmaBaseline, codes
from debate.learning.credit import (
    UTILITY,
    BatchStep,
    Credit,
    CreditConfig,
    assign_credit,
    normalise_over_batch,
    reward_matrix,
)
from debate.learning.critic import TurnCritic
from debate.learning.plans import PlanGuide, offered
from debate.learning.quantile_critic import QuantileCritic
from debate.learning.samples import Sample
from debate.learning.scalarisers import Combination, Drawn, Lagrangian, Utility, weight_vector, weighted_sum, without
from debate.learning.tied import Mask, earned, tied_advantages
from debate.learning.turn_credit import plan_turns, turn_columns
from debate.protocol.spec import DebateProtocol
from debate.recipes.learning import CreditSpec

Array = NDArray[np.float64]
States = Callable[[Sequence[Sample]], Array]
LEVELS = ("turn", "plan")  # whose values the two critics hold


@dataclass(frozen=True, eq=False)
class Assigned:
    """Advantages of a batch, for `TokenBatch.from_samples`, and what to log of them.

    Attributes:
        advantages: N arrays [H_n], or [N] where whole episodes are credited; NaN = not to be trained on.
        credit: what step 1 measured.
        log: further measurements by name.
    """

    advantages: Sequence[Array] | Array
    credit: Credit
    log: Mapping[str, Mapping[str, float]]


@dataclass
class CreditAssigner:
    """One agent's credit.

    Attributes:
        weights: criterion → weight: what plans are valued by, and the linear scalariser.
        scalariser: how advantages become one number.
        baseline: what rewards are compared with.
        spec: level and estimator.
        process: criterion → its weight at an update.
        protocols: by name, those it plays.
        guide: how it explores plans; None where it does not.
        critics: protocol/level → its heads, once a batch has shown their shape.
    """

    weights: Mapping[str, float]
    scalariser: Combination | Utility
    baseline: Baseline
    spec: CreditSpec = field(default_factory=CreditSpec)
    process: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    protocols: Mapping[str, DebateProtocol] = field(default_factory=dict)
    guide: PlanGuide | None = None
    critics: dict[str, TurnCritic | QuantileCritic] = field(default_factory=dict)

    def assign(self, samples: Sequence[Sample], states: States, update: int, frozen: Collection[str] = ()) -> Assigned:
        """Advantages of N samples; everything is read first and learns from the batch afterwards.

        Args:
            samples: of this agent, in a fixed order.
            states: gives the policy's hidden state before each turn, [T, width].
            update: how many updates are done; what process weights depend on.
            frozen: criteria that pay nothing any more.

        Raises:
            ValueError: samples that do not fit the settings.
        """
        levels = {name: 0.0 if name in frozen else schedule(update) for name, schedule in self.process.items()}
        whole, self.scalariser = self.scalariser, without(self.scalariser, frozen)
        try:
            return self._assign(samples, states, levels, frozen)
        finally:
            if isinstance(whole, Lagrangian) and isinstance(self.scalariser, Lagrangian):
                whole.adopt(self.scalariser)
            self.scalariser = whole

    def _assign(
        self, samples: Sequence[Sample], states: States, levels: Mapping[str, float], frozen: Collection[str]
    ) -> Assigned:
        credit = assign_credit(samples, self._scalariser(samples, frozen), self.baseline, CreditConfig(), levels)
        log: dict[str, Mapping[str, float]] = {"process_weight": levels} if levels else {}
        if not samples:
            return Assigned(credit.advantages, credit, log)
        advantages: Sequence[Array] | Array = credit.advantages
        masks = earned(samples, self.protocols, {n for n, w in self.weights.items() if w and n not in levels})
        if masks is not None:
            advantages = self._tied(samples, credit, masks, levels, frozen)
        elif self.spec.estimator == "gae":
            found, log["explained"] = self._below(samples, states(samples), credit, levels, frozen)
            advantages = advantages if found is None else found
        if self.guide is not None:
            advantages = self._guided(samples, advantages, frozen)
            log["plan_value"] = {
                f"{key}/{plan}": float(value)
                for key, memory in sorted(self.guide.memories.items())
                for plan, value in enumerate(memory.values)
            }
        if isinstance(self.scalariser, Lagrangian):
            moved = self.scalariser.step(*reward_matrix(samples))
            names = [constraint.criterion for constraint in self.scalariser.constraints]
            log["multiplier"] = dict(zip(names, moved, strict=True))
        return Assigned(advantages, credit, log)

    def _tied(
        self,
        samples: Sequence[Sample],
        credit: Credit,
        masks: Sequence[Sequence[Mask]],
        levels: Mapping[str, float],
        frozen: Collection[str],
    ) -> list[Array]:
        """Each turn's advantage from the criteria that it earns; process rewards are every turn's."""
        rewards, criteria = reward_matrix(samples)
        final = [c for c, name in enumerate(criteria) if name not in self.process]
        names = tuple(criteria[c] for c in final)
        scalariser = self._scalariser(samples, frozen)
        assert not isinstance(scalariser, Utility)  # refused when the run begins
        places = codes([sample.place for sample in samples])
        step: BatchStep = "scale" if isinstance(self.baseline, EmaBaseline) else "normalise"

        def combine(columns: Array) -> Array:
            mixed = scalariser.combine(columns[:, final], rewards[:, final], names)
            return normalise_over_batch(mixed, places, step, CreditConfig().epsilon)

        found = tied_advantages(credit.normalised, masks, combine)
        for name, weight in levels.items():
            if weight:
                part = weight * credit.normalised[:, criteria.index(name)]
                found = [own + p if np.isfinite(p) else own for own, p in zip(found, part, strict=True)]
        return found

    def _scalariser(self, samples: Sequence[Sample], frozen: Collection[str]) -> Combination | Utility:
        """The scalariser of a batch: where preferences were told, each sample's own weights."""
        if not any(sample.preference for sample in samples):
            return self.scalariser
        criteria = [name for name in samples[0].criteria if name not in self.process]
        rows = [sample.preference or self.weights for sample in samples]
        pays = np.array([name not in frozen for name in criteria], dtype=float)
        return Drawn(np.stack([weight_vector(row, criteria) for row in rows]) * pays)

    def _below(
        self,
        samples: Sequence[Sample],
        states: Array,
        credit: Credit,
        levels: Mapping[str, float],
        frozen: Collection[str],
    ) -> tuple[list[Array] | None, dict[str, float]]:
        """Turn or plan credit, None before the critic has seen a batch; and how much of the returns it explained."""
        rewards, criteria = reward_matrix(samples)
        final = [c for c, name in enumerate(criteria) if name not in self.process]
        columns, names = rewards[:, final], tuple(criteria[c] for c in final)
        scalariser = self._scalariser(samples, frozen)
        if isinstance(scalariser, Utility):  # the critic then predicts the episode's utility, the one column there is
            columns, names = scalariser.utility(columns, names)[:, None], (UTILITY,)
        lengths = [len(sample.turns) for sample in samples]
        cuts = np.cumsum(lengths)[:-1]
        plans = np.concatenate([plan_turns(sample.turns) for sample in samples])
        level = np.where(plans & (self.spec.level == "plan"), 1, 0)
        keys = {int(k): f"{samples[0].protocol}/{LEVELS[k]}" for k in np.unique(level)}
        fitted = all(key in self.critics for key in keys.values())
        values = np.zeros((len(states), len(names)))
        for k, key in keys.items():
            if key in self.critics:
                values[level == k] = self.critics[key].values(states[level == k])
        found = turn_columns(
            samples,
            columns,
            values,
            self.spec.gamma,
            self.spec.lam,
            self.spec.lam_segment if self.spec.level == "plan" else None,
        )
        explained: dict[str, float] = {}
        for k, key in keys.items():
            critic = self.critics.setdefault(key, _critic(self.spec, states.shape[1], names))
            measured = critic.fit(states[level == k], found.returns[level == k])
            explained |= {name if k == 0 else f"{name} (plans)": value for name, value in measured.items()}
        if not fitted:
            return None, explained
        spread = np.repeat(columns, lengths, axis=0)
        if isinstance(scalariser, Utility):
            combined = found.advantages[:, 0]
        else:
            if isinstance(scalariser, Drawn):
                scalariser = Drawn(np.repeat(scalariser.weights, lengths, axis=0))
            combined = scalariser.combine(found.advantages, spread, names)
        for name, weight in levels.items():
            if weight:
                part = np.repeat(weight * credit.normalised[:, criteria.index(name)], lengths)
                combined = np.where(np.isfinite(part), np.where(np.isfinite(combined), combined, 0.0) + part, combined)
        return np.split(combined, cuts), explained

    def _guided(
        self, samples: Sequence[Sample], advantages: Sequence[Array] | Array, frozen: Collection[str]
    ) -> list[Array]:
        """Advantages of every turn, those of plan moves replaced by the guide's; then the guide remembers the batch."""
        assert self.guide is not None
        names = offered(self.protocols, samples)
        pulls = self.guide.advantages(samples, names)
        result = []
        for sample, advantage, pull in zip(samples, advantages, pulls, strict=True):
            turns = np.broadcast_to(np.asarray(advantage, dtype=np.float64), (len(sample.turns),))
            result.append(np.where(np.isfinite(pull) & np.isfinite(turns), pull, turns))
        rewards, criteria = reward_matrix(samples)
        vector = weight_vector({n: w for n, w in self.weights.items() if n not in frozen}, criteria)
        whole = np.isfinite(rewards[:, vector != 0]).all(axis=1)
        utilities = np.where(whole, weighted_sum(rewards, vector), np.nan)
        self.guide.absorb(samples, utilities.tolist(), names)
        return result

    # --- state -------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays by name and JSON-able numbers, for `load`."""
        arrays: dict[str, Array] = {}
        meta: dict[str, Any] = {"baseline": self.baseline.state(), "critics": {}}
        for key, critic in self.critics.items():
            values, meta["critics"][key] = critic.state()
            arrays |= {f"{key}/{name}": value for name, value in values.items()}
        if isinstance(self.scalariser, Lagrangian):
            meta["scalariser"] = self.scalariser.state()
        if self.guide is not None:
            meta["guide"] = self.guide.state()
        return arrays, meta

    def load(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Restores `state()` bit for bit.

        Raises:
            ValueError: state of other settings.
        """
        self.baseline.load(meta["baseline"])
        self.critics = {}
        for key, saved in meta["critics"].items():
            mine = {k.removeprefix(f"{key}/"): v for k, v in arrays.items() if k.startswith(f"{key}/")}
            width = mine["weights"].shape[1 if self.spec.quantiles else 0] - 1
            critic = _critic(self.spec, width, tuple(saved["criteria"]))
            critic.load_state(mine, saved)
            self.critics[key] = critic
        if isinstance(self.scalariser, Lagrangian):
            self.scalariser.load(meta["scalariser"])
        if self.guide is not None:
            self.guide.load(meta["guide"])


def _critic(spec: CreditSpec, width: int, names: tuple[str, ...]) -> TurnCritic | QuantileCritic:
    """A fresh critic as the recipe wants it."""
    if spec.quantiles:
        return QuantileCritic(width, names, spec.quantiles, ridge=spec.ridge)
    return TurnCritic(width, names, spec.ridge)
