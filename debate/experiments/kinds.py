"""The kinds of experiment: name → the function that plays one job, imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

KINDS = {
    "dynamics": "debate.experiments.dynamics:play",
}


def find_kind(name: str) -> Callable[[Any], Sequence[Mapping[str, float]]]:
    """The function of a kind: job → rows."""
    module, _, function = KINDS[name].partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]
