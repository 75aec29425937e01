"""A vector-valued turn critic: one linear head per criterion on the policy's own hidden state before each turn.

Each head is a general value function (Sutton et al. 2011) with the criterion as its cumulant, fitted in closed form, so
it needs no step size and no randomness: W ← argmin ‖X W − Y‖² + ridge ‖W − W_old‖², the bias not held back. Values are
read with the heads of earlier batches, so no reward is part of its own baseline. Weights are stored beside the adapter.

Letters: N turns, H width of the hidden state, C criteria.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch
from debate.learning.compute import as_forward
from debate.learning.steps import cut
from debate.learning.team import ALONE, Team, deal

if TYPE_CHECKING:
    from torch import Tensor

    from debate.learning.logprobs import BatchTensors

Array = NDArray[np.float64]


def turn_states(model: Any, batch: TokenBatch, device: str = "cpu", part_rows: int = 64, team: Team = ALONE) -> Array:
    """[N, H] hidden state of the token before each turn of a batch, in the order of its turns, without gradient."""
    import torch

    from debate.learning.logprobs import to_tensors

    numbers = np.unique(batch.unit_turn)
    if not len(numbers):
        return np.zeros((0, 0))
    states: torch.Tensor | None = None
    runs = [(start, stop) for ((start, stop),) in cut([batch.widths], part_rows, False, team.size) if stop > start]
    with torch.no_grad():
        for n, counts in deal([float(batch.widths[start:stop].sum()) for start, stop in runs], team):
            part = batch.select(*runs[n])
            turns, first = np.unique(part.unit_turn, return_index=True)
            hidden = as_forward(model, _last_hidden, to_tensors(part, device))
            if states is None:
                states = torch.zeros(len(numbers), hidden.shape[-1], dtype=torch.float64, device=hidden.device)
            rows, before = part.unit_row[first], part.unit_position[first] - 1
            if counts:
                read = hidden[torch.from_numpy(rows), torch.from_numpy(before)].double()
                states[torch.from_numpy(np.searchsorted(numbers, turns))] = read
    assert states is not None
    team.sum(states)
    return states.cpu().numpy()


def _last_hidden(model: Any, tensors: BatchTensors) -> Tensor:
    """[R, T, H] the decoder's last hidden states."""
    output = model.get_decoder()(
        input_ids=tensors.ids, attention_mask=tensors.attention, position_ids=tensors.positions, use_cache=False
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


class TurnCritic:
    """Linear heads on turn states; before the first fit every value is 0, which is no baseline at all."""

    def __init__(self, width: int, criteria: tuple[str, ...], ridge: float = 10.0) -> None:
        """Starts with heads of zeros.

        Args:
            width: H.
            criteria: C names.
            ridge: how strongly the weights are held at those of earlier batches, in turns.
        """
        if width < 1 or not criteria or not ridge > 0:
            raise ValueError(
                f"TurnCritic: expected width >= 1, criteria and ridge > 0, got {width}, {criteria}, {ridge}"
            )
        self.criteria = criteria
        self.ridge = ridge
        self.weights: Array = np.zeros((width + 1, len(criteria)))

    def values(self, states: Array) -> Array:
        """[N, C] values of [N, H] states."""
        values: Array = self._design(states) @ self.weights
        return values

    def fit(self, states: Array, targets: Array) -> dict[str, float]:
        """Moves the heads towards a batch.

        Args:
            states: [N, H].
            targets: [N, C] returns; NaN where not known, which leaves that head's row out.

        Returns:
            Criterion → explained variance of the values *before* the fit; NaN where targets do not vary.
        """
        design = self._design(states)
        if targets.shape != (len(design), len(self.criteria)):
            raise ValueError(f"TurnCritic: expected targets {(len(design), len(self.criteria))}, got {targets.shape}")
        explained = {}
        before = design @ self.weights
        hold = np.full(design.shape[1], self.ridge)
        hold[-1] = 1e-9
        for c, name in enumerate(self.criteria):
            known = np.isfinite(targets[:, c])
            x, y = design[known], targets[known, c]
            spread = float(y.var()) if len(y) else 0.0
            explained[name] = 1.0 - float((y - before[known, c]).var()) / spread if spread > 0 else np.nan
            if len(y):
                old = self.weights[:, c]
                self.weights[:, c] = old + np.linalg.solve(x.T @ x + np.diag(hold), x.T @ (y - x @ old))
        return explained

    def _design(self, states: Array) -> Array:
        if states.ndim != 2 or states.shape[1] + 1 != len(self.weights):
            raise ValueError(f"TurnCritic: expected states [N, {len(self.weights) - 1}], got {states.shape}")
        return np.hstack([states, np.ones((len(states), 1))])

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings."""
        return {"weights": self.weights.copy()}, {"criteria": list(self.criteria), "ridge": self.ridge}

    def load_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Restores `state()` bit for bit.

        Raises:
            ValueError: state of another critic.
        """
        if tuple(meta["criteria"]) != self.criteria or arrays["weights"].shape != self.weights.shape:
            raise ValueError(f"TurnCritic: expected criteria {self.criteria}, got {meta['criteria']}")
        self.weights = np.array(arrays["weights"], dtype=np.float64)
        self.ridge = float(meta["ridge"])
