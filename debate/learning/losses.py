"""Policy-gradient losses on flat units: arrays in, arrays out, ranks asserted.

A unit is a sampled token or a whole pick (see `batch`). Letters: U units, G segments (rows or turns).

| preset        | source                             | ratio            | each unit weighs            |
|---------------|------------------------------------|------------------|-----------------------------|
| `reinforce`   | Williams 1992                      | none             | 1 / rows                    |
| `rloo`        | Ahmadian et al., 2402.14740        | none             | 1 / rows                    |
| `ppo`         | Schulman et al., 1707.06347        | token            | 1 / units                   |
| `grpo`        | Shao et al., 2402.03300            | token            | 1 / (rows · units of row)   |
| `dr_grpo`     | Liu et al., 2503.20783             | token            | 1 / (rows · fixed length)   |
| `dapo`        | Yu et al., 2503.14476              | token            | 1 / units, clip higher      |
| `gspo`        | Zheng et al., 2507.18071           | row, geometric   | 1 / (rows · units of row)   |
| `turn_ppo`    | state = history, action = turn     | turn, product    | 1 / (turns · units of turn) |

RLOO differs from REINFORCE in its baseline (`GroupBaseline(leave_one_out=True)`), not in its loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Ratio = Literal["none", "token", "turn", "turn_mean", "row_mean"]
Average = Literal["rows", "tokens", "turns", "sum_rows", "fixed"]
Estimator = Literal["k1", "k2", "k3", "k3_weighted"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A policy loss.

    Attributes:
        ratio: over what π/π_old is formed. "none": −A log π, on-policy; "token"; "turn": the product over a turn, the
            true ratio of an action that is a whole turn; "turn_mean", "row_mean": the geometric mean over
            a turn or a row.
        low, high: the ratio is clipped to [1 − low, 1 + high].
        ceiling: the ratio itself never counts for more (dual clip, TRL's `delta`); 0 = off.
        average: "rows": mean over rows of the mean over their units; "tokens": mean over units; "turns": mean over
            turns of the mean over their units; "sum_rows": mean over rows of the sum; "fixed": as that, divided by
            `length`.
        length: the fixed length of "fixed".
        kl: weight of the KL to the reference; 0 = measured only.
        estimator: "k1" (log π/π_ref), "k2" (half its square), "k3" (Schulman's, non-negative), "k3_weighted": k3 times
            the differentiable ratio, whose gradient is that of the reverse KL even on-policy (2512.02556);
            the gradient of plain k3 pulls towards the reference like the forward KL does.
        truncate: π_old/π_sampler enters as a factor cut off at this (truncated importance sampling, Yao et al. 2025);
            0 = off.
        entropy: weight of the entropy bonus, a mean over units.
    """

    ratio: Ratio = "token"
    low: float = 0.2
    high: float = 0.2
    ceiling: float = 0.0
    average: Average = "tokens"
    length: int = 0
    kl: float = 0.0
    estimator: Estimator = "k3_weighted"
    truncate: float = 0.0
    entropy: float = 0.0

    def __post_init__(self) -> None:
        """Refuses settings that mean nothing.

        Raises:
            ValueError: an unknown name, a clip outside [0, 1) or below 0, or "fixed" without a length.
        """
        for name, kind in (("ratio", Ratio), ("average", Average), ("estimator", Estimator)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"Loss.{name}: expected one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}"
                )
        if not (0 <= self.low < 1 and self.high >= 0):
            raise ValueError(f"Loss: expected 0 <= low < 1 and high >= 0, got low={self.low}, high={self.high}")
        if (self.average == "fixed") != (self.length > 0):
            raise ValueError(f"Loss: a length > 0 goes with average 'fixed' and with nothing else, got {self.length}")
        for name in ("ceiling", "kl", "truncate"):
            if getattr(self, name) < 0:
                raise ValueError(f"Loss.{name}: expected a number >= 0, got {getattr(self, name)}")


PRESETS: dict[str, Loss] = {
    "reinforce": Loss(ratio="none", average="sum_rows"),
    "rloo": Loss(ratio="none", average="sum_rows"),
    "ppo": Loss(),
    "grpo": Loss(average="rows"),
    "dapo": Loss(high=0.28),
    "gspo": Loss(ratio="row_mean", low=3e-4, high=4e-4, average="rows"),
    "turn_ppo": Loss(ratio="turn", average="turns"),
}


def preset(name: str, **changes: object) -> Loss:
    """A named loss, with changes. `preset("dr_grpo", length=256)` needs its length.

    Raises:
        ValueError: an unknown name.
    """
    if name == "dr_grpo":
        return replace(Loss(average="fixed", length=int(str(changes.pop("length", 0)))), **changes)  # type: ignore[arg-type]
    if name not in PRESETS:
        raise ValueError(f"loss: expected one of {', '.join([*PRESETS, 'dr_grpo'])}, got {name!r}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]


def segment_sum(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """[G] sums of [U] values over their segments."""
    assert values.ndim == segments.ndim == 1
    return values.new_zeros(count).index_add(0, segments, values)


def log_ratios(logprobs: Tensor, old: Tensor, rows: Tensor, turns: Tensor, ratio: Ratio) -> Tensor:
    """[U] log π/π_old of the segment each unit belongs to."""
    assert logprobs.shape == old.shape == rows.shape == turns.shape and logprobs.ndim == 1
    difference = logprobs - old
    if ratio in ("token", "none") or not len(difference):
        return difference
    segments = rows if ratio == "row_mean" else turns
    count = int(segments.max()) + 1
    total = segment_sum(difference, segments, count)
    if ratio != "turn":
        total = total / segment_sum(difference.new_ones(len(segments)), segments, count).clamp(min=1)
    return total[segments]


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, low: float, high: float, ceiling: float = 0.0) -> Tensor:
    """[U] −min(ρ A, clip(ρ, 1 − low, 1 + high) A) (PPO)."""
    import torch

    assert log_ratio.shape == advantages.shape and log_ratio.ndim == 1
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - low, 1 + high)
    ratio = ratio.clamp(max=ceiling) if ceiling else ratio
    return -torch.min(ratio * advantages, clipped * advantages)


def kl_estimate(logprobs: Tensor, reference: Tensor, estimator: Estimator) -> Tensor:
    """[U] estimates of KL(π ‖ π_ref) at samples of π (Schulman 2020, "Approximating KL divergence"), unweighted."""
    assert logprobs.shape == reference.shape and logprobs.ndim == 1
    difference = logprobs - reference
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return difference.square() / 2
    return (-difference).exp() + difference - 1


def truncated_weights(old: Tensor, sampler: Tensor, cap: float) -> Tensor:
    """[U] min(π_old / π_sampler, cap), without gradient: corrects an engine that is not quite the trainer."""
    assert old.shape == sampler.shape and old.ndim == 1
    return (old - sampler).detach().exp().clamp(max=cap)


def unit_weights(rows: Tensor, turns: Tensor, average: Average, length: int = 0) -> Tensor:
    """[U] what each unit weighs in the loss of one optimiser step; the step may then be split into parts freely.

    Args:
        rows: [U] row of each unit; a row without a unit does not count.
        turns: [U] turn of each unit.
        average: see `Loss`.
        length: of "fixed".
    """
    import torch

    assert rows.shape == turns.shape and rows.ndim == 1
    ones = torch.ones(len(rows), dtype=torch.float32, device=rows.device)
    if average == "tokens" or not len(rows):
        return ones / max(len(rows), 1)
    segments = turns if average == "turns" else rows
    sizes = segment_sum(ones, segments, int(segments.max()) + 1)
    count = int((sizes > 0).sum())
    if average in ("rows", "turns"):
        return 1.0 / (count * sizes[segments])
    return ones / (count * (length if average == "fixed" else 1))


@dataclass(frozen=True, eq=False)
class LossParts:
    """A loss and what it is made of. `total` carries the gradient; the sums are over units, without gradient.

    Attributes:
        total: scalar.
        policy: scalar, the surrogate alone.
        kl: Σ over units of the estimator to the reference; 0 without one.
        entropy: Σ over units.
        clipped: units whose clip is active.
        drift: Σ over units of the k3 estimate between π and π_old.
    """

    total: Tensor
    policy: Tensor
    kl: Tensor
    entropy: Tensor
    clipped: Tensor
    drift: Tensor


def policy_loss(
    loss: Loss,
    logprobs: Tensor,
    entropies: Tensor,
    old: Tensor,
    advantages: Tensor,
    rows: Tensor,
    turns: Tensor,
    weights: Tensor,
    units: int,
    reference: Tensor | None = None,
    sampler: Tensor | None = None,
) -> LossParts:
    """The loss of some rows of an optimiser step.

    Args:
        loss: what to compute.
        logprobs: [U] with gradient.
        entropies: [U] with gradient.
        old: [U] log-probabilities of the policy that collected the data.
        advantages: [U].
        rows: [U] segments; a ratio's segment must lie wholly within these units.
        turns: [U] likewise.
        weights: [U] from `unit_weights` of the whole step.
        units: units of the whole step, for the entropy bonus.
        reference: [U] log-probabilities of the reference; needed where `loss.kl` > 0.
        sampler: [U] log-probabilities the engine recorded, where they are not `old`; needed with `loss.truncate`.

    Raises:
        ValueError: a needed array that is missing.
    """
    import torch

    assert logprobs.ndim == 1 and logprobs.shape == entropies.shape == old.shape == advantages.shape == weights.shape
    zero = torch.zeros((), device=logprobs.device)
    log_ratio = log_ratios(logprobs, old, rows, turns, loss.ratio)
    if loss.ratio == "none":
        per_unit = -advantages * logprobs
        clipped = zero
    else:
        per_unit = clipped_surrogate(log_ratio, advantages, loss.low, loss.high, loss.ceiling)
        ratio = log_ratio.detach().exp()
        below, above = (ratio < 1 - loss.low) & (advantages < 0), (ratio > 1 + loss.high) & (advantages > 0)
        clipped = (below | above).sum()
    if loss.truncate:
        if sampler is None:
            raise ValueError("policy_loss: truncated importance correction needs the sampler's own log-probabilities")
        per_unit = per_unit * truncated_weights(old, sampler, loss.truncate)
    policy = (weights * per_unit).sum()
    total, kl = policy, zero
    if reference is not None:
        estimate = kl_estimate(logprobs, reference, loss.estimator)
        kl = estimate.detach().sum()
        if loss.estimator == "k3_weighted":
            estimate = estimate * (logprobs - logprobs.detach() if loss.ratio == "none" else log_ratio).exp()
        total = total + loss.kl * (weights * estimate).sum() if loss.kl else total
    elif loss.kl:
        raise ValueError("policy_loss: a KL term needs the reference's log-probabilities")
    if loss.entropy:
        total = total - loss.entropy * entropies.sum() / units
    drift = kl_estimate(logprobs.detach(), old, "k3").sum()
    return LossParts(total, policy.detach(), kl, entropies.detach().sum(), clipped, drift)
