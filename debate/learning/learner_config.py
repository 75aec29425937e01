"""How a policy is updated: the settings of a learner, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from debate.learning.layout import Kind
from debate.learning.losses import Loss

PPO = Loss()
LOOKAHEADS = ("none", "optimistic", "extragradient")


@dataclass(frozen=True, slots=True)
class LearnerConfig:
    """How a policy is updated.

    Attributes:
        lr: AdamW's step. betas, eps, weight_decay: its other settings.
        clip_norm: the gradient is scaled down to this norm; 0 = never.
        spike: a step whose gradient norm exceeds this is skipped; 0 = never.
        patience: skipped steps in a row before `TrainingFailed`.
        loss: the policy loss.
        epochs: passes over the batch.
        minibatch_rows: rows of one optimiser step; 0 = the whole batch.
        part_rows: rows in memory at once; 0 = all of the step.
        temperature: the one sampling used.
        magnet_every: updates after which the current weights become the reference (a moving magnet); 0 = never.
        measure_kl: whether the KL to the reference is measured where the loss does not need it.
        compare: recompute π_old with the trainer instead of trusting what the engine recorded (needed with
            `loss.truncate`, where the engine's numbers become the sampler's).
        layout: where tokens stand in memory: "padded", "sorted", "packed", "shared", "auto" (see `layout`); changes
            speed, and results by rounding only.
        layout_width: width of the rows of memory in "packed" and "shared"; 0 = twice the longest row.
        bf16: products in bfloat16; weights, gradients and optimiser states stay float32.
        checkpointing: compute activations again in the backward pass: less memory, more time.
        lookahead: "none"; "optimistic": step along 2 g_t − g_{t−1} (Daskalakis et al. 2018, "Training GANs with
            optimism", eq. 5); "extragradient": `look_ahead` first, then take the gradient there (Korpelevich 1976).
        fused_head: use TRL's head where it is installed and the batch has one label a position: speeches only, not
            in the shared layout. Our own chunked head otherwise.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    spike: float = 0.0
    patience: int = 10
    loss: Loss = PPO
    epochs: int = 1
    minibatch_rows: int = 0
    part_rows: int = 0
    temperature: float = 1.0
    magnet_every: int = 0
    measure_kl: bool = True
    compare: bool = False
    layout: Kind = "padded"
    layout_width: int = 0
    bf16: bool = False
    checkpointing: bool = False
    lookahead: Literal["none", "optimistic", "extragradient"] = "none"
    fused_head: bool = False

    def __post_init__(self) -> None:
        """Refuses settings that mean nothing."""
        if not self.lr > 0 or not math.isfinite(self.lr):
            raise ValueError(f"LearnerConfig.lr: expected a number > 0, got {self.lr}")
        for name in ("epochs", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"LearnerConfig.{name}: expected at least 1, got {getattr(self, name)}")
        if self.layout not in get_args(Kind):
            raise ValueError(f"LearnerConfig.layout: expected {', '.join(get_args(Kind))}, got {self.layout!r}")
        for name in (
            "clip_norm",
            "spike",
            "minibatch_rows",
            "part_rows",
            "magnet_every",
            "weight_decay",
            "layout_width",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"LearnerConfig.{name}: expected a number >= 0, got {getattr(self, name)}")
        if self.loss.truncate and not self.compare:
            raise ValueError(
                "LearnerConfig: loss.truncate corrects the engine against the trainer, so it needs compare = True"
            )
        if self.lookahead not in LOOKAHEADS:
            raise ValueError(f"LearnerConfig.lookahead: expected {', '.join(LOOKAHEADS)}, got {self.lookahead!r}")
        if self.lookahead == "extragradient" and (self.epochs > 1 or self.minibatch_rows or self.magnet_every):
            raise ValueError(
                "LearnerConfig.lookahead: extragradient takes one step an update from a fixed reference: "
                "expected epochs = 1, minibatch_rows = 0 and magnet_every = 0"
            )
