"""The nano engine: the embedded model as a completer; the default where no other model is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from debate.engines.local import LocalCompleter, device_named
from debate.engines.nano.format import NanoFormat
from debate.engines.nano.model import load_model, load_state, new_model, state_of
from debate.engines.policies import ModulePolicies
from debate.engines.shapes import Shapes

ROWS = 128


def nano_completer(device: str = "cpu", weights: Path | None = None, rows: int = ROWS) -> LocalCompleter:
    """A completer whose base policy "" is the warm-started nano model; `publish` adds whole nano models.

    Every forward has `rows` rows and a length that depends on the row alone, so that on one machine a request's
    answer is the same bits whatever else is asked at the time.

    Args:
        device: "cpu" or "cuda".
        weights: other weights for the base policy.
        rows: of every forward; part of what fixes the last bits of the results.

    Raises:
        UserError: no such device or weights.
    """
    where = device_named(device)

    def build(state: Mapping[str, Any], policy: str) -> Any:
        model = new_model()
        load_state(model, state, f"policy {policy!r}")
        return model.to(where)

    policies = ModulePolicies(load_model(weights).to(where), build, state_of)
    return LocalCompleter(policies, NanoFormat(), Shapes(rows, step=8, fixed=True))
