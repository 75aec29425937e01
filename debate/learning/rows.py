"""Recorded turns as the flat token rows that other trainers read: ids, which of them the policy wrote, and how likely.

Nothing is tokenised here: the ids are those that were read and sampled in play.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from debate.learning.samples import Sample
from debate.transcript import Turn


@dataclass(frozen=True, slots=True)
class Row:
    """One growing conversation of one seat. T tokens.

    Attributes:
        ids: [T] prompt, words, news, words, …
        mask: [T] 1 where the policy wrote the token, 0 where it read it.
        logprobs: [T] log-probability when sampled; 0 where it was read; NaN inside a pick, whose one recorded number
            belongs to the whole pick.
        prompt: how many tokens stand before the first sampled one.
    """

    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def prompt(self) -> int:
        """How many tokens stand before the first sampled one."""
        return self.mask.index(1) if 1 in self.mask else len(self.mask)


def rows_of(turns: Sequence[Turn], where: str) -> list[Row]:
    """The rows of one seat's turns; a turn marked fresh begins another.

    Args:
        turns: of one seat, in order.
        where: named in the message.

    Raises:
        ValueError: a turn whose engine kept no token ids or log-probabilities.
    """
    rows: list[Row] = []
    for turn in turns:
        if turn.prompt_tokens is None or not turn.tokens or turn.logprobs is None:
            raise ValueError(f"{where}, slot {turn.slot}: the engine kept no token ids or log-probabilities")
        if not rows or turn.fresh:
            rows.append(Row())
        row = rows[-1]
        written = turn.logprobs if turn.choices is None and turn.option is None else (math.nan,) * len(turn.tokens)
        if len(written) != len(turn.tokens):
            raise ValueError(f"{where}, slot {turn.slot}: {len(turn.tokens)} tokens, {len(written)} log-probabilities")
        row.ids.extend((*turn.prompt_tokens, *turn.tokens))
        row.mask.extend((0,) * len(turn.prompt_tokens) + (1,) * len(turn.tokens))
        row.logprobs.extend((*(0.0,) * len(turn.prompt_tokens), *written))
    return rows


def sample_rows(sample: Sample) -> list[Row]:
    """The rows of a sample (see `rows_of`)."""
    return rows_of(sample.turns, f"episode {sample.episode_id!r}, seat {sample.seat!r}")


def single_row(sample: Sample, purpose: str) -> Row:
    """The one row of a sample.

    Args:
        sample: what was played.
        purpose: what needs it, for the message.

    Raises:
        ValueError: the sample has several rows (an ephemeral turn, a drafted speech, or a chat template that renders
            anew), or no ids.
    """
    rows = sample_rows(sample)
    if len(rows) != 1:
        raise ValueError(
            f"episode {sample.episode_id!r}, seat {sample.seat!r}: {purpose} needs one growing row, got {len(rows)} "
            "(an ephemeral turn, a drafted speech, or a chat template that is not prefix-preserving)"
        )
    return rows[0]
