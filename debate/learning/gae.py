"""Generalised advantage estimation over turns (Schulman et al., 1506.02438), vector-valued.

The state is the history, the action a whole turn. Letters: H turns of one seat in one episode, C criteria. Any trailing
axes may stand in the place of C, so scalars work too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from debate.learning.baselines import codes, moments
from debate.learning.samples import Sample
from debate.learning.scalarisers import weight_vector, weighted_sum

Array = NDArray[np.float64]


def td_errors(rewards: ArrayLike, values: ArrayLike, gamma: float = 1.0) -> Array:
    """[H, C] δ_t = r_t + γ V_{t+1} − V_t.

    Args:
        rewards: [H, C] reward that follows each turn.
        values: [H + 1, C] value before each turn and after the last (0 where the episode ended).
        gamma: discount of a turn.

    Raises:
        ValueError: shapes that do not fit, or settings outside [0, 1].
    """
    r, v = np.asarray(rewards, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if v.shape != (len(r) + 1, *r.shape[1:]):
        raise ValueError(
            f"expected values of shape {(len(r) + 1, *r.shape[1:])}, one more turn than rewards, got {v.shape}"
        )
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma: expected a number in [0, 1], got {gamma}")
    return r + gamma * v[1:] - v[:-1]


def discounted_sums(deltas: Array, decay: float) -> Array:
    """[H, C] A_t = δ_t + decay · A_{t+1}, from the end backwards."""
    if not 0 <= decay <= 1:
        raise ValueError(f"decay: expected a number in [0, 1], got {decay}")
    out = np.zeros_like(deltas)
    running = np.zeros(deltas.shape[1:])
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + decay * running
        out[t] = running
    return out


def turn_gae(rewards: ArrayLike, values: ArrayLike, gamma: float = 1.0, lam: float = 0.9) -> Array:
    """[H, C] advantages A_t = Σ_k (γλ)^k δ_{t+k} (equation 16).

    λ = 1 is the return minus the value, λ = 0 the one-step TD error. Arguments as in `td_errors`.
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam: expected a number in [0, 1], got {lam}")
    return discounted_sums(td_errors(rewards, values, gamma), gamma * lam)


def gae_columns(rewards: Array, values: Sequence[Array], gamma: float = 1.0, lam: float = 0.9) -> list[Array]:
    """Advantages of every turn and criterion, for rewards that arrive with the last turn.

    Args:
        rewards: [N, C] of N episodes; NaN where not known, which makes the whole criterion unknown in that episode.
        values: N arrays [H_n, C], the critic's value before each turn.
        gamma: discount of a turn.
        lam: of the trace.

    Returns:
        N arrays [H_n, C].

    Raises:
        ValueError: values that do not fit the rewards.
    """
    parts = []
    for n, (reward, value) in enumerate(zip(rewards, values, strict=True)):
        if value.ndim != 2 or value.shape[1] != len(reward) or not len(value):
            raise ValueError(f"episode {n}: expected values of shape [turns, {len(reward)}], got {value.shape}")
        arriving = np.zeros_like(value)
        arriving[-1] = reward
        column = turn_gae(arriving, np.vstack([value, np.zeros((1, len(reward)))]), gamma, lam)
        parts.append(np.where(np.isfinite(reward), column, np.nan))
    return parts


def scale_by_place(values: Array, place: NDArray[np.int64], epsilon: float = 1e-4) -> Array:
    """[T, C] values centred and divided by their spread over all turns of their place ([T]); NaN left out.

    A place with a single number is not known.
    """
    count, mean, std = moments(values, place)
    scaled: Array = np.where(count > 1, (values - mean) / (np.nan_to_num(std) + epsilon), np.nan)
    return scaled


def turn_advantages(
    samples: Sequence[Sample],
    values: Sequence[Array],
    weights: Mapping[str, float],
    gamma: float = 1.0,
    lam: float = 0.9,
    epsilon: float = 1e-4,
) -> list[Array]:
    """Advantages of every turn, from a vector-valued critic and rewards that arrive with the last turn.

    1. GAE within each episode and criterion; 2. each criterion centred and scaled over all turns of its place
    (protocol, role, seat position); 3. combined with the agent's weights.

    Args:
        samples: N samples with the same criteria.
        values: N arrays [H_n, C], the critic's value before each turn.
        weights: criterion → weight.
        gamma: discount of a turn.
        lam: of the trace.
        epsilon: added to every spread.

    Returns:
        N arrays [H_n]; NaN throughout a sample without a known weighted criterion. Fit for `TokenBatch.from_samples`.

    Raises:
        ValueError: values that do not fit the turns.
    """
    if not samples:
        return []
    criteria = samples[0].criteria
    vector = weight_vector(weights, criteria)
    for sample, value in zip(samples, values, strict=True):
        if value.shape != (len(sample.turns), len(criteria)):
            raise ValueError(
                f"sample {sample.episode_id!r}: expected values of shape {(len(sample.turns), len(criteria))}, "
                f"got {value.shape}"
            )
    parts = gae_columns(np.stack([sample.rewards for sample in samples]), values, gamma, lam)
    lengths = [len(part) for part in parts]
    place = np.repeat(codes([sample.place for sample in samples]), lengths)
    scaled = scale_by_place(np.vstack(parts), place, epsilon)
    return np.split(weighted_sum(scaled, vector), np.cumsum(lengths)[:-1])
