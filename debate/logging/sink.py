"""Sinks take rows of the log somewhere else. A row is what `RunFolder.log` writes: one update, seat and agent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

from debate.errors import UserError, did_you_mean
from debate.run.folder import RunFolder

PLACE = ("arena", "agent", "seat")  # what a row is about; the rest of it are numbers


class Sink(Protocol):
    """Takes rows of the log. A resumed run gives the rows after its checkpoint once more."""

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes the rows of one update."""
        ...

    def close(self) -> None:
        """Writes what is left; doing so twice is harmless."""
        ...


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by name, such as `debate/alice/A/rewards/win`.

    Nested mappings become parts of the name; texts, lists and what is not known (null, NaN) are left out, never 0.
    """
    found: dict[str, float] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                walk(item, f"{name}/{key}" if name else str(key))
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[name] = float(value)

    place = "/".join(str(row[key]) for key in PLACE if row.get(key))
    walk({key: value for key, value in row.items() if key not in (*PLACE, "update")}, place)
    return found


def step_of(row: Mapping[str, Any]) -> int:
    """The update a row belongs to.

    Raises:
        ValueError: the row does not say.
    """
    update = row.get("update")
    if not isinstance(update, int) or isinstance(update, bool):
        raise ValueError(f"a row of the log needs its update as a whole number, got {update!r}")
    return update


def sinks(recipe_names: Sequence[str], run_folder: RunFolder) -> list[Sink]:
    """Opens the sinks that a recipe names, in that order.

    Args:
        recipe_names: among "jsonl" (always there, nothing to open), "tensorboard" and "wandb"; once each.
        run_folder: the run.

    Raises:
        UserError: an unknown name, one given twice, or a sink whose package is not installed.
    """
    for name in recipe_names:
        if name not in NAMES:
            raise UserError(f"logging: {name!r} is not known{did_you_mean(name, NAMES)}; expected {', '.join(NAMES)}")
        if list(recipe_names).count(name) > 1:
            raise UserError(f"logging: {name!r} is named twice")
        package = _PACKAGES.get(name)
        if package is not None and find_spec(package) is None:
            raise UserError(f"logging: {name} needs the package {package}; install it with: pip install {package}")
    opened: list[Sink] = []
    try:
        for name in recipe_names:
            if name in _OPEN:
                opened.append(_OPEN[name](run_folder))
    except BaseException:
        for sink in opened:
            sink.close()
        raise
    return opened


def _tensorboard(run_folder: RunFolder) -> Sink:
    from debate.logging.tensorboard_sink import TensorBoardSink

    return TensorBoardSink(run_folder.path / "tensorboard")


def _wandb(run_folder: RunFolder) -> Sink:
    from debate.logging.wandb_sink import WandbSink

    return WandbSink(run_folder)


_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}
_OPEN: dict[str, Callable[[RunFolder], Sink]] = {"tensorboard": _tensorboard, "wandb": _wandb}
NAMES = ("jsonl", *_OPEN)
