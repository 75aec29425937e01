"""A vector-valued turn critic that predicts the distribution of each criterion's return, as quantiles.

Used like `critic.TurnCritic`: linear heads on the hidden state before each turn, Q of them a criterion, stored beside
the adapter. Head i estimates the quantile of level τ_i = (2 i + 1) / 2 Q (Dabney et al., "Distributional Reinforcement
Learning with Quantile Regression", 1710.10044, lemma 2) by the quantile Huber loss (equations 9 and 10)

    ρ_τ(u) = |τ − 1{u < 0}| · L_κ(u) / κ,    L_κ(u) = u²/2 where |u| ≤ κ, κ (|u| − κ/2) elsewhere,

of u = return − prediction. A return is seen whole, so it is its own target and nothing is bootstrapped. The fit is by
iteratively reweighted least squares, which needs no step size and no randomness, and never raises the loss.

Letters: N turns, H width of the hidden state, C criteria, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quantile_huber(errors: Array, levels: Array, kappa: float) -> Array:
    """ρ_τ(u), equation 10 divided by κ, so that κ → 0 is the quantile loss.

    Args:
        errors: [..., Q] u = target − prediction.
        levels: [Q] τ.
        kappa: where the loss turns from quadratic to linear, in units of the return.
    """
    size = np.abs(errors)
    huber = np.where(size <= kappa, np.square(errors) / 2, kappa * (size - kappa / 2))
    loss: Array = np.abs(levels - (errors < 0)) * huber / kappa
    return loss


class QuantileCritic:
    """Quantile heads on turn states; before the first fit every quantile is 0."""

    def __init__(
        self,
        width: int,
        criteria: tuple[str, ...],
        quantiles: int = 8,
        kappa: float = 0.05,
        ridge: float = 1.0,
        sweeps: int = 20,
    ) -> None:
        """Starts with heads of zeros.

        Args:
            width: H.
            criteria: C names.
            quantiles: Q.
            kappa: of the loss.
            ridge: how strongly the weights are held at those of earlier batches, in units of the summed loss.
            sweeps: reweighted solutions of a fit.

        Raises:
            ValueError: no width, criteria or quantiles, or a number that is not positive.
        """
        if width < 1 or not criteria or quantiles < 1 or not kappa > 0 or not ridge > 0 or sweeps < 1:
            raise ValueError(
                "QuantileCritic: expected width, quantiles and sweeps >= 1, criteria, kappa and ridge > 0, got "
                f"{width}, {quantiles}, {sweeps}, {criteria}, {kappa}, {ridge}"
            )
        self.criteria = criteria
        self.kappa, self.ridge, self.sweeps = kappa, ridge, sweeps
        self.levels: Array = (2 * np.arange(quantiles) + 1) / (2 * quantiles)
        self.weights: Array = np.zeros((len(criteria), width + 1, quantiles))

    def quantiles(self, states: Array) -> Array:
        """[N, C, Q] quantiles of [N, H] states, in ascending order (heads that cross are put in order)."""
        predicted = np.einsum("nh,chq->ncq", self._design(states), self.weights)
        return np.sort(predicted, axis=-1)

    def values(self, states: Array) -> Array:
        """[N, C] values of [N, H] states: the means of their quantiles."""
        means: Array = self.quantiles(states).mean(axis=-1)
        return means

    def fit(self, states: Array, targets: Array) -> dict[str, float]:
        """Moves the heads towards a batch.

        Args:
            states: [N, H].
            targets: [N, C] returns; NaN where not known, which leaves that row out for that criterion.

        Returns:
            Criterion → explained variance of the values *before* the fit; NaN where targets do not vary.
        """
        design = self._design(states)
        if targets.shape != (len(design), len(self.criteria)):
            raise ValueError(
                f"QuantileCritic: expected targets {(len(design), len(self.criteria))}, got {targets.shape}"
            )
        before = self.values(states)
        explained = {}
        for c, name in enumerate(self.criteria):
            known = np.isfinite(targets[:, c])
            y = targets[known, c]
            spread = float(y.var()) if len(y) else 0.0
            explained[name] = 1.0 - float((y - before[known, c]).var()) / spread if spread > 0 else np.nan
            if len(y):
                for q, level in enumerate(self.levels):
                    self.weights[c, :, q] = self._head(design[known], y, self.weights[c, :, q], float(level))
        return explained

    def _head(self, x: Array, y: Array, old: Array, level: float) -> Array:
        """[H + 1] the minimiser of Σ ρ_τ(y − X w) + ridge/2 ‖w − old‖², the bias hardly held.

        1. At the current errors, a parabola with the loss's slope has the curvature |τ − 1{u < 0}| / max(|u|, κ).
        2. Its least-squares solution is the next w; where the loss would rise, half the way to it, and so on (the
        objective is convex and the way leads down).
        """
        levels = np.array([level])
        hold = np.full(x.shape[1], self.ridge)
        hold[-1] = 1e-9

        def objective(w: Array) -> float:
            loss = quantile_huber((y - x @ w)[:, None], levels, self.kappa).sum()
            return float(loss + 0.5 * (hold * np.square(w - old)).sum())

        w, now = old, objective(old)
        for _ in range(self.sweeps):
            error = y - x @ w
            curvature = np.abs(level - (error < 0)) / np.maximum(np.abs(error), self.kappa)
            weighted = x * curvature[:, None]
            step = old + np.linalg.solve(x.T @ weighted + np.diag(hold), weighted.T @ (y - x @ old)) - w
            while (then := objective(w + step)) > now and np.abs(step).max() > 1e-12:
                step = step / 2
            if then > now:
                break
            w, now = w + step, then
        return np.asarray(w, dtype=np.float64)

    def _design(self, states: Array) -> Array:
        if states.ndim != 2 or states.shape[1] + 1 != self.weights.shape[1]:
            raise ValueError(f"QuantileCritic: expected states [N, {self.weights.shape[1] - 1}], got {states.shape}")
        return np.hstack([states, np.ones((len(states), 1))])

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings."""
        settings = {"criteria": list(self.criteria), "kappa": self.kappa, "ridge": self.ridge, "sweeps": self.sweeps}
        return {"weights": self.weights.copy()}, settings

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Restores `state()` bit for bit.

        Raises:
            ValueError: state of another critic.
        """
        if tuple(meta["criteria"]) != self.criteria or arrays["weights"].shape != self.weights.shape:
            raise ValueError(
                f"QuantileCritic: expected criteria {self.criteria} and weights {self.weights.shape}, got "
                f"{meta['criteria']} and {arrays['weights'].shape}"
            )
        self.weights = np.array(arrays["weights"], dtype=np.float64)
        self.kappa, self.ridge = float(meta["kappa"]), float(meta["ridge"])
        self.sweeps = int(meta["sweeps"])
