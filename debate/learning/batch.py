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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.learning.samples import Sample
from debate.transcript import Turn

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BUCKET = 8


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
        cls, samples: Sequence[Sample], advantages: Floats | Sequence[Sequence[float]], context: int = 0
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
        layout = _Layout()
        dropped = 0
        for n in order:
            levels = np.broadcast_to(np.asarray(advantages[n], dtype=np.float64), (len(samples[n].turns),))
            if np.isnan(levels).any():
                dropped += 1
            else:
                layout.add(samples[n], levels)
        return layout.finish(dropped, context)

    def select(self, start: int, stop: int) -> TokenBatch:
        """The rows [start, stop) as a batch of their own, cut to the length they need."""
        width = int(self._width()[start:stop].max()) if stop > start else 0
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

    def _width(self) -> Ints:
        """[R] tokens of each row, branches included."""
        branch = (self.chains >= 0).sum(axis=1)
        widths: Ints = self.lengths + branch
        return widths


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


@dataclass
class _Row:
    """A row while it grows. Terms are (source position, target); branch sources count from −1 downwards."""

    episode: str
    ids: list[int] = field(default_factory=list)
    branch_ids: list[int] = field(default_factory=list)
    branch_positions: list[int] = field(default_factory=list)
    branch_limits: list[int] = field(default_factory=list)
    branch_chains: list[int] = field(default_factory=list)
    units: list[tuple[int, int, float, float]] = field(default_factory=list)  # position, turn, old, advantage
    terms: list[list[list[tuple[int, int]]]] = field(default_factory=list)  # for each unit: choices of (source, target)
    chosen: list[int] = field(default_factory=list)  # for each unit; −1 for a token of a speech


class _Layout:
    """Numbered steps from samples to arrays: 1. rows of tokens, 2. units and their terms, 3. flat arrays."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.turn = -1

    def add(self, sample: Sample, advantages: Floats) -> None:
        """Appends a sample's turns; a fresh turn starts a new row."""
        row: _Row | None = None
        for turn, advantage in zip(sample.turns, advantages.tolist(), strict=True):
            where = f"episode {sample.episode_id!r}, seat {sample.seat!r}, slot {turn.slot}"
            if row is None or turn.fresh:
                row = _Row(sample.episode_id)
                self.rows.append(row)
            self.turn += 1
            if turn.prompt_tokens is None or not turn.tokens or turn.logprobs is None:
                raise ValueError(
                    f"{where}: the engine kept no token ids or log-probabilities, so it cannot be trained on"
                )
            row.ids.extend(turn.prompt_tokens)
            if not row.ids:
                raise ValueError(
                    f"{where}: a row cannot start with a sampled token, there is nothing to predict it from"
                )
            if turn.choices is None:
                self._speech(row, turn, advantage, where)
            else:
                self._pick(row, turn, advantage, where)

    def _speech(self, row: _Row, turn: Turn, advantage: float, where: str) -> None:
        """Every sampled token is a unit."""
        assert turn.tokens is not None and turn.logprobs is not None
        if len(turn.tokens) != len(turn.logprobs):
            raise ValueError(f"{where}: expected {len(turn.tokens)} log-probabilities, got {len(turn.logprobs)}")
        for token, old in zip(turn.tokens, turn.logprobs, strict=True):
            row.units.append((len(row.ids), self.turn, old, advantage))
            row.terms.append([[(len(row.ids) - 1, token)]])
            row.chosen.append(-1)
            row.ids.append(token)

    def _pick(self, row: _Row, turn: Turn, advantage: float, where: str) -> None:
        """The whole pick is one unit; choices not taken become branches behind the row."""
        assert turn.tokens is not None and turn.logprobs is not None and turn.choices is not None
        chosen = turn.option if turn.option is not None else -1
        if not 0 <= chosen < len(turn.choices) or tuple(turn.choices[chosen]) != tuple(turn.tokens):
            raise ValueError(
                f"{where}: the pick {turn.option} with tokens {turn.tokens} is none of the choices {turn.choices}"
            )
        if len(turn.logprobs) != 1:
            raise ValueError(f"{where}: expected one log-probability for a pick, got {len(turn.logprobs)}")
        start = len(row.ids)
        choices = []
        for k, tokens in enumerate(turn.choices):
            if not tokens:
                raise ValueError(f"{where}: choice {k} has no tokens")
            terms = [(start - 1, tokens[0])]
            if k == chosen:
                terms += [(start + j, token) for j, token in enumerate(tokens[1:])]
            else:
                chain = row.branch_chains[-1] + 1 if row.branch_chains else 0
                for j, token in enumerate(tokens[1:]):
                    row.branch_ids.append(tokens[j])
                    row.branch_positions.append(start + j)
                    row.branch_limits.append(start)
                    row.branch_chains.append(chain)
                    terms.append((-len(row.branch_ids), token))
            choices.append(terms)
        row.units.append((start, self.turn, turn.logprobs[0], advantage))
        row.terms.append(choices)
        row.chosen.append(chosen)
        row.ids.extend(turn.tokens)

    def finish(self, dropped: int, context: int) -> TokenBatch:
        """Flat arrays of everything laid out."""
        rows = self.rows
        lengths = np.array([len(row.ids) for row in rows], dtype=np.int64)
        width = max((len(row.ids) + len(row.branch_ids) for row in rows), default=0)
        if context and rows and int(lengths.max()) > context:
            worst = int(lengths.argmax())
            raise ValueError(
                f"episode {rows[worst].episode!r}: a row of {lengths[worst]} tokens exceeds the context of {context}"
            )
        shape = (len(rows), -(-width // BUCKET) * BUCKET)
        ids, positions = np.zeros(shape, np.int64), np.tile(np.arange(shape[1]), (len(rows), 1))
        limits, chains = np.full(shape, -1), np.full(shape, -1)
        units: list[tuple[int, int, int, float, float]] = []
        sources: dict[tuple[int, int], int] = {}
        flat: list[tuple[int, int]] = []
        speech: list[tuple[int, int]] = []
        picks: list[tuple[int, int, list[list[int]]]] = []
        for r, row in enumerate(rows):
            own, branch = len(row.ids), len(row.branch_ids)
            ids[r, :own] = row.ids
            if branch:
                span = slice(own, own + branch)
                ids[r, span], positions[r, span] = row.branch_ids, row.branch_positions
                limits[r, span], chains[r, span] = row.branch_limits, row.branch_chains
            # Branch sources are renumbered to where the branch stands: −1 is the first token behind the row.
            wanted = sorted({own - s - 1 if s < 0 else s for unit in row.terms for choice in unit for s, _ in choice})
            sources.update({(r, position): len(sources) + i for i, position in enumerate(wanted)})
            offset = len(flat)
            row_terms = []
            for u, (position, turn, old, advantage) in enumerate(row.units):
                for k, choice in enumerate(row.terms[u]):
                    row_terms += [(sources[r, own - s - 1 if s < 0 else s], t, u, k) for s, t in choice]
                units.append((r, position, turn, old, advantage))
            # Terms are kept sorted by source, so that rows can be cut out as slices.
            order = sorted(range(len(row_terms)), key=lambda i: row_terms[i][0])
            rank = {i: offset + place for place, i in enumerate(order)}
            flat += [row_terms[i][:2] for i in order]
            cursor = 0
            first = len(units) - len(row.units)
            for u, unit in enumerate(row.terms):
                numbers = []
                for choice in unit:
                    numbers.append([rank[cursor + j] for j in range(len(choice))])
                    cursor += len(choice)
                if row.chosen[u] < 0:
                    speech.append((first + u, numbers[0][0]))
                else:
                    picks.append((first + u, row.chosen[u], numbers))
        unit_row, unit_position, unit_turn = _columns([unit[:3] for unit in units], 3)
        source_row, source_position = _columns(list(sources), 2)
        term_source, term_target = _columns(flat, 2)
        speech_unit, speech_term = _columns(speech, 2)
        return TokenBatch(
            ids=ids,
            lengths=lengths,
            positions=positions,
            limits=limits,
            chains=chains,
            unit_row=unit_row,
            unit_position=unit_position,
            unit_turn=unit_turn,
            old_logprobs=np.array([unit[3] for unit in units], dtype=np.float64),
            advantages=np.array([unit[4] for unit in units], dtype=np.float64),
            source_row=source_row,
            source_position=source_position,
            term_source=term_source,
            term_target=term_target,
            speech_unit=speech_unit,
            speech_term=speech_term,
            pick_unit=np.array([pick[0] for pick in picks], dtype=np.int64),
            pick_choice=np.array([pick[1] for pick in picks], dtype=np.int64),
            pick_terms=_ragged([pick[2] for pick in picks]),
            episodes=tuple(row.episode for row in rows),
            dropped=dropped,
        )


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> Ints:
    """[width, n] columns of n tuples."""
    return np.array(rows, dtype=np.int64).reshape(len(rows), width).T


def _ragged(picks: Sequence[Sequence[Sequence[int]]]) -> Ints:
    """[P, K, J] of ragged lists, −1 where there is nothing."""
    choices = max((len(pick) for pick in picks), default=0)
    longest = max((len(choice) for pick in picks for choice in pick), default=0)
    out = np.full((len(picks), choices, longest), -1, dtype=np.int64)
    for p, pick in enumerate(picks):
        for k, choice in enumerate(pick):
            out[p, k, : len(choice)] = choice
    return out
