"""Log-probabilities of a batch's units under a causal language model, without ever holding [R, T, V] logits.

The decoder runs once over the rows; the head is applied only to the hidden states that are read, a chunk at a time, in
float32. `layout` says where the tokens stand; a hidden state that several rows share is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.learning.batch import TokenBatch
from debate.learning.fused_head import fits, fuse_head, fused_scores
from debate.learning.layout import Kind, lay_out

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 2048


@dataclass(frozen=True, eq=False)
class BatchTensors:
    """A `TokenBatch` on a device, ready for `unit_logprobs`. Letters as there; P rows of memory, W wide, N = P·W.

    Attributes:
        ids, positions: [P, W]. attention: [P, 1, W, W] additive mask, None where causal attention needs none.
        sources: [M'] index into the N flattened hidden states, each once.
        term_source, term_target: [Z], sorted by source. speech_term: [S]; speech_source: [S].
        pick_terms: [P, K, J], Z where absent. pick_choice: [P]. absent: [P, K].
        order: [U] puts (speech, pick) values into unit order.
        rows, turns: [U] segments, numbered from 0.
        blocks: rows of memory of each block.
        tokens: tokens that are computed, filler left out.
    """

    ids: Tensor
    positions: Tensor
    attention: Tensor | None
    sources: Tensor
    term_source: Tensor
    term_target: Tensor
    speech_term: Tensor
    speech_source: Tensor
    pick_terms: Tensor
    pick_choice: Tensor
    absent: Tensor
    order: Tensor
    rows: Tensor
    turns: Tensor
    blocks: tuple[int, ...]
    tokens: int


def to_tensors(
    batch: TokenBatch,
    device: str = "cpu",
    layout: Kind = "padded",
    width: int = 0,
    blocks: Sequence[int] | None = None,
) -> BatchTensors:
    """Moves a batch to a device.

    Args:
        batch: the rows.
        device: where to.
        layout: where its tokens stand (see `layout`); results differ by rounding only.
        width: of the rows of memory; 0 = the layout's own choice.
        blocks: consecutive rows that must not share memory with others, such as those of one adapter.
    """
    import torch

    def put(array: Any, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype).to(device)

    laid = lay_out(batch, layout, width, blocks)
    sources, merged = np.unique(laid.sources, return_inverse=True)
    # Terms stay sorted by source: where sources were merged, they are renumbered.
    term_source = merged.reshape(-1)[batch.term_source]
    ranked = np.argsort(term_source, kind="stable")
    rank = np.empty_like(ranked)
    rank[ranked] = np.arange(len(ranked))
    speech_term = rank[batch.speech_term]
    absent = batch.pick_terms < 0
    pick_terms = np.append(rank, len(rank))[np.where(absent, len(rank), batch.pick_terms)]
    return BatchTensors(
        ids=put(laid.ids),
        positions=put(laid.positions),
        attention=None if laid.allowed is None else _additive(put(laid.allowed, torch.bool)),
        sources=put(sources),
        term_source=put(term_source[ranked]),
        term_target=put(batch.term_target[ranked]),
        speech_term=put(speech_term),
        speech_source=put(term_source[batch.speech_term]),
        pick_terms=put(pick_terms),
        pick_choice=put(batch.pick_choice),
        absent=put(absent.all(axis=2), torch.bool),
        order=put(np.argsort(np.concatenate([batch.speech_unit, batch.pick_unit]), kind="stable")),
        rows=put(batch.unit_row),
        turns=put(np.unique(batch.unit_turn, return_inverse=True)[1].reshape(-1)),
        blocks=laid.blocks,
        tokens=laid.tokens,
    )


def _additive(allowed: Tensor) -> Tensor:
    """[P, 1, W, W] float32 mask that is added to attention scores."""
    import torch

    zeros = torch.zeros(allowed.shape, device=allowed.device)
    return zeros.masked_fill_(~allowed, torch.finfo(torch.float32).min)[:, None]


def head_logits(model: Any, hidden: Tensor, temperature: float) -> Tensor:
    """[m, V] float32 logits of hidden states [m, H], with the model's own scaling and soft cap."""
    import torch

    config = model.config
    logits = model.get_output_embeddings()(hidden).float()
    scale = getattr(config, "logit_scale", None)
    logits = logits * scale if scale is not None else logits
    divisor = getattr(config, "logits_scaling", None)
    logits = logits / divisor if divisor is not None else logits
    cap = getattr(config, "final_logit_softcapping", None)
    logits = torch.tanh(logits / cap) * cap if cap is not None else logits
    result: Tensor = logits if temperature == 1.0 else logits / temperature
    return result


def hidden_states(model: Any, tensors: BatchTensors) -> Tensor:
    """[M', H] the decoder's last hidden states at the sources.

    Rows packed end to end are told apart by their positions alone, which transformers does only with `use_cache=False`
    and without a mask; otherwise they would silently see one another.

    Raises:
        ValueError: a layout that needs a mask, with an attention kernel that takes none.
    """
    ids, positions, attention = tensors.ids, tensors.positions, tensors.attention
    kernel = getattr(model.config, "_attn_implementation", "sdpa")
    if kernel not in ("sdpa", "eager"):
        if attention is not None:
            raise ValueError(
                f"attention kernel {kernel!r} takes no mask: use layout 'packed', and 'sdpa' for picks over choices "
                "of several tokens"
            )
        # Flash attention reads boundaries from positions only where there is one row.
        ids, positions = ids.reshape(1, -1), positions.reshape(1, -1)
    elif attention is not None:
        attention = attention.to(next(model.parameters()).dtype)
    output = model.get_decoder()(
        input_ids=ids, attention_mask=attention, position_ids=positions, use_cache=False
    ).last_hidden_state
    read: Tensor = output.reshape(-1, output.shape[-1]).index_select(0, tensors.sources)
    return read


def unit_logprobs(
    model: Any, tensors: BatchTensors, temperature: float = 1.0, chunk: int = CHUNK, fused: bool = False
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of every unit, both [U], differentiable.

    A speech token has its log-softmax over the vocabulary, its logits divided by the temperature. A pick has the
    log-softmax over its choices of the model's own summed log-probabilities divided by the temperature, as agents pick
    (`debate.agents.language`), and the entropy of that distribution.

    Args:
        model: a transformers causal language model (`get_decoder`, `get_output_embeddings`).
        tensors: the batch.
        temperature: the one sampling used.
        chunk: sources whose logits exist at once; larger batches recompute them in the backward pass.
        fused: use TRL's head instead, where it is there and the batch fits it (see `fused_head`).
    """
    import torch

    if fused and fits(tensors) and fuse_head(model, temperature):
        values, source_entropy = fused_scores(model, tensors)
    else:
        values, source_entropy = _chunked_scores(model, tensors, temperature, chunk)
    empty = values.new_zeros(1, dtype=torch.float32)
    values, source_entropy = torch.cat([values, empty]), torch.cat([source_entropy, empty])

    scores = values[tensors.pick_terms].sum(-1).masked_fill(tensors.absent, -torch.inf)
    picks = torch.log_softmax(scores, dim=-1)
    taken = picks.gather(1, tensors.pick_choice[:, None])[:, 0]
    # 0 · log 0 = 0: choices that are absent or impossible add nothing, and no NaN gradient.
    pick_entropy = -(picks.exp() * picks.masked_fill(picks == -torch.inf, 0.0)).sum(-1)
    logprobs = torch.cat([values[tensors.speech_term], taken])[tensors.order]
    entropy = torch.cat([source_entropy[tensors.speech_source], pick_entropy])[tensors.order]
    return logprobs, entropy


def _chunked_scores(model: Any, tensors: BatchTensors, temperature: float, chunk: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities of terms [Z] and entropies of sources [M'], the logits of `chunk` sources at a time."""
    import torch
    from torch.utils.checkpoint import checkpoint

    hidden = hidden_states(model, tensors)
    many = len(hidden) > chunk
    # Terms are sorted by source, so a chunk of sources owns a run of terms.
    bounds = [*range(0, len(hidden), chunk), len(hidden)]
    cuts = torch.searchsorted(tensors.term_source, torch.tensor(bounds, device=hidden.device)).tolist()
    terms, entropies = [], []
    picked = torch.ones(len(tensors.term_source), dtype=torch.bool, device=hidden.device)
    picked[tensors.speech_term] = False
    for i in range(len(bounds) - 1):
        source = tensors.term_source[cuts[i] : cuts[i + 1]] - bounds[i]
        inputs = (
            model,
            hidden[bounds[i] : bounds[i + 1]],
            source,
            tensors.term_target[cuts[i] : cuts[i + 1]],
            picked[cuts[i] : cuts[i + 1]],
            temperature,
        )
        if many and torch.is_grad_enabled():
            values, entropy = checkpoint(_score, *inputs, use_reentrant=False)
        else:
            values, entropy = _score(*inputs)
        terms.append(values)
        entropies.append(entropy)
    nothing = hidden.new_zeros(0, dtype=torch.float32)
    return torch.cat([*terms, nothing]), torch.cat([*entropies, nothing])


def _score(
    model: Any, hidden: Tensor, source: Tensor, target: Tensor, picked: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of terms [z] and entropies of sources [m] from hidden states [m, H].

    Terms of picks (`picked` [z]) are the model's own log-probabilities divided by the temperature.
    """
    import torch

    logits = head_logits(model, hidden, 1.0)
    logprobs = torch.log_softmax(logits if temperature == 1.0 else logits / temperature, dim=-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    place = source * logprobs.shape[1] + target
    values = logprobs.reshape(-1).index_select(0, place)
    if temperature != 1.0 and bool(picked.any()):
        own = torch.log_softmax(logits, dim=-1).reshape(-1).index_select(0, place)
        values = torch.where(picked, own / temperature, values)
    return values, entropy
