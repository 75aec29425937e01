"""One update of several agents over one base: one forward and one backward pass, isolated gradients.

Each agent keeps its own loss, clip, optimiser, reference and state, exactly as if it were updated alone; only the
passes through the base are shared (see `grouped_lora`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch, merge
from debate.learning.grouped_lora import grouped, layer_of
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.logprobs import BatchTensors, to_tensors, unit_logprobs
from debate.learning.steps import MEASURED, Step
from debate.transcript import Policy

if TYPE_CHECKING:
    from torch import Tensor


class AdapterHost(Protocol):
    """What holds the base model (`debate.engines.adapters.AdapterPolicies`)."""

    base: Any
    spec: Any

    def use(self, policy: str) -> AbstractContextManager[Any]:
        """For "": the base with every adapter switched off."""
        ...


class Member(PolicyGradientLearner):
    """One agent of a joint learner: its matrices, optimiser and reference. It may also be updated alone."""

    def __init__(self, host: AdapterHost, policy: Policy, config: LearnerConfig, weights: Mapping[str, Any]) -> None:
        """Takes copies of an adapter's weights, in PEFT's file format.

        Raises:
            ValueError: matrices for layers the model does not have.
        """
        import torch

        device = next(host.base.parameters()).device
        self.host = host
        self.scale = float(host.spec.alpha) / host.spec.rank
        self.matrices: dict[str, Any] = {}
        for key in sorted(weights):
            layer_of(host.base, key)
            tensor = torch.as_tensor(weights[key]).to(device=device, dtype=torch.float32, copy=True)
            self.matrices[key] = torch.nn.Parameter(tensor)
        super().__init__(host.base, policy, config, str(device))

    def _trainable(self) -> dict[str, Any]:
        return self.matrices

    @contextmanager
    def _acting(self) -> Iterator[None]:
        with self.host.use(""), grouped(self.model, [self.matrices], None, self.scale):
            yield


class JointLearner:
    """Updates several agents at once. `members[name]` is each agent's own learner."""

    def __init__(
        self, host: AdapterHost, agents: Mapping[str, tuple[Policy, LearnerConfig, Mapping[str, Any]]]
    ) -> None:
        """Makes a member of every agent.

        Args:
            host: holds the base model; all adapters have its shape.
            agents: name → (policy, how to update it, adapter weights in PEFT's file format). Epochs, temperature and
                the rows of a part are shared and must agree.

        Raises:
            ValueError: no agents, or settings that must agree and do not.
        """
        if not agents:
            raise ValueError("a joint learner needs at least one agent")
        self.host = host
        self.members = {name: Member(host, *agent) for name, agent in agents.items()}
        for setting in ("epochs", "temperature", "part_rows"):
            values = {getattr(member.config, setting) for member in self.members.values()}
            if len(values) > 1:
                raise ValueError(f"agents of a joint learner must agree on {setting}, got {sorted(values)}")
        self.config = next(iter(self.members.values())).config

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """One update of every agent that has a batch; the same as `members[name].update(batch)` up to rounding.

        Returns:
            Agent → measurements, as in `PolicyGradientLearner.update`; `seconds` are those of the whole.

        Raises:
            TrainingFailed: too many skipped steps of one agent in a row.
            ValueError: a batch of an agent that is no member.
        """
        unknown = sorted(set(batches) - set(self.members))
        if unknown:
            raise ValueError(f"joint learner: no agent {', '.join(unknown)}; it has {', '.join(self.members)}")
        with self.host.use(""):
            self.host.base.eval()
            runs = {name: self.members[name]._begin(batch) for name, batch in batches.items()}
            count = max((len(run.steps) for run in runs.values()), default=0)
            steps = [
                _JointStep(self, {n: r.steps[s] for n, r in runs.items() if s < len(r.steps)}) for s in range(count)
            ]
            for step in steps:
                step.measure_before()
            for _ in range(self.config.epochs):
                for run in runs.values():
                    run.start_pass()
                for step in steps:
                    for name, measured in step.accumulate().items():
                        runs[name].record(measured, self.members[name]._descend(measured[0]))
        return {name: self.members[name]._finish(run) for name, run in runs.items()}


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of several agents in memory at once: how many of each agent, its units here, and those units in its step."""

    tensors: BatchTensors
    rows: list[int]
    here: dict[str, slice]
    units: dict[str, slice]


class _JointStep:
    """The steps of several agents that share their passes."""

    def __init__(self, learner: JointLearner, steps: Mapping[str, Step]) -> None:
        self.members = {name: learner.members[name] for name in steps}
        self.steps = steps
        self.base, self.temperature = learner.host.base, learner.config.temperature
        self.parts: list[_Part] = []
        size = learner.config.part_rows or max(step.batch.rows for step in steps.values())
        for start in range(0, max(step.batch.rows for step in steps.values()), size):
            cuts, units, here, offset = [], {}, {}, 0
            for name, step in steps.items():
                stop = min(start + size, step.batch.rows)
                cut = step.batch.select(min(start, stop), stop)
                first, last = np.searchsorted(step.batch.unit_row, [min(start, stop), stop])
                cuts.append(cut)
                units[name], here[name] = slice(int(first), int(last)), slice(offset, offset + cut.units)
                offset += cut.units
            tensors = to_tensors(merge(cuts), str(self.base.device))
            self.parts.append(_Part(tensors, [cut.rows for cut in cuts], here, units))

    def _forward(self, part: _Part, reference: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of a part's units, every agent's rows through its own adapter."""
        adapters = [m._reference if reference else m.matrices for m in self.members.values()]
        scale = next(iter(self.members.values())).scale
        with grouped(self.base, adapters, part.rows, scale):
            return unit_logprobs(self.base, part.tensors, self.temperature)

    def measure_before(self) -> None:
        """π_old and the references of the agents that want them."""
        import torch

        compare = [n for n, m in self.members.items() if m.config.compare]
        measure = [n for n, m in self.members.items() if m.config.measure_kl or m.config.loss.kl]
        with torch.no_grad():
            for wanted, attribute in ((compare, "old"), (measure, "reference")):
                if wanted:
                    values = [self._forward(part, attribute == "reference")[0] for part in self.parts]
                    for name in wanted:
                        own = [v[part.here[name]] for v, part in zip(values, self.parts, strict=True)]
                        setattr(self.steps[name], attribute, torch.cat(own))

    def accumulate(self) -> dict[str, NDArray[np.float64]]:
        """One backward pass for every part; agent → `MEASURED`."""
        import torch

        totals = {n: torch.zeros(len(MEASURED), dtype=torch.float64, device=self.base.device) for n in self.members}
        for member in self.members.values():
            member._optimizer.zero_grad(set_to_none=True)
        for part in self.parts:
            logprobs, entropies = self._forward(part)
            losses = []
            for name, member in self.members.items():
                here = part.here[name]
                if here.stop == here.start:
                    continue
                result, measured = member._loss(
                    self.steps[name],
                    part.units[name],
                    logprobs[here],
                    entropies[here],
                    part.tensors.rows[here],
                    part.tensors.turns[here],
                )
                losses.append(result.total)
                totals[name] += measured
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        return {name: total.cpu().numpy() for name, total in totals.items()}
