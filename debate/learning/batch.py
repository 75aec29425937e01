"""Token batches: one growing row per (episode, agent), and what in it carries loss.

A *unit* is one factor of the policy: a sampled token of a speech, or a whole pick. The probability of a pick is the
softmax over its choices of their summed log-probabilities, so for single-token choices it is the log-softmax restricted
to the candidates. Choices of several tokens are scored in the same row: the tokens of the choices not taken stand after
the row as *branches* that see only what stood before the pick, and their own beginning.

Axis letters: R rows, T tokens of a row, U units, M sources (hidden states that are read), Z terms (one token's
log-probability), S speech units, P picks, K choices of a pick, J tokens of a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.learning.row_builder import BUCKET, Floats, Ints, RowBuilder
from debate.learning.samples import Sample


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """What a learner updates on. Rows are sorted by (episode id, seat position); units by (row, position).

    Attributes:
        ids: [R, T] token ids, padded at the end with 0; branches stand behind the row's own tokens.
        lengths: [R] tokens of the row itself, without branches.
        positions: [R, T] position ids; a branch continues from its pick.
        limits: [R, T] of a branch token: how many of the row's own tokens it sees; −1 elsewhere.
        chains: [R, T] number of the branch a token belongs to; −1 elsewhere.
        unit_row, unit_position, unit_turn: [U] where each unit stands; turns are numbered through the batch.
        old_logprobs: [U] log-probabilities recorded while sampling.
        advantages: [U].
        source_row, source_position: [M] hidden states that are read, each once, sorted.
        term_source, term_target: [Z] token `target`, predicted from hidden state `source`.
        speech_unit, speech_term: [S].
        pick_unit, pick_choice: [P] the unit and which choice was taken.
        pick_terms: [P, K, J] terms of every choice; −1 where a choice is shorter or absent.
        episodes: R episode ids.
        dropped: samples left out because they had no advantage.
    """

    ids: Ints
    lengths: Ints
    positions: Ints
    limits: Ints
    chains: Ints
    unit_row: Ints
    unit_position: Ints
    unit_turn: Ints
    old_logprobs: Floats
    advantages: Floats
    source_row: Ints
    source_position: Ints
    term_source: Ints
    term_target: Ints
    speech_unit: Ints
    speech_term: Ints
    pick_unit: Ints
    pick_choice: Ints
    pick_terms: Ints
    episodes: tuple[str, ...]
    dropped: int = 0

    @property
    def rows(self) -> int:
        """R."""
        return len(self.ids)

    @property
    def units(self) -> int:
        """U: tokens and picks that carry loss."""
        return len(self.unit_row)

    @property
    def branched(self) -> bool:
        """Whether some row carries branches, which need their own attention mask."""
        return bool((self.chains >= 0).any())

    @property
    def mask(self) -> NDArray[np.bool_]:
        """[R, T] True where a unit stands (a pick stands at its first token)."""
        mask = np.zeros(self.ids.shape, dtype=bool)
        mask[self.unit_row, self.unit_position] = True
        return mask

    def dense(self, values: Floats, fill: float = 0.0) -> Floats:
        """[R, T] unit values [U] at their places, `fill` elsewhere."""
        out = np.full(self.ids.shape, fill)
        out[self.unit_row, self.unit_position] = values
        return out

    @classmethod
    def from_samples(
        cls,
        samples: Sequence[Sample],
        advantages: Floats | Sequence[Sequence[float]] | Sequence[Floats],
        context: int = 0,
    ) -> TokenBatch:
        """Lays out samples as rows.

        Args:
            samples: N samples of one policy.
            advantages: [N], one for a whole sample, or N sequences with one for each of its turns; a sample with a NaN
                is dropped.
            context: longest row the model can read; 0 = no limit.

        Raises:
            ValueError: samples of different policies, lengths that do not fit, tokens or log-probabilities that are
                missing or contradict the choices, or a row longer than the context.
        """
        if len(samples) != len(advantages):
            raise ValueError(f"TokenBatch: expected {len(samples)} advantages, one a sample, got {len(advantages)}")
        policies = sorted({sample.policy for sample in samples})
        if len(policies) > 1:
            raise ValueError(f"TokenBatch: expected samples of one policy, got {', '.join(policies)}")
        order = sorted(range(len(samples)), key=lambda n: (samples[n].episode_id, samples[n].position))
        builder = RowBuilder()
        dropped = 0
        for n in order:
            levels = np.broadcast_to(np.asarray(advantages[n], dtype=np.float64), (len(samples[n].turns),))
            if np.isnan(levels).any():
                dropped += 1
            else:
                builder.add(samples[n], levels)
        return cls(**builder.arrays(context), dropped=dropped)

    def select(self, start: int, stop: int) -> TokenBatch:
        """The rows [start, stop) as a batch of their own, cut to the length they need."""
        width = int(self.widths[start:stop].max()) if stop > start else 0
        width = min(self.ids.shape[1], -(-width // BUCKET) * BUCKET)
        u0, u1 = np.searchsorted(self.unit_row, [start, stop])
        m0, m1 = np.searchsorted(self.source_row, [start, stop])
        z0, z1 = np.searchsorted(self.term_source, [m0, m1])
        s0, s1 = np.searchsorted(self.speech_unit, [u0, u1])
        p0, p1 = np.searchsorted(self.pick_unit, [u0, u1])
        terms = self.pick_terms[p0:p1]
        return TokenBatch(
            ids=self.ids[start:stop, :width],
            lengths=self.lengths[start:stop],
            positions=self.positions[start:stop, :width],
            limits=self.limits[start:stop, :width],
            chains=self.chains[start:stop, :width],
            unit_row=self.unit_row[u0:u1] - start,
            unit_position=self.unit_position[u0:u1],
            unit_turn=self.unit_turn[u0:u1],
            old_logprobs=self.old_logprobs[u0:u1],
            advantages=self.advantages[u0:u1],
            source_row=self.source_row[m0:m1] - start,
            source_position=self.source_position[m0:m1],
            term_source=self.term_source[z0:z1] - m0,
            term_target=self.term_target[z0:z1],
            speech_unit=self.speech_unit[s0:s1] - u0,
            speech_term=self.speech_term[s0:s1] - z0,
            pick_unit=self.pick_unit[p0:p1] - u0,
            pick_choice=self.pick_choice[p0:p1],
            pick_terms=np.where(terms >= 0, terms - z0, -1),
            episodes=self.episodes[start:stop],
        )

    @property
    def widths(self) -> Ints:
        """[R] tokens of each row, branches included."""
        branch = (self.chains >= 0).sum(axis=1)
        widths: Ints = self.lengths + branch
        return widths

    def by_length(self) -> TokenBatch:
        """The same rows from short to long."""
        order = np.argsort(self.widths, kind="stable").tolist()
        return replace(merge([self.select(r, r + 1) for r in order]), dropped=self.dropped)


def merge(batches: Sequence[TokenBatch]) -> TokenBatch:
    """Batches below one another as one, in the order given (rows are then no longer sorted by episode id)."""
    width = max((batch.ids.shape[1] for batch in batches), default=0)
    rows, units, turns, sources, terms = (np.cumsum([0, *sizes]) for sizes in _sizes(batches))

    def wide(name: str, fill: int) -> Ints:
        parts = [getattr(b, name) for b in batches]
        return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1])), constant_values=fill) for p in parts])

    def flat(name: str, offsets: Ints | None = None) -> Any:
        parts = [getattr(b, name) for b in batches]
        return np.concatenate(parts if offsets is None else [p + o for p, o in zip(parts, offsets, strict=False)])

    choices = max((b.pick_terms.shape[1] for b in batches), default=0)
    longest = max((b.pick_terms.shape[2] for b in batches), default=0)
    picks = []
    for batch, offset in zip(batches, terms, strict=False):
        _, k, j = batch.pick_terms.shape
        shifted = np.where(batch.pick_terms >= 0, batch.pick_terms + offset, -1)
        picks.append(np.pad(shifted, ((0, 0), (0, choices - k), (0, longest - j)), constant_values=-1))
    positions = wide("positions", 0)
    return TokenBatch(
        ids=wide("ids", 0),
        lengths=flat("lengths"),
        positions=positions,
        limits=wide("limits", -1),
        chains=wide("chains", -1),
        unit_row=flat("unit_row", rows),
        unit_position=flat("unit_position"),
        unit_turn=flat("unit_turn", turns),
        old_logprobs=flat("old_logprobs"),
        advantages=flat("advantages"),
        source_row=flat("source_row", rows),
        source_position=flat("source_position"),
        term_source=flat("term_source", sources),
        term_target=flat("term_target"),
        speech_unit=flat("speech_unit", units),
        speech_term=flat("speech_term", terms),
        pick_unit=flat("pick_unit", units),
        pick_choice=flat("pick_choice"),
        pick_terms=np.concatenate(picks),
        episodes=tuple(episode for batch in batches for episode in batch.episodes),
        dropped=sum(batch.dropped for batch in batches),
    )


def _sizes(batches: Sequence[TokenBatch]) -> tuple[list[int], ...]:
    """Rows, units, turns, sources and terms of each batch."""
    return (
        [b.rows for b in batches],
        [b.units for b in batches],
        [int(b.unit_turn.max()) + 1 if b.units else 0 for b in batches],
        [len(b.source_row) for b in batches],
        [len(b.term_source) for b in batches],
    )
