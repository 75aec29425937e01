"""Policy-gradient self-play from sampled episodes, with the updates that language-model agents use.

The tabular form of the trainer's loop: softmax policies, an advantage held against a baseline of each player's own
(exponential average, read before it is updated), a KL to a magnet inside the gradient. Everything is counted in
tokens, the moves that were sampled, so that rules that look ahead pay for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from games.extensive.tree import ExtensiveGame, IntArray
from games.learning.field import field_of, normalised
from games.learning.mirror import RULES
from games.learning.sampled import Episodes, Sampler
from games.normal_form import Array

DECAY = 0.95


@dataclass(frozen=True, slots=True)
class Settings:
    """How the policies are updated.

    Attributes:
        rule: one of `games.learning.mirror.RULES`.
        eta: step of the logits.
        beta: strength of the magnet (the two magnet rules).
        every: updates after which a moving magnet becomes the current policy.
        episodes: of one gradient estimate.
    """

    rule: str = "moving_magnet"
    eta: float = 0.5
    beta: float = 0.1
    every: int = 100
    episodes: int = 64

    def __post_init__(self) -> None:
        """Refuses settings that mean nothing."""
        if self.rule not in RULES:
            raise ValueError(f"Settings.rule: expected one of {', '.join(RULES)}, got {self.rule!r}")
        if not (self.eta > 0 and self.beta >= 0 and self.every >= 1 and self.episodes >= 2):
            raise ValueError(f"Settings: expected eta > 0, beta >= 0, every >= 1, episodes >= 2, got {self}")


@dataclass
class Learners:
    """Tabular softmax policies of some players of one game, trained on their own episodes.

    Attributes:
        game: scalar.
        settings: of the updates.
        learning: the players that learn.
        policy: [Q] now.
        tokens: sampled by the learning players so far.
    """

    game: ExtensiveGame
    settings: Settings
    learning: Sequence[int]
    policy: Array
    tokens: int = 0
    _updates: int = 0
    _baseline: dict[int, float] = field(default_factory=dict)
    _last: Array | None = None

    def __post_init__(self) -> None:
        """Looks the tree up once; the first policy is the first magnet."""
        self._field = field_of(self.game)
        self._sampler = Sampler(self.game)
        self._logp = np.log(np.maximum(self.policy, 1e-12))
        self._magnet = self._logp
        self._mine = np.isin(self.game.infoset_player[self.game.sequence_infoset], list(self.learning))

    def update(self, rng: np.random.Generator, others: Array | None = None, cast: IntArray | None = None) -> None:
        """One update.

        1. Episodes of the current policies (of the learner against a draw of `others`, where given).
        2. The gradient of each learning player's return; two estimates where the rule looks ahead.
        3. A step of the logits; a moving magnet is replaced after every K-th.

        Args:
            rng: all randomness.
            others: [K, Q] frozen policies for the players that do not learn.
            cast: [E, P] who follows which of them; the learning players' entries are ignored.
        """
        s = self.settings
        gradient = self._gradient(self._logp, rng, others, cast)
        step = gradient
        if s.rule == "optimistic":
            step = gradient if self._last is None else 2.0 * gradient - self._last
            self._last = gradient
        elif s.rule == "extragradient":
            step = self._gradient(normalised(self._field, self._logp + s.eta * gradient), rng, others, cast)
        self._logp = normalised(self._field, self._logp + s.eta * step)
        self.policy = np.exp(self._logp)
        self._updates += 1
        if s.rule == "moving_magnet" and self._updates % s.every == 0:
            self._magnet = self._logp

    def _gradient(self, logp: Array, rng: np.random.Generator, others: Array | None, cast: IntArray | None) -> Array:
        pi = np.exp(logp)
        table = pi[None] if others is None else np.concatenate([pi[None], others])
        seated = np.zeros((self.settings.episodes, self.game.num_players), dtype=np.int64)
        if cast is not None:
            seated = cast + 1
            seated[:, list(self.learning)] = 0
        played = self._sampler.play(table, seated, rng)
        return self._estimate(logp, pi, played)

    def _estimate(self, logp: Array, pi: Array, played: Episodes) -> Array:
        """[Q] gradient with respect to the logits, each information set scaled by how often it was visited."""
        owner, s = self._field.owner, self.settings
        advantage = np.empty(played.returns.shape[:2])
        for i in self.learning:
            mean = float(played.returns[:, i, 0].mean())
            known = self._baseline.get(i, mean)
            advantage[:, i] = played.returns[:, i, 0] - known
            self._baseline[i] = DECAY * known + (1.0 - DECAY) * mean
        own = np.isin(played.player, list(self.learning))
        episode, sequence, player = played.episode[own], played.sequence[own], played.player[own]
        self.tokens += len(sequence)
        earned = advantage[episode, player]
        chosen = np.bincount(sequence, weights=earned, minlength=len(pi))
        places = len(self._field.first)
        visits = np.bincount(owner[sequence], minlength=places)
        pooled = np.bincount(owner[sequence], weights=earned, minlength=places)
        gradient = chosen - pi * pooled[owner]
        gradient = np.divide(gradient, visits[owner], out=np.zeros_like(pi), where=visits[owner] > 0)
        if s.rule in ("fixed_magnet", "moving_magnet"):
            gap = logp - self._magnet
            pull = pi * (gap - np.add.reduceat(pi * gap, self._field.first)[owner])
            gradient -= s.beta * np.where(visits[owner] > 0, pull, 0.0)
        return np.where(self._mine, gradient, 0.0)
