"""The kinds of experiment: name → the function that plays one job, imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KINDS = {
    "dynamics": "debate.experiments.dynamics:play",
    "recipe": "debate.experiments.recipes:play",
    "guarding": "debate.experiments.guarding:play",
    "plans": "debate.experiments.plans:play",
    "credit": "debate.experiments.credit:play",
    "shaping": "debate.experiments.shaping:play",
    "revision": "debate.experiments.revision:play",
    "front": "debate.experiments.fronts:play",
}


def find_kind(name: str) -> Callable[[Any], Sequence[Mapping[str, float]]]:
    """The function of a kind: job → rows."""
    module, _, function = KINDS[name].partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]


def source_of(name: str) -> str:
    """The text of the module that plays a kind."""
    spec = find_spec(KINDS[name].partition(":")[0])
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")
