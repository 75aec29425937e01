"""One update of several agents over one base: one forward and one backward pass, isolated gradients.

Each agent keeps its own loss, clip, optimiser, reference and state, exactly as if it were updated alone; only the
passes through the base are shared (see `grouped_lora`). A loss that is not finite, or a norm that explodes, skips the
step of that agent alone. Where memory runs out, the parts are halved, down to one row of every agent, then to one agent
at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch, merge
from debate.learning.compute import as_forward, checkpointed, low_precision
from debate.learning.grouped_lora import grouped, layer_of
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.logprobs import BatchTensors, to_tensors, unit_logprobs
from debate.learning.memory import in_memory
from debate.learning.steps import MEASURED, Step, cut
from debate.learning.team import ALONE, Team, deal, refuse_to_halve, sum_gradients
from debate.transcript import Policy

if TYPE_CHECKING:
    from torch import Tensor

SHARED = ("epochs", "temperature", "part_rows", "layout", "layout_width", "bf16", "checkpointing", "fused_head")
CACHED_TOKENS = 2048  # of a part, all agents together, that a CPU still works through at full speed


class AdapterHost(Protocol):
    """What holds the base model (`debate.engines.adapters.AdapterPolicies`)."""

    base: Any
    spec: Any

    def use(self, policy: str) -> AbstractContextManager[Any]:
        """For "": the base with every adapter switched off."""
        ...


class Member(PolicyGradientLearner):
    """One agent of a joint learner: its matrices, optimiser and reference. It may also be updated alone."""

    kind = "AdapterLearner"

    def __init__(
        self,
        host: AdapterHost,
        policy: Policy,
        config: LearnerConfig,
        weights: Mapping[str, Any],
        team: Team = ALONE,
    ) -> None:
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
        super().__init__(host.base, policy, config, str(device), team)

    def _trainable(self) -> dict[str, Any]:
        return self.matrices

    @contextmanager
    def _acting(self) -> Iterator[None]:
        with self.host.use(""), grouped(self.model, [self.matrices], None, self.scale, _kind(self.config)):
            yield


class JointLearner:
    """Updates several agents at once. `members[name]` is each agent's own learner."""

    def __init__(
        self,
        host: AdapterHost,
        agents: Mapping[str, tuple[Policy, LearnerConfig, Mapping[str, Any]]],
        team: Team = ALONE,
    ) -> None:
        """Makes a member of every agent.

        Args:
            host: holds the base model; all adapters have its shape.
            agents: name → (policy, how to update it, adapter weights in PEFT's file format). What concerns the shared
                passes must agree (`SHARED`).
            team: processes that share every update, each with such a learner; all of them call the same methods.

        Raises:
            ValueError: no agents, or settings that must agree and do not.
        """
        if not agents:
            raise ValueError("a joint learner needs at least one agent")
        self.host = host
        self.team = team
        self.members = {name: Member(host, *agent, team) for name, agent in agents.items()}
        for setting in SHARED:
            values = {getattr(member.config, setting) for member in self.members.values()}
            if len(values) > 1:
                raise ValueError(f"agents of a joint learner must agree on {setting}, got {sorted(values)}")
        self.config = next(iter(self.members.values())).config

    def update(self, batches: Mapping[str, TokenBatch]) -> dict[str, dict[str, float]]:
        """One update of every agent that has a batch; the same as `members[name].update(batch)` up to rounding.

        Returns:
            Agent → measurements, as in `PolicyGradientLearner.update`; `seconds` are those of the whole.

        Raises:
            TrainingFailed: too many skipped steps of one agent in a row, or one row that does not fit in memory.
            ValueError: a batch of an agent that is no member.
        """
        unknown = sorted(set(batches) - set(self.members))
        if unknown:
            raise ValueError(f"joint learner: no agent {', '.join(unknown)}; it has {', '.join(self.members)}")
        with self.host.use(""), checkpointed(self.host.base, self.config.checkpointing):
            self.host.base.eval()
            optimizers = [self.members[name]._optimizer for name in batches]
            who = ", ".join(batches)
            runs = {name: self.members[name]._begin(batch) for name, batch in batches.items()}
            count = max((len(run.steps) for run in runs.values()), default=0)
            steps = [
                _JointStep(self, {n: r.steps[s] for n, r in runs.items() if s < len(r.steps)}) for s in range(count)
            ]
            for step in steps:
                in_memory(step, _JointStep.measure_before, optimizers, who)
            for _ in range(self.config.epochs):
                for run in runs.values():
                    run.start_pass()
                for step in steps:
                    for name, measured in in_memory(step, _JointStep.accumulate, optimizers, who).items():
                        runs[name].record(measured, self.members[name]._descend(measured[0]))
        return {name: self.members[name]._finish(run) for name, run in runs.items()}


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of several agents in memory at once: each agent's units here, those units in its step, what they weigh."""

    tensors: BatchTensors
    here: dict[str, slice]
    units: dict[str, slice]
    weight: float


class _JointStep:
    """The steps of several agents that share their passes."""

    def __init__(self, learner: JointLearner, steps: Mapping[str, Step]) -> None:
        self.members = {name: learner.members[name] for name in steps}
        self.steps = steps
        self.base, self.config, self.team = learner.host.base, learner.config, learner.team
        self.part_rows = max(step.part_rows for step in steps.values())
        self.alone = len(steps) == 1
        if not self.config.part_rows and self.base.device.type == "cpu":
            # Beyond the caches a larger part is slower on a CPU: .70x of one agent at a time, in parts 1.00x.
            self._at_most(max(1, CACHED_TOKENS // (len(steps) * self.longest)))
        self._parts: list[_Part] | None = None

    @property
    def parts(self) -> list[_Part]:
        """What this process works through."""
        if self._parts is None:
            widths = [step.batch.widths for step in self.steps.values()]
            runs = cut(widths, self.part_rows, self.config.layout == "sorted", self.team.size)
            if self.alone:
                nothing = (0, 0)
                runs = [
                    [r if i == n else nothing for i, r in enumerate(part)] for part in runs for n in range(len(part))
                ]
            steps = self.steps.values()
            there = [
                part
                for part in runs
                if any(s.stop > s.start for s in (step.units(*run) for step, run in zip(steps, part, strict=True)))
            ]
            costs = [float(sum(own[a:b].sum() for own, (a, b) in zip(widths, part, strict=True))) for part in there]
            self._parts = [self._part(there[n], float(counts)) for n, counts in deal(costs, self.team)]
        return self._parts

    def _part(self, runs: list[tuple[int, int]], weight: float) -> _Part:
        """A run [start, stop) of every agent's rows."""
        cuts = [step.batch.select(*run) for step, run in zip(self.steps.values(), runs, strict=True)]
        units = {name: step.units(*run) for (name, step), run in zip(self.steps.items(), runs, strict=True)}
        here, offset = {}, 0
        for name, rows in zip(self.steps, cuts, strict=True):
            here[name] = slice(offset, offset + rows.units)
            offset += rows.units
        blocks = [rows.rows for rows in cuts]
        layout, width = self.config.layout, self.config.layout_width
        tensors = to_tensors(merge(cuts), str(self.base.device), layout, width, blocks)
        return _Part(tensors, here, units, weight)

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(step.longest for step in self.steps.values())

    def halve(self) -> bool:
        """Makes the parts half as large, at last one row of one agent; False where they are that already.

        Raises:
            TrainingFailed: several processes share the step.
        """
        refuse_to_halve(self.team, self.part_rows, self.longest)
        if self.part_rows <= 1 and self.alone:
            return False
        if self.part_rows > 1:
            self._at_most(-(-self.part_rows // 2))
        else:
            self.alone = True
        self._parts = None
        return True

    def _at_most(self, rows: int) -> None:
        """No part holds more rows of an agent than this."""
        self.part_rows = min(self.part_rows, rows)
        for step in self.steps.values():
            step.part_rows = min(step.part_rows, self.part_rows)

    @contextmanager
    def _through(self, part: _Part, reference: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Log-probabilities and entropies of a part's units, every agent's rows through its own adapter.

        The adapters stay until the end: a checkpointed backward pass runs the layers again.
        """
        adapters = [m._reference if reference else m.matrices for m in self.members.values()]
        scale = next(iter(self.members.values())).scale
        with grouped(self.base, adapters, part.tensors.blocks, scale, _kind(self.config)):
            with low_precision(self.base, self.config.bf16):
                scores = as_forward(
                    self.base, unit_logprobs, part.tensors, self.config.temperature, fused=self.config.fused_head
                )
            yield scores

    def measure_before(self) -> None:
        """π_old and the references of the agents that want them."""
        import torch

        compare = [n for n, m in self.members.items() if m.config.compare]
        measure = [n for n, m in self.members.items() if m.config.measure_kl or m.config.loss.kl]
        with torch.no_grad():
            for wanted, attribute in ((compare, "old"), (measure, "reference")):
                if wanted:
                    found = {n: torch.zeros(self.steps[n].batch.units, device=self.base.device) for n in wanted}
                    for part in self.parts:
                        with self._through(part, attribute == "reference") as (logprobs, _):
                            for name in wanted if part.weight else ():
                                found[name][part.units[name]] = logprobs[part.here[name]]
                    for name, values in found.items():
                        self.team.sum(values)
                        setattr(self.steps[name], attribute, values)

    def accumulate(self) -> dict[str, NDArray[np.float64]]:
        """One backward pass for every part; agent → `MEASURED`."""
        import torch

        totals = {n: torch.zeros(len(MEASURED), dtype=torch.float64, device=self.base.device) for n in self.members}
        for member in self.members.values():
            member._optimizer.zero_grad(set_to_none=True)
        for part in self.parts:
            with self._through(part) as (logprobs, entropies):
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
                    losses.append(result.total * part.weight)
                    totals[name] += measured * part.weight
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        for name, member in self.members.items():
            self.team.sum(totals[name])
            sum_gradients(member._parameters.values(), self.team)
        return {name: total.cpu().numpy() for name, total in totals.items()}


def _kind(config: LearnerConfig) -> Any:
    """The type of the low-rank products; None = that of the matrices."""
    import torch

    return torch.bfloat16 if config.bf16 else None
