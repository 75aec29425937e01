"""Credit: from reward vectors to advantages, per role, per criterion.

The steps (GDPO, 2601.05242, kept apart per place = protocol, role, seat position):

1. each criterion minus its baseline, divided by its spread (ddof = 1);
2. combined with the agent's weights, or another scalariser;
3. normalised over the batch within each place;
4. process rewards are added last, A = norm(R_final) + λ_t norm(R_process), with λ_t outside every normalisation: were
   step 3 to rescale the sum, λ = 1 and λ = .001 would give the same advantages wherever final rewards tie.

A criterion that is not known is left out for that sample, never read as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from debate.learning.baselines import Baseline, EmaBaseline, codes, moments
from debate.learning.samples import Sample
from debate.learning.scalarisers import Combination, Linear, Utility

Array = NDArray[np.float64]
BatchStep = Literal["auto", "normalise", "scale", "centre", "none"]
UTILITY = "utility"


@dataclass(frozen=True, slots=True)
class CreditConfig:
    """How advantages are normalised.

    Attributes:
        scale: "std" divides each criterion by its spread; "none" only subtracts the baseline (Dr. GRPO).
        batch: the step over the batch. "normalise" centres and divides by the spread; "scale" divides by the root mean
            square and keeps the baseline's centre; "centre" only centres; "none" does nothing. "auto" is "normalise"
            with a group baseline and "scale" with a moving average (centring again would replace it by the batch mean).
        epsilon: added to every spread (TRL's 1e-4).
    """

    scale: Literal["std", "none"] = "std"
    batch: BatchStep = "auto"
    epsilon: float = 1e-4


@dataclass(frozen=True, eq=False)
class Credit:
    """Advantages and how they came about. Axis letters: N samples, C criteria.

    Attributes:
        advantages: [N]; NaN where the sample cannot be trained on.
        normalised: [N, C] each criterion after step 1; NaN where not known or without a baseline.
        criteria: C names.
        spread: criterion → mean standard deviation within the groups (its collapse is the earliest alarm); NaN where
            no group has two numbers.
        excluded: criterion → samples whose status was not "ok".
        alone: criterion → samples that had a reward but no baseline to compare it with (a group of one).
        untrainable: samples without an advantage.
    """

    advantages: Array
    normalised: Array
    criteria: tuple[str, ...]
    spread: Mapping[str, float]
    excluded: Mapping[str, int]
    alone: Mapping[str, int]
    untrainable: int


def reward_matrix(samples: Sequence[Sample]) -> tuple[Array, tuple[str, ...]]:
    """[N, C] rewards of the samples (NaN where not known) and the C criteria.

    Raises:
        ValueError: samples with different criteria.
    """
    criteria = samples[0].criteria if samples else ()
    for sample in samples:
        if sample.criteria != criteria:
            raise ValueError(
                f"sample {sample.episode_id!r}: expected criteria {list(criteria)} like the others, "
                f"got {list(sample.criteria)}"
            )
    return np.array([sample.rewards for sample in samples], dtype=np.float64).reshape(
        len(samples), len(criteria)
    ), criteria


def normalise_over_batch(values: Array, code: NDArray[np.int64], step: BatchStep, epsilon: float) -> Array:
    """Step 3: [N] values centred and scaled within each place (code [N]), NaN left out.

    A place with a single number keeps its value under "scale" and "none" and is not known under the other two.
    """
    if step == "none" or not values.size:
        return values
    count, mean, std = (array[:, 0] for array in moments(values[:, None], code))
    if step == "scale":
        _, square, _ = moments(values[:, None] ** 2, code)
        return values / (np.sqrt(square[:, 0]) + epsilon)
    centred = np.where(count > 1, values - mean, np.nan)
    return centred if step == "centre" else centred / (std + epsilon)


def assign_credit(
    samples: Sequence[Sample],
    weights: Mapping[str, float] | Combination | Utility,
    baseline: Baseline,
    config: CreditConfig = CreditConfig(),
    process: Mapping[str, float] | None = None,
) -> Credit:
    """Advantages of a batch of samples of one agent; the baseline is read first and learns from the batch afterwards.

    Args:
        samples: N samples, in a fixed order (episode id, position).
        weights: criterion → weight (linear), or another scalariser.
        baseline: what each reward is compared with.
        config: how it is normalised.
        process: process criterion → its λ_t now; 0 switches it off exactly. Process criteria take no part in `weights`.

    Raises:
        ValueError: samples with different criteria, unknown names, or a λ_t below 0.
    """
    process = dict(process or {})
    rewards, criteria = reward_matrix(samples)
    if not samples:
        return Credit(np.zeros(0), rewards, criteria, {}, {}, {}, 0)
    _check_process(process, criteria)
    places = codes([sample.place for sample in samples])
    step = config.batch
    if step == "auto":
        step = "scale" if isinstance(baseline, EmaBaseline) else "normalise"

    scalariser = Linear(weights) if isinstance(weights, Mapping) else weights
    normalised = _normalise(samples, rewards, criteria, baseline, config)
    final = [c for c, name in enumerate(criteria) if name not in process]
    names = tuple(criteria[c] for c in final)
    if isinstance(scalariser, Utility):
        utility = scalariser.utility(rewards[:, final], names)[:, None]
        combined = _normalise(samples, utility, (UTILITY,), baseline, config)[:, 0]
        baseline.absorb(samples, utility, (UTILITY,))
    else:
        combined = scalariser.combine(normalised[:, final], rewards[:, final], names)
    advantages = normalise_over_batch(combined, places, step, config.epsilon)
    for name, level in process.items():
        if level:
            part = level * normalised[:, criteria.index(name)]
            both = np.isfinite(advantages) & np.isfinite(part)
            advantages = np.where(both, advantages + part, np.where(np.isfinite(part), part, advantages))

    _, _, spread = moments(rewards, codes([(sample.place, sample.group) for sample in samples]))
    baseline.absorb(samples, rewards, criteria)
    known = np.isfinite(rewards)
    return Credit(
        advantages=advantages,
        normalised=normalised,
        criteria=criteria,
        spread={
            n: float(s[np.isfinite(s)].mean()) if np.isfinite(s).any() else np.nan
            for n, s in zip(criteria, spread.T, strict=True)
        },
        excluded={n: int((~k).sum()) for n, k in zip(criteria, known.T, strict=True)},
        alone={n: int((k & np.isnan(a)).sum()) for n, k, a in zip(criteria, known.T, normalised.T, strict=True)},
        untrainable=int(np.isnan(advantages).sum()),
    )


def _normalise(
    samples: Sequence[Sample], values: Array, criteria: Sequence[str], baseline: Baseline, config: CreditConfig
) -> Array:
    """Step 1: [N, C] rewards minus their baseline, divided by their spread."""
    centre, spread = baseline.read(samples, values, criteria)
    centred = values - centre
    if config.scale == "none":
        return centred
    # An average that has history can judge a lone sample; its spread is then not known and the difference stays raw.
    return centred / (np.where(np.isnan(spread), 1.0, spread) + config.epsilon)


def _check_process(process: Mapping[str, float], criteria: Sequence[str]) -> None:
    """Refuses unknown process criteria and negative λ_t."""
    for name, level in process.items():
        if name not in criteria:
            raise ValueError(f"process reward {name!r} is none of the criteria {', '.join(criteria)}")
        if not (np.isfinite(level) and level >= 0):
            raise ValueError(f"process reward {name!r}: expected λ_t >= 0, got {level}")
