"""Log-probabilities of a batch's units under a causal language model, without ever holding [R, T, V] logits.

The decoder runs once over the rows; the head is applied only to the hidden states that are read, a chunk at a time, in
float32. Rows are padded at the end, so causal attention needs no mask; rows with branches get an explicit one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.learning.batch import TokenBatch

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 2048


@dataclass(frozen=True, eq=False)
class BatchTensors:
    """A `TokenBatch` on a device, ready for `unit_logprobs`. Letters as there; N = R·T.

    Attributes:
        ids, positions: [R, T]. attention: [R, 1, T, T] additive mask, None without branches.
        sources: [M] index into the N flattened hidden states.
        term_source, term_target: [Z]. speech_term: [S]; speech_source: [S]. pick_terms: [P, K, J], Z where absent.
        pick_choice: [P]. absent: [P, K]. order: [U] puts (speech, pick) values into unit order.
        rows, turns: [U] segments, numbered from 0.
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


def to_tensors(batch: TokenBatch, device: str = "cpu") -> BatchTensors:
    """Moves a batch to a device."""
    import torch

    def put(array: Any, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype).to(device)

    width = batch.ids.shape[1]
    turns = np.unique(batch.unit_turn, return_inverse=True)[1].reshape(-1)
    return BatchTensors(
        ids=put(batch.ids),
        positions=put(batch.positions),
        attention=_attention(batch, device) if batch.branched else None,
        sources=put(batch.source_row * width + batch.source_position),
        term_source=put(batch.term_source),
        term_target=put(batch.term_target),
        speech_term=put(batch.speech_term),
        speech_source=put(batch.term_source[batch.speech_term]),
        pick_terms=put(np.where(batch.pick_terms < 0, len(batch.term_source), batch.pick_terms)),
        pick_choice=put(batch.pick_choice),
        absent=put((batch.pick_terms < 0).all(axis=2), torch.bool),
        order=put(np.argsort(np.concatenate([batch.speech_unit, batch.pick_unit]), kind="stable")),
        rows=put(batch.unit_row),
        turns=put(turns),
    )


def _attention(batch: TokenBatch, device: str) -> Tensor:
    """[R, 1, T, T] additive mask: causal among a row's own tokens, and the tree of its branches."""
    import torch

    steps = np.arange(batch.ids.shape[1])
    causal = steps[None, :] <= steps[:, None]
    own = batch.chains < 0
    branch = ~own
    main = own[:, None, :] & np.where(branch[:, :, None], steps[None, None, :] < batch.limits[:, :, None], causal[None])
    chain = branch[:, :, None] & (batch.chains[:, :, None] == batch.chains[:, None, :]) & causal[None]
    allowed = torch.from_numpy(main | chain).to(device)
    return torch.zeros(allowed.shape, device=device).masked_fill(~allowed, torch.finfo(torch.float32).min)[:, None]


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
    """[M, H] the decoder's last hidden states at the sources."""
    attention = tensors.attention
    if attention is not None:
        attention = attention.to(next(model.parameters()).dtype)
    output = model.get_decoder()(
        input_ids=tensors.ids, attention_mask=attention, position_ids=tensors.positions, use_cache=False
    ).last_hidden_state
    read: Tensor = output.reshape(-1, output.shape[-1]).index_select(0, tensors.sources)
    return read


def unit_logprobs(
    model: Any, tensors: BatchTensors, temperature: float = 1.0, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy of every unit, both [U], differentiable.

    A speech token has its log-softmax over the vocabulary; a pick the log-softmax over its choices of their summed
    log-probabilities, and the entropy of that distribution.

    Args:
        model: a transformers causal language model (`get_decoder`, `get_output_embeddings`).
        tensors: the batch.
        temperature: the one sampling used.
        chunk: sources whose logits exist at once; larger batches recompute them in the backward pass.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    hidden = hidden_states(model, tensors)
    many = len(hidden) > chunk
    # Terms are sorted by source, so a chunk of sources owns a run of terms.
    bounds = [*range(0, len(hidden), chunk), len(hidden)]
    cuts = torch.searchsorted(tensors.term_source, torch.tensor(bounds, device=hidden.device)).tolist()
    terms, entropies = [], []
    for i in range(len(bounds) - 1):
        source = tensors.term_source[cuts[i] : cuts[i + 1]] - bounds[i]
        inputs = (
            model,
            hidden[bounds[i] : bounds[i + 1]],
            source,
            tensors.term_target[cuts[i] : cuts[i + 1]],
            temperature,
        )
        if many and torch.is_grad_enabled():
            values, entropy = checkpoint(_score, *inputs, use_reentrant=False)
        else:
            values, entropy = _score(*inputs)
        terms.append(values)
        entropies.append(entropy)
    empty = hidden.new_zeros(1, dtype=torch.float32)
    values = torch.cat([*terms, empty])
    source_entropy = torch.cat([*entropies, empty])

    scores = values[tensors.pick_terms].sum(-1).masked_fill(tensors.absent, -torch.inf)
    picks = torch.log_softmax(scores, dim=-1)
    taken = picks.gather(1, tensors.pick_choice[:, None])[:, 0]
    # 0 · log 0 = 0: choices that are absent or impossible add nothing, and no NaN gradient.
    pick_entropy = -(picks.exp() * picks.masked_fill(picks == -torch.inf, 0.0)).sum(-1)
    logprobs = torch.cat([values[tensors.speech_term], taken])[tensors.order]
    entropy = torch.cat([source_entropy[tensors.speech_source], pick_entropy])[tensors.order]
    return logprobs, entropy


def _score(model: Any, hidden: Tensor, source: Tensor, target: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of terms [z] and entropies of sources [m] from hidden states [m, H]."""
    import torch

    logprobs = torch.log_softmax(head_logits(model, hidden, temperature), dim=-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.reshape(-1).index_select(0, source * logprobs.shape[1] + target), entropy
