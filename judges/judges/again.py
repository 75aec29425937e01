"""Asking a judge again: the same judge with other randomness, so that repeated verdicts are separate samples."""

from __future__ import annotations

from judges.types import Judge


def again(judge: Judge, number: int) -> Judge:
    """The judge whose verdicts are the repeats with this number; number 0 is the judge itself.

    A judge that draws anything has a method `again`. One without it draws nothing: its repeats are its verdict.

    Raises:
        ValueError: a negative number.
    """
    if number < 0:
        raise ValueError(f"again: expected a number ≥ 0, got {number}")
    fresh = getattr(judge, "again", None)
    return judge if number == 0 or fresh is None else fresh(number)
