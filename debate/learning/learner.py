"""Learners: from a token batch to a better policy, deterministically, and resumable bit for bit.

One update is: fixed rows → minibatches → (parts that fit in memory) → loss → clipped gradient → AdamW. What goes wrong
is a counted, documented remedy or a clear error:

- a loss or gradient that is not finite, or a gradient norm above `LearnerConfig.spike`: that step is skipped, the
  weights and the optimiser stay as they were; after `patience` skipped steps in a row `TrainingFailed` is raised;
- out of memory: the part is halved and the step starts again (the sum is the same up to rounding); a single row that
  does not fit raises `TrainingFailed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch
from debate.learning.compute import as_forward, checkpointed, low_precision
from debate.learning.learner_config import PPO, LearnerConfig
from debate.learning.logprobs import BatchTensors, unit_logprobs
from debate.learning.losses import LossParts, policy_loss
from debate.learning.memory import TrainingFailed, in_memory
from debate.learning.steps import MEASURED, Run, Step
from debate.learning.team import ALONE, Team, sum_gradients
from debate.transcript import Policy

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PPO", "Learner", "LearnerConfig", "PolicyGradientLearner", "State", "TrainingFailed"]
State = tuple[dict[str, NDArray[np.float32]], dict[str, Any]]


class Learner(Protocol):
    """Anything that learns from token batches."""

    def update(self, batch: TokenBatch) -> dict[str, float]:
        """Learns from a batch and returns measurements."""
        ...

    def snapshot(self) -> Policy:
        """The policy as it is now."""
        ...


class PolicyGradientLearner:
    """Trains all parameters of a causal language model that require gradients.

    The model belongs to the learner: publish `weights()` to the engine, never the model itself.

    Attributes:
        kind: whose state fits; learners of the same weights under the same names share it.
    """

    kind = "PolicyGradientLearner"

    def __init__(
        self, model: Any, policy: Policy, config: LearnerConfig, device: str = "cpu", team: Team = ALONE
    ) -> None:
        """Wraps a model.

        Args:
            model: a transformers causal language model whose trainable parameters are float32.
            policy: what the weights are called now; its version grows by one with every update.
            config: how to update.
            device: where the model is moved.
            team: processes that share every update, each with such a learner; all of them call the same methods.

        Raises:
            ValueError: nothing to train, or trainable parameters that are not float32.
        """
        import torch

        self.model = model.to(device)
        self.config = config
        self.device = device
        self.team = team
        self.updates = 0
        self._skipped_in_a_row = 0
        self._first = policy
        self._parameters: dict[str, Any] = self._trainable()
        if not self._parameters:
            raise ValueError(f"learner of {policy.name}: the model has no parameter that requires a gradient")
        wrong = sorted({str(p.dtype) for p in self._parameters.values()} - {"torch.float32"})
        if wrong:
            raise ValueError(f"learner of {policy.name}: trainable parameters must be float32, got {', '.join(wrong)}")
        self._optimizer = torch.optim.AdamW(
            list(self._parameters.values()),
            lr=config.lr,
            betas=config.betas,
            eps=config.eps,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._reference: dict[str, Any] = {}
        self._last_gradient: dict[str, Tensor] = {}  # what optimism looks back to
        self._base: State | None = None  # where a look ahead set out from
        self.set_reference()

    def _trainable(self) -> dict[str, Any]:
        """Name → parameter that is trained; the names are those of `weights()` and of the stored state."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def _acting(self) -> AbstractContextManager[None]:
        """While it lasts, the model is this learner's policy."""
        return nullcontext()

    def snapshot(self) -> Policy:
        """The policy as it is now."""
        first = self._first
        return Policy(first.name, first.version + self.updates, first.base, first.adapter)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the trained parameters by name, on the CPU: what is published and stored."""
        return {name: p.detach().to("cpu", copy=True) for name, p in self._parameters.items()}

    def acting(self) -> AbstractContextManager[None]:
        """While it lasts, `model` speaks with this learner's weights."""
        return self._acting()

    def turn_states(self, batch: TokenBatch) -> NDArray[np.float64]:
        """[N, H] the policy's hidden state before each of a batch's N turns: what a turn critic reads."""
        from debate.learning.critic import turn_states

        with self._acting():
            self.model.eval()
            return turn_states(self.model, batch, self.device, self.config.part_rows or 64, self.team)

    def set_reference(self) -> None:
        """Makes the current weights the reference of the KL (the magnet)."""
        self._reference = {name: p.detach().clone() for name, p in self._parameters.items()}

    def look_ahead(self, batch: TokenBatch) -> dict[str, float]:
        """Moves to the point an extragradient step looks ahead to; the next `update` starts from where this began.

        What is played now is played by that point's policy: publish `weights()` under a name of its own.

        Raises:
            TrainingFailed: as in `update`.
        """
        base = self.state()
        metrics = self.update(batch)
        self.step_from(base)
        return metrics

    def step_from(self, base: State) -> None:
        """Lets the next `update` take its gradient here and its step from another state of this learner."""
        self._base = base

    def divergence(self, batch: TokenBatch, weights: Mapping[str, Any]) -> float:
        """KL(policy ‖ the same model with other weights) in nats a unit (`debate.learning.divergence`)."""
        from debate.learning.divergence import divergence

        return divergence(self, batch, weights)

    def update(self, batch: TokenBatch) -> dict[str, float]:
        """One update: `epochs` passes over the batch, rows in their fixed order.

        Returns:
            loss, policy_loss, kl (to the reference), entropy, clipped (share of units), drift (k3 estimate from the
            policy that sampled): means over the last pass; grad_norm: mean over the steps taken; sampler_gap: mean
            |log-probability recomputed − recorded| before the first step; rows, tokens (units that carry loss),
            dropped, steps, skipped, part_rows (rows in memory at once, after any remedy), lr, update, seconds.
            What was not measured is NaN.

        Raises:
            TrainingFailed: too many skipped steps in a row, or one row that does not fit in memory.
        """
        with self._acting(), checkpointed(self.model, self.config.checkpointing):
            return self._update(batch)

    def _update(self, batch: TokenBatch) -> dict[str, float]:
        # Dropout would make the trainer another policy than the one that spoke.
        self.model.eval()
        run, who = self._begin(batch), self._first.name
        for step in run.steps:
            in_memory(step, self._measure_before, [self._optimizer], who)
        for _ in range(self.config.epochs):
            run.start_pass()
            for step in run.steps:
                measured = in_memory(step, self._accumulate, [self._optimizer], who)
                run.record(measured, self._descend(measured[0]))
        return self._finish(run)

    def _begin(self, batch: TokenBatch) -> Run:
        """The steps of an update, in fixed order."""
        c = self.config
        return Run(batch, c.loss, c.minibatch_rows, c.part_rows, self.device, c.layout, c.layout_width, self.team)

    def _finish(self, run: Run) -> dict[str, float]:
        """Counts the update, moves the magnet, and reports."""
        self.updates += 1
        if self.config.magnet_every and self.updates % self.config.magnet_every == 0:
            self.set_reference()
        return run.metrics() | {"lr": self.config.lr, "update": float(self.updates)}

    def state(self) -> State:
        """Arrays by name (weights, reference, optimiser moments) and JSON-able numbers, for `load_state`."""
        arrays: dict[str, NDArray[np.float32]] = {}
        steps: dict[str, float] = {}
        for name, parameter in self._parameters.items():
            tensors = {"weight": parameter, "reference": self._reference[name]}
            if name in self._last_gradient:
                tensors["last_gradient"] = self._last_gradient[name]
            moments = self._optimizer.state.get(parameter, {})
            if moments:
                tensors |= {"exp_avg": moments["exp_avg"], "exp_avg_sq": moments["exp_avg_sq"]}
                steps[name] = float(moments["step"])
            arrays |= {f"{kind}/{name}": t.detach().to("cpu", copy=True).numpy() for kind, t in tensors.items()}
        meta = {
            "kind": self.kind,
            "policy": asdict(self._first),
            "updates": self.updates,
            "skipped_in_a_row": self._skipped_in_a_row,
            "steps": steps,
            "optimistic": bool(self._last_gradient),
        }
        return arrays, meta

    def load_state(self, arrays: Mapping[str, NDArray[np.float32]], meta: Mapping[str, Any]) -> None:
        """Restores `state()`: what follows is the same, bit for bit, as if training had never stopped.

        Raises:
            ValueError: state of another kind of learner or agent, or arrays that do not fit. Nothing is changed then.
        """
        import torch

        policy = Policy(**meta["policy"])
        if meta.get("kind") != self.kind or policy.name != self._first.name:
            raise ValueError(
                f"learner state: expected {self.kind} of {self._first.name!r}, "
                f"got {meta.get('kind')} of {policy.name!r}"
            )
        kinds = {
            n: (
                "weight",
                "reference",
                *(("exp_avg", "exp_avg_sq") if n in meta["steps"] else ()),
                *(("last_gradient",) if meta.get("optimistic") else ()),
            )
            for n in self._parameters
        }
        wanted = {f"{kind}/{name}": tuple(p.shape) for name, p in self._parameters.items() for kind in kinds[name]}
        got = {name: tuple(array.shape) for name, array in arrays.items()}
        if wanted != got:
            wrong = sorted(set(wanted.items()) ^ set(got.items()))
            raise ValueError(
                f"learner state of {policy.name!r}: arrays do not fit the model, first of {len(wrong)}: {wrong[0]}"
            )
        loaded = {name: torch.tensor(array, device=self.device) for name, array in arrays.items()}
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(loaded[f"weight/{name}"])
                self._reference[name] = loaded[f"reference/{name}"]
                self._optimizer.state.pop(parameter, None)
                if name in meta["steps"]:
                    self._optimizer.state[parameter] = {
                        "step": torch.tensor(meta["steps"][name], dtype=torch.float32, device=self.device),
                        "exp_avg": loaded[f"exp_avg/{name}"],
                        "exp_avg_sq": loaded[f"exp_avg_sq/{name}"],
                    }
        self._last_gradient = {n: loaded[f"last_gradient/{n}"] for n in self._parameters if meta.get("optimistic")}
        self._first = policy
        self.updates = int(meta["updates"])
        self._skipped_in_a_row = int(meta["skipped_in_a_row"])

    # --- inside an update ------------------------------------------------------------------------------------------

    def _measure_before(self, step: Step) -> None:
        """π_old where the engine is not trusted, and the reference, on the weights before the first step."""
        import torch

        config = self.config
        with torch.no_grad():
            if config.compare:
                step.old = self._logprobs(step)
            if config.measure_kl or config.loss.kl:
                with self._as_reference():
                    step.reference = self._logprobs(step)

    def _logprobs(self, step: Step) -> Tensor:
        """[U] log-probabilities of a step's units."""
        import torch

        values = torch.zeros(step.batch.units, device=self.device)
        for part in step.parts:
            logprobs, _ = self._forward(part.tensors)
            if part.weight:
                values[part.units] = logprobs
        self.team.sum(values)
        return values

    def _forward(self, part: BatchTensors) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of a part's units."""
        with low_precision(self.model, self.config.bf16):
            scores: tuple[Tensor, Tensor] = as_forward(
                self.model, unit_logprobs, part, self.config.temperature, fused=self.config.fused_head
            )
            return scores

    @contextmanager
    def _as_reference(self) -> Iterator[None]:
        """The model with the reference's weights: storages are exchanged, nothing is copied."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self._reference[name] = self._reference[name], parameter.data

    def _accumulate(self, step: Step) -> NDArray[np.float64]:
        """Backward through every part of a step. Returns `MEASURED` of all of it: two losses, then sums over units."""
        import torch

        total = torch.zeros(len(MEASURED), dtype=torch.float64, device=self.device)
        self._optimizer.zero_grad(set_to_none=True)
        for tensors, units, weight in step.parts:
            logprobs, entropies = self._forward(tensors)
            result, measured = self._loss(step, units, logprobs, entropies, tensors.rows, tensors.turns)
            (result.total * weight).backward()  # type: ignore[no-untyped-call]
            total += measured * weight
        self.team.sum(total)
        sum_gradients(self._parameters.values(), self.team)
        return total.cpu().numpy()

    def _loss(
        self, step: Step, units: slice, logprobs: Tensor, entropies: Tensor, rows: Tensor, turns: Tensor
    ) -> tuple[LossParts, Tensor]:
        """The loss of some units of a step, and `MEASURED` of them."""
        import torch

        recorded = step.recorded[units]
        result = policy_loss(
            self.config.loss,
            logprobs,
            entropies,
            old=recorded if step.old is None else step.old[units],
            advantages=step.advantages[units],
            rows=rows,
            turns=turns,
            weights=step.weights[units],
            units=step.batch.units,
            reference=None if step.reference is None else step.reference[units],
            sampler=recorded,
        )
        gap = (logprobs.detach() - recorded).abs().sum()
        numbers = (result.total.detach(), result.policy, result.kl, result.entropy, result.clipped, result.drift, gap)
        return result, torch.stack([number.double() for number in numbers])

    def _look_back(self) -> dict[str, Tensor]:
        """Turns the gradient g_t into 2 g_t − g_{t−1}; returns g_t."""
        import torch

        seen = {}
        for name, p in self._parameters.items():
            gradient = torch.zeros_like(p) if p.grad is None else p.grad
            seen[name] = gradient.clone()
            if self._last_gradient:
                p.grad = 2.0 * gradient - self._last_gradient[name]
        return seen

    def _descend(self, loss: float) -> float | None:
        """Clips the gradient and steps; None where the step was skipped."""
        import torch

        config = self.config
        if self._base is not None:  # the gradient was taken at the point looked ahead to; the step is not
            self.load_state(*self._base)
            self._base = None
        seen = self._look_back() if config.lookahead == "optimistic" else {}
        norm = float(torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), config.clip_norm or math.inf))
        if math.isfinite(loss) and math.isfinite(norm) and norm <= (config.spike or math.inf):
            self._optimizer.step()
            self._last_gradient = seen
            self._skipped_in_a_row = 0
            return norm
        self._optimizer.zero_grad(set_to_none=True)
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= config.patience:
            raise TrainingFailed(
                f"learner of {self._first.name}: {self._skipped_in_a_row} steps in a row were skipped, the last with "
                f"loss {loss} and gradient norm {norm}; try a smaller lr"
            )
        return None
