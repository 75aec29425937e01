"""Out of memory is no failure as long as the work can be done in smaller parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from debate.errors import Failed

T = TypeVar("T")


class TrainingFailed(Failed):
    """Training cannot go on; the weights are those before the failing step."""


class Divisible(Protocol):
    """A step that can be done in smaller parts."""

    def halve(self) -> bool:
        """Makes the parts half as large; False where that is not possible."""
        ...

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        ...


S = TypeVar("S", bound=Divisible)


def in_memory(step: S, work: Callable[[S], T], optimizers: Sequence[Any], who: str) -> T:
    """Runs `work` on a step, in smaller parts as long as memory runs out. The sum over parts is the same gradient.

    Args:
        step: what is worked on.
        work: sums over the parts of the step, and adds to gradients.
        optimizers: those whose gradients are forgotten before another try.
        who: for the error.

    Raises:
        TrainingFailed: the smallest part does not fit.
    """
    while True:
        try:
            return work(step)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            if not step.halve():
                raise TrainingFailed(
                    f"learner of {who}: a single row of {step.longest} tokens does not fit in memory"
                ) from error
        _free_memory()


def _free_memory() -> None:
    """Gives cached blocks back, so that smaller ones can be cut from them."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocator gave up (CUDA has a class for it, the CPU allocator only words)."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
