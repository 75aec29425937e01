"""Preferences from judged debates, and learning from them by direct preference optimisation (DPO, 2305.18290).

1. `preferences`: pairs (better, worse) of one seat's play, out of one group and from the same first prompt, ordered by
   a criterion or weighted criteria.
2. `dpo`: TRL's `DPOTrainer` on a LoRA adapter.

A seat's whole play in an episode is one completion; what it read between its speeches is masked. The log-ratios are
thus summed over the seat's own tokens, as in multi-turn DPO (M-DPO, 2409.02392). That objective is exact where
the first difference between two plays is the seat's own; where an opponent answered differently by chance,
the terms that DPO cancels cancel only in expectation.

A pick is scored by TRL over the whole vocabulary, in play over its choices alone. The two differ by a term of the
context, which cancels where both plays pick from the same position (always so at a first difference made by a pick),
and not after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from debate.engines.adapters import AdapterSpec
from debate.learning.rows import single_row
from debate.learning.samples import Sample
from debate.learning.trl_trainers import Settings, TrainedAdapter, train_dpo

if TYPE_CHECKING:
    from torch import Tensor

Pairing = Literal["extremes", "all"]
DPO_LOSSES = ("sigmoid", "hinge", "ipo")
DEFAULT = Settings()
ADAPTER = AdapterSpec()


@dataclass(frozen=True, eq=False)
class Preference:
    """One play preferred to another.

    Attributes:
        better, worse: what was played; the same seat, group and first prompt.
        margin: utility of the better minus that of the worse, > 0.
    """

    better: Sample
    worse: Sample
    margin: float


def utility(sample: Sample, weights: Mapping[str, float]) -> float:
    """Σ weight · reward; NaN where a criterion with a weight other than 0 is not known.

    Raises:
        ValueError: a criterion that the sample does not have.
    """
    missing = sorted(set(weights) - set(sample.criteria))
    if missing:
        raise ValueError(f"weights name {missing[0]!r}, which is none of the criteria {', '.join(sample.criteria)}")
    rewards = dict(zip(sample.criteria, sample.rewards.tolist(), strict=True))
    return math.fsum(weight * rewards[name] for name, weight in weights.items() if weight)


def preferences(
    samples: Iterable[Sample],
    by: str | Mapping[str, float],
    margin: float = 0.0,
    pairing: Pairing = "extremes",
) -> list[Preference]:
    """Pairs out of every group.

    Args:
        samples: of one or more seats and groups (`debate.learning.samples.gather`).
        by: a criterion, or criterion → weight.
        margin: a pair's utilities must differ by more than this.
        pairing: "extremes": the best and the worst of each group; "all": every pair.

    Returns:
        Pairs in the order of (place, group); within "all" by episode id. A play whose utility is not known, or whose
        first prompt no other shares (it defended another answer), is in no pair.

    Raises:
        ValueError: a margin below 0, another pairing, or an unknown criterion.
    """
    if not margin >= 0 or pairing not in ("extremes", "all"):
        raise ValueError(f"preferences: expected margin >= 0 and pairing extremes or all, got {margin} and {pairing!r}")
    weights = {by: 1.0} if isinstance(by, str) else dict(by)
    groups: dict[Any, list[tuple[float, Sample]]] = {}
    for sample in sorted(samples, key=lambda s: (s.place, s.group, s.episode_id)):
        value = utility(sample, weights)
        if math.isfinite(value):
            key = (sample.place, sample.group, sample.turns[0].prompt_tokens)
            groups.setdefault(key, []).append((value, sample))
    pairs = []
    for members in groups.values():
        ranked = sorted(members, key=lambda member: member[0])  # stable: ties stay in the order of episode ids
        chosen = combinations(ranked, 2) if pairing == "all" else [(ranked[0], ranked[-1])]
        pairs += [Preference(high[1], low[1], high[0] - low[0]) for low, high in chosen if high[0] - low[0] > margin]
    return pairs


def preference_rows(pairs: Sequence[Preference]) -> list[dict[str, list[int]]]:
    """What the trainer reads: for each pair `chosen_ids`, `chosen_mask`, `rejected_ids`, `rejected_mask`.

    The ids are those recorded in play; a mask is 1 where the seat wrote the token.

    Raises:
        ValueError: a play that is not one growing row of ids.
    """
    rows = []
    for pair in pairs:
        chosen, rejected = single_row(pair.better, "DPO"), single_row(pair.worse, "DPO")
        rows.append(
            {
                "chosen_ids": chosen.ids,
                "chosen_mask": chosen.mask,
                "rejected_ids": rejected.ids,
                "rejected_mask": rejected.mask,
            }
        )
    return rows


def dpo(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Preference],
    spec: AdapterSpec = ADAPTER,
    state: Mapping[str, Tensor] | None = None,
    settings: Settings = DEFAULT,
    beta: float = 0.1,
    loss: str = "sigmoid",
) -> TrainedAdapter:
    """Trains a LoRA adapter on preferences with TRL's `DPOTrainer`.

    What TRL does by itself: it applies the chat template to texts and tokenises them, which need not give the ids that
    were sampled. What is passed here: the recorded ids with their mask, past that step (see `trl_trainers`); the
    tokenizer is used for its pad token only.

    Args:
        model: a causal language model without adapters, of its own (`debate.engines.hf.load_base`); unchanged after.
        tokenizer: its tokenizer.
        pairs: what to learn from.
        spec: the adapter's shape.
        state: the adapter to start from, in PEFT's file format; it is the reference too. None: a fresh adapter, and the
            bare model as reference.
        settings: how to step.
        beta: weight of the pull to the reference.
        loss: "sigmoid" (DPO), "hinge" (SLiC) or "ipo" (2310.12036).

    Returns:
        The adapter, to be published to the engine or saved, and TRL's log (`rewards/margins`, `rewards/accuracies`, …).

    Raises:
        UserError: no TRL of the pinned version, or a model that carries adapters.
        ValueError: no pairs, an unknown loss, or rows that cannot be used.
    """
    if loss not in DPO_LOSSES:
        raise ValueError(f"dpo: expected a loss among {', '.join(DPO_LOSSES)}, got {loss!r}")
    return train_dpo(model, tokenizer, preference_rows(pairs), spec, state, settings, beta, loss)
