"""From samples to the arrays of a `TokenBatch`: rows of tokens, units, and the terms their log-probabilities add up."""

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
BUCKET = 8  # rows are padded to multiples of it


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


class RowBuilder:
    """Numbered steps from samples to arrays: 1. rows of tokens, 2. units and their terms, 3. flat arrays."""

    def __init__(self) -> None:
        """Starts empty."""
        self.rows: list[_Row] = []
        self.turn = -1

    def add(self, sample: Sample, advantages: Floats) -> None:
        """Appends a sample's turns, with an advantage each; a fresh turn starts a new row.

        Raises:
            ValueError: tokens or log-probabilities that are missing or contradict the choices.
        """
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

    def arrays(self, context: int) -> dict[str, Any]:
        """Fields of a `TokenBatch`, of everything added.

        Raises:
            ValueError: a row longer than the context.
        """
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
        return dict(
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
