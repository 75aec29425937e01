"""Where the tokens of a batch stand in memory: padded rows, rows packed end to end, or trees of shared prefixes.

- `padded`: one row of memory a row of the batch, filled up at the end. Its attention needs no mask and is never wasted
  on other rows, so it is best where rows are about equally long and share nothing.
- `sorted`: as `padded`, but a step runs in several passes, each over rows of about the same length.
- `packed`: rows stand behind one another, at positions that begin at 0 again. Transformers separates them by those
  positions, which it does only without a mask and without a cache.
- `shared`: rows that begin alike share the states of that beginning, which are computed once. Rows of one question
  usually begin alike. The rows form a tree (a trie of tokens); a token sees its ancestors and itself. Causal states
  depend on nothing but the ancestors, so values and gradients are those of separate rows, up to rounding.
- `auto`: `shared` where it saves enough cells of memory to pay for its mask, else `padded`.

`packed` and `shared` leave out what stands behind the last hidden state that is read. With both, the cost of attention
grows with the width of a row of memory, that of everything else falls with the tokens saved; the width is the caller's.

Letters as in `batch`: R rows, T tokens of a row, M sources; P rows of memory, W their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from debate.learning.batch import TokenBatch
from debate.learning.row_builder import BUCKET, Ints

Kind = Literal["auto", "padded", "sorted", "packed", "shared"]
WORTH = 1.3  # with a mask, a cell costs up to this many times as much (measured on CPUs)


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows of memory.

    Attributes:
        ids, positions: [P, W].
        sources: [M] index of each source into the P·W flattened tokens.
        allowed: [P, W, W] which tokens (columns) each token sees; None where causal attention needs no mask.
        blocks: rows of memory of each block; rows of different blocks never share one.
        tokens: tokens that are computed, filler left out.
    """

    ids: Ints
    positions: Ints
    sources: Ints
    allowed: NDArray[np.bool_] | None
    blocks: tuple[int, ...]
    tokens: int


def lay_out(batch: TokenBatch, kind: Kind, width: int = 0, blocks: Sequence[int] | None = None) -> Layout:
    """Rows of memory for a batch.

    Args:
        batch: the rows.
        kind: see above.
        width: W of `packed` and `shared`; a longer row widens it. 0 = twice the longest row.
        blocks: how many consecutive rows belong together, for instance to one adapter; all of them when None.

    Raises:
        ValueError: blocks that do not add up to the batch.
    """
    blocks = (batch.rows,) if blocks is None else tuple(blocks)
    if sum(blocks) != batch.rows:
        raise ValueError(f"lay_out: blocks of {sum(blocks)} rows for a batch of {batch.rows}")
    if kind in ("padded", "sorted"):
        return _padded(batch, blocks)
    if kind == "auto":
        shared = _compact(batch, True, width, blocks)
        return shared if WORTH * shared.ids.size <= batch.ids.size else _padded(batch, blocks)
    return _compact(batch, kind == "shared", width, blocks)


def _padded(batch: TokenBatch, blocks: tuple[int, ...]) -> Layout:
    wide = batch.ids.shape[1]
    allowed = None
    if batch.branched:
        steps = np.arange(wide)
        causal = steps[None, :] <= steps[:, None]
        branch = batch.chains >= 0
        seen = np.where(branch[:, :, None], steps[None, None, :] < batch.limits[:, :, None], causal[None])
        main = ~branch[:, None, :] & seen
        allowed = main | (branch[:, :, None] & (batch.chains[:, :, None] == batch.chains[:, None, :]) & causal[None])
    sources = batch.source_row * wide + batch.source_position
    return Layout(batch.ids, batch.positions, sources, allowed, blocks, int(batch.widths.sum()))


@dataclass(frozen=True, eq=False)
class _Strand:
    """A path from the first token: a row up to the last state read, or a branch with all that stands before it."""

    block: int
    row: int
    tokens: Ints
    cells: Ints  # columns of `batch` that the last of these tokens stand in


def _strands(batch: TokenBatch, blocks: tuple[int, ...]) -> list[_Strand]:
    block = np.repeat(np.arange(len(blocks)), blocks)
    own = batch.source_position < batch.lengths[batch.source_row]
    needed = np.zeros(batch.rows, dtype=np.int64)
    np.maximum.at(needed, batch.source_row[own], batch.source_position[own] + 1)
    strands, branched = [], batch.branched
    for r in range(batch.rows):
        ids, chains = batch.ids[r], batch.chains[r]
        if needed[r]:
            strands.append(_Strand(int(block[r]), r, ids[: needed[r]], np.arange(needed[r])))
        for chain in range(int(chains.max(initial=-1)) + 1 if branched else 0):
            cells = np.flatnonzero(chains == chain)
            if len(cells):  # a choice of one token has no branch
                before = ids[: batch.limits[r, cells[0]]]
                strands.append(_Strand(int(block[r]), r, np.concatenate([before, ids[cells]]), cells))
    return strands


def _compact(batch: TokenBatch, share: bool, width: int, blocks: tuple[int, ...]) -> Layout:
    """`packed` and `shared`.

    1. Strands in an order in which those that begin alike are neighbours. 2. Rows of memory, filled one after
    another; a strand shares what it has in common with the one before it in the same row of memory. 3. Arrays.
    """
    strands = _strands(batch, blocks)
    if share:
        strands.sort(key=lambda s: (s.block, s.tokens.tolist()))
    else:
        strands.sort(key=lambda s: (s.block, -batch.lengths[s.row], s.row, s.tokens.tolist()))
    alike, longest = _alike(strands), max((len(s.tokens) for s in strands), default=0)
    room = max(width or 2 * longest, longest)
    # 2. (strand, row of memory, its columns, how many of them the strand before it has made)
    placed: list[tuple[_Strand, int, Ints, int]] = []
    used: list[tuple[int, int]] = []  # (block, columns filled) of each row of memory
    path = np.zeros(0, dtype=np.int64)
    for n, strand in enumerate(strands):
        before = strands[n - 1] if n else None
        common = 0
        if before is not None and before.block == strand.block and (share or before.row == strand.row):
            common = alike[n - 1]
        fresh = len(strand.tokens) - common
        if before is None or before.block != strand.block or used[-1][1] + fresh > room:
            used.append((strand.block, 0))
            common, fresh = 0, len(strand.tokens)
        filled = used[-1][1]
        path = np.concatenate([path[:common], np.arange(filled, filled + fresh)])
        used[-1] = (strand.block, filled + fresh)
        placed.append((strand, len(used) - 1, path, common))
    # 3.
    wide = -(-max((filled for _, filled in used), default=0) // BUCKET) * BUCKET
    ids = np.zeros((len(used), wide), dtype=np.int64)
    positions = np.zeros_like(ids)  # filler stands at position 0, which to transformers is a row of its own
    place = np.full(batch.ids.shape, -1, dtype=np.int64)
    tree = batch.branched or any(common for *_, common in placed)
    allowed = np.zeros((*ids.shape, wide), dtype=bool) if tree else None
    if allowed is not None:
        allowed[:, np.arange(wide), np.arange(wide)] = True
    for strand, p, path, common in placed:
        depth = np.arange(len(path))
        new = path[common:]
        ids[p, new], positions[p, new] = strand.tokens[common:], depth[common:]
        place[strand.row, strand.cells] = p * wide + path[len(path) - len(strand.cells) :]
        if allowed is not None:
            allowed[p, new[:, None], path[None, :]] = depth[None, :] <= depth[common:, None]
    rows = np.bincount([block for block, _ in used], minlength=len(blocks))
    sources = place[batch.source_row, batch.source_position]
    return Layout(ids, positions, sources, allowed, tuple(rows.tolist()), sum(filled for _, filled in used))


def _alike(strands: Sequence[_Strand]) -> list[int]:
    """Tokens at the start that each strand has in common with the next."""
    lengths = np.array([len(s.tokens) for s in strands], dtype=np.int64)
    table = np.full((len(strands), int(lengths.max(initial=0))), -1, dtype=np.int64)
    for row, strand in zip(table, strands, strict=True):
        row[: len(strand.tokens)] = strand.tokens
    equal = np.logical_and.accumulate(table[1:] == table[:-1], axis=1).sum(axis=1)
    common: list[int] = np.minimum(equal, np.minimum(lengths[1:], lengths[:-1])).tolist()
    return common
