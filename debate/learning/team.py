"""Processes that work on one update together, each on rows of its own.

Every process holds the same adapters, optimiser and bookkeeping, and makes the same steps; only the passes through the
base are divided. A loss is a sum over units, weighed by the whole step, so sums over the processes are those of one
process up to rounding, and every process then takes the same optimiser step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from debate.learning.memory import TrainingFailed

if TYPE_CHECKING:
    from torch import Tensor


class Team(Protocol):
    """The processes of an update.

    Attributes:
        rank: which of them this is. size: how many there are.
    """

    rank: int
    size: int

    def sum(self, tensor: Tensor) -> None:
        """Replaces a tensor by its sum over all processes, the same bits in each."""
        ...


class Alone:
    """A process that does everything itself."""

    rank = 0
    size = 1

    def sum(self, tensor: Tensor) -> None:
        """Is the sum already."""


ALONE = Alone()


def deal(costs: Sequence[float], team: Team) -> list[tuple[int, bool]]:
    """Which parts of a step a process works through, in order, and whether each counts.

    A sharded model is gathered layer by layer by all processes at once, so all must make the same number of passes:
    parts go out in rounds, the costly ones first, so that those of one round are about alike. A process that has no
    part in the last round repeats the cheapest one for nothing.

    Args:
        costs: of every part; what takes as long costs as much.
        team: the processes.

    >>> from types import SimpleNamespace
    >>> [deal([5, 9, 7], SimpleNamespace(rank=rank, size=2)) for rank in (0, 1)]
    [[(1, True), (0, True)], [(2, True), (0, False)]]
    """
    if team.size == 1:
        return [(part, True) for part in range(len(costs))]
    order = sorted(range(len(costs)), key=lambda part: (-costs[part], part))
    own = [(part, True) for part in order[team.rank :: team.size]]
    rounds = -(-len(costs) // team.size)
    return own + [(order[-1], False)] * (rounds - len(own))


def refuse_to_halve(team: Team, rows: int, longest: int) -> None:
    """Where memory runs out in one of several processes, the others are in the middle of a pass that they share.

    Raises:
        TrainingFailed: there are several.
    """
    if team.size > 1:
        raise TrainingFailed(
            f"out of memory with up to {rows} rows an agent at once, the longest of {longest} tokens; set part_rows "
            "lower (processes that share a pass cannot halve it on their own)"
        )


def sum_gradients(parameters: Iterable[Any], team: Team) -> None:
    """Makes every gradient the sum over all processes; one that is missing here counts as zeros."""
    import torch

    if team.size == 1:
        return
    every = list(parameters)
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in every])
    team.sum(flat)
    offset = 0
    for parameter in every:
        parameter.grad = flat[offset : offset + parameter.numel()].view_as(parameter)
        offset += parameter.numel()
