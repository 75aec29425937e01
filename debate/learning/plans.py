"""Which plan to try next while training, and what the policy over plans is then pulled to.

Exploration sits in the sampler, with a value memory per plan, not in the advantage (see `puct`). Two guides:

- PUCT: a plan is drawn from the visit counts of PUCT under the policy's own prior; the policy is pulled to
  π(a) ∝ exp(q̄(a) / temperature).
- piKL: plans are drawn from, and the policy is pulled to, π(a) ∝ exp[(q̄(a) + λ log τ(a)) / ((ηt)⁻¹ + λ)], with τ an
  anchor such as the equilibrium of the option game.

The pull is the gradient of Σ_a target(a) log π(a) over the plans that were tried: each pick weighs target(a) divided by
the share of a among the batch's picks, so it does not matter how often the sampler took a plan. Letters: A plans.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.learning.pikl import pikl_policy
from debate.learning.puct import PlanMemory
from debate.learning.samples import Sample
from debate.learning.turn_credit import is_plan
from debate.protocol.spec import DebateProtocol
from debate.recipes.learning import ExploreSpec
from debate.transcript import Turn

Array = NDArray[np.float64]
Priors = Mapping[str, Mapping[str, float]]


class PlanGuide:
    """One agent's value memory, a row of plans for each (role, slot), and the rule that explores by it."""

    def __init__(self, spec: ExploreSpec) -> None:
        """Starts with an empty memory.

        Raises:
            UserError: an anchor that cannot be read.
        """
        self.spec = spec
        self.memories: dict[str, PlanMemory] = {}
        self.anchor: Priors = read_priors(spec.prior) if spec.prior is not None else {}

    def memory(self, key: str, plans: int) -> PlanMemory:
        """What is remembered at a key; made when first asked for.

        Raises:
            ValueError: another number of plans than before.
        """
        memory = self.memories.setdefault(key, PlanMemory(plans, self.spec.constant))
        if memory.plans != plans:
            raise ValueError(f"plans at {key}: expected {memory.plans} as before, got {plans}")
        return memory

    def distribution(self, key: str, seat: str, names: Sequence[str], prior: Sequence[float]) -> Array:
        """[A] probabilities from which the next plan is drawn.

        Args:
            key: `place_of` the pick.
            seat: who picks.
            names: of the plans.
            prior: the policy's own probabilities of them.
        """
        memory = self.memory(key, len(names))
        if self.spec.kind == "puct":
            return memory.visits(prior, self.spec.visits)
        return self._pikl(memory, key, seat, names)

    def _pikl(self, memory: PlanMemory, key: str, seat: str, names: Sequence[str]) -> Array:
        tau = anchor_at(self.anchor, key, seat, names, str(self.spec.prior))
        return pikl_policy(memory.values, tau, self.spec.lam, self.spec.eta, max(float(memory.counts.sum()), 1.0))

    def advantages(self, samples: Sequence[Sample], names: Mapping[str, Sequence[str]]) -> list[Array]:
        """What each plan move weighs: N arrays [H_n], NaN at every other turn.

        Args:
            samples: N samples of the agent.
            names: key → names of its plans (`offered`).
        """
        picks = [(n, h, t) for n, s in enumerate(samples) for h, t in enumerate(s.turns) if is_plan(t)]
        shares = Counter((place_of(turn), turn.option) for _, _, turn in picks)
        totals = Counter(place_of(turn) for _, _, turn in picks)
        out = [np.full(len(sample.turns), np.nan) for sample in samples]
        for n, h, turn in picks:
            key, option = place_of(turn), turn.option
            assert option is not None
            target = self.target(key, turn.seat, names[key])
            out[n][h] = target[option] * totals[key] / shares[key, option]
        return out

    def target(self, key: str, seat: str, names: Sequence[str]) -> Array:
        """[A] what the policy over plans is pulled to."""
        memory = self.memory(key, len(names))
        if self.spec.kind == "puct":
            return memory.target(np.full(memory.plans, 1.0 / memory.plans), self.spec.temperature)
        return self._pikl(memory, key, seat, names)

    def absorb(self, samples: Sequence[Sample], utilities: Sequence[float], names: Mapping[str, Sequence[str]]) -> None:
        """Remembers what every plan earned; an episode whose utility is not known teaches nothing."""
        for sample, utility in zip(samples, utilities, strict=True):
            for turn in sample.turns:
                if is_plan(turn) and math.isfinite(utility):
                    assert turn.option is not None
                    key = place_of(turn)
                    self.memory(key, len(names[key])).record(turn.option, float(utility))

    def state(self) -> dict[str, Any]:
        """JSON-able memory."""
        return {key: {"plans": m.plans, **m.state()} for key, m in sorted(self.memories.items())}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores `state()` bit for bit."""
        self.memories = {}
        for key, saved in state.items():
            self.memory(key, int(saved["plans"])).load(saved)


def place_of(turn: Turn) -> str:
    """Where a plan is chosen: `role/slot`."""
    return f"{turn.role}/{turn.slot}"


def offered(protocols: Mapping[str, DebateProtocol], samples: Sequence[Sample]) -> dict[str, tuple[str, ...]]:
    """`role/slot` → names of the plans offered there, for every plan move in the samples.

    Raises:
        ValueError: a protocol that is not there, or a plan move in a slot that does not offer named plans.
    """
    found: dict[str, tuple[str, ...]] = {}
    for sample in samples:
        for turn in sample.turns:
            if is_plan(turn) and place_of(turn) not in found:
                choices = protocols[sample.protocol].slots[turn.where].choices
                if not isinstance(choices, tuple):
                    raise ValueError(f"{sample.protocol}, slot {turn.slot}: plans are named, not {choices}")
                found[place_of(turn)] = choices
    return found


def read_priors(path: Path) -> Priors:
    """Plan probabilities by state: `{"debater/0": {"concede": 0.2, "attack": 0.8}, "A": {…}, "*": {…}}`.

    A state is `ROLE/SLOT`, `SEAT/SLOT`, `ROLE`, `SEAT` or `*`; the first that is there counts, in this order.

    Raises:
        UserError: no such file, not JSON, or something that is no distribution.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the plans' probabilities as JSON {{state: {{plan: number}}}}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path}: expected {{state: {{plan: probability}}}}")
    for state, row in found.items():
        numbers = list(row.values()) if isinstance(row, dict) else []
        if not numbers or not all(isinstance(p, int | float) and 0 <= p <= 1 for p in numbers):
            raise UserError(f"{path}: state {state!r}: expected {{plan: probability}} that sum to 1, got {row!r}")
        if abs(math.fsum(numbers) - 1.0) > 1e-6:
            total = math.fsum(numbers)
            raise UserError(f"{path}: state {state!r}: expected probabilities that sum to 1, they sum to {total:g}")
    return found


def anchor_at(priors: Priors, key: str, seat: str, names: Sequence[str], where: str = "anchor") -> Array:
    """[A] the anchor's probabilities at a state.

    Args:
        priors: from `read_priors`.
        key: `role/slot`.
        seat: who picks.
        names: of the plans.
        where: named in messages.

    Raises:
        UserError: a state that the anchor does not have, or plans it does not name.
    """
    role, _, slot = key.partition("/")
    for state in (key, f"{seat}/{slot}", role, seat, "*"):
        if state not in priors:
            continue
        row = priors[state]
        if len(row) != len(names):
            raise UserError(f"{where}: state {state!r} has {len(row)} plans, the protocol offers {len(names)}")
        if all(name in row for name in names):
            chosen = [row[name] for name in names]
        else:
            raise UserError(f"{where}: state {state!r} names {', '.join(row)}; the protocol offers {', '.join(names)}")
        tau = np.array(chosen, dtype=np.float64)
        normed: Array = tau / tau.sum()
        return normed
    raise UserError(f"{where}: no state {key!r}, {seat}/{slot}, {role}, {seat} or *; it has {', '.join(priors)}")
