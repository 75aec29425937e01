"""Drawing tokens: the distribution asked for, and an inverse-CDF draw that needs one uniform number a token.

The uniform number is derived from the request's seed and the token's index, so a row's tokens depend on nothing else
in the batch. The log-probability returned is that of the distribution really drawn from: with temperature 1, top_p 1
and top_k 0 the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from debate.seeds import derive, unit
from judges.types import Sampling

if TYPE_CHECKING:
    import torch


def check(sampling: Sampling) -> None:
    """Checks the numbers of a sampling request.

    Raises:
        ValueError: a value outside its range.
    """
    if sampling.max_tokens < 1:
        raise ValueError(f"sampling.max_tokens: expected at least 1, got {sampling.max_tokens}")
    if not (isfinite(sampling.temperature) and sampling.temperature >= 0):
        raise ValueError(f"sampling.temperature: expected a number ≥ 0, got {sampling.temperature}")
    if not 0 < sampling.top_p <= 1:
        raise ValueError(f"sampling.top_p: expected 0 < top_p ≤ 1, got {sampling.top_p}")
    if sampling.top_k < 0:
        raise ValueError(f"sampling.top_k: expected ≥ 0 (0: no limit), got {sampling.top_k}")


def uniform(seed: int, index: int) -> float:
    """The number in [0, 1) that decides token `index` of the request with this seed."""
    return unit(derive(seed, "token", index))


def log_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Log-probabilities of the distribution drawn from; -inf where it is cut off.

    1. Divide by the temperature; temperature 0 puts all mass on the first largest logit.
    2. Keep the top_k largest (0: all).
    3. Keep the smallest set of largest whose mass reaches top_p (Holtzman et al. 2020, "nucleus"), computed after 2.
    4. Renormalise.

    Args:
        logits: [V] float32.
        sampling: what was asked for.

    Returns:
        [V] float32.
    """
    import torch

    if sampling.temperature == 0:
        logp = torch.full_like(logits, -torch.inf)
        logp[logits.argmax()] = 0.0
        return logp
    logits = logits / sampling.temperature
    if sampling.top_k or sampling.top_p < 1:
        ordered, order = logits.sort(descending=True, stable=True)
        if sampling.top_k:
            ordered[sampling.top_k :] = -torch.inf
        if sampling.top_p < 1:
            mass = ordered.double().softmax(-1).cumsum(-1)
            ordered[1:][mass[:-1] >= sampling.top_p] = -torch.inf
        logits = torch.empty_like(logits).scatter_(0, order, ordered)
    return logits.log_softmax(-1)


def draw(
    logits: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row, and its log-probability.

    Args:
        logits: [R, V] float32.
        samplings: [R] how to sample each row.
        uniforms: [R] numbers in [0, 1).

    Returns:
        tokens [R] int64; log-probabilities [R] float32, NaN where the row's logits hold NaN or +inf.
    """
    import torch

    logp = logits.log_softmax(-1)
    for row, sampling in enumerate(samplings):
        if (sampling.temperature, sampling.top_p, sampling.top_k) != (1.0, 1.0, 0):
            logp[row] = log_probabilities(logits[row], sampling)
    mass = logp.double().exp_().cumsum(-1)
    total = mass[:, -1:]
    target = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None] * total
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    tokens = torch.searchsorted(mass, target, right=True).clamp_(max=logits.shape[-1] - 1)
    return tokens[:, 0], logp.gather(1, tokens)[:, 0]
