"""What a judge is gauged against: cases with ratings or objective labels, and a record of who has seen them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from judges.labels.ledger import Label
from judges.types import Case

Array = NDArray[np.float64]

SIMULATED = "simulated-"  # every simulated expert's name begins with it, and gauges and certificates say so


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """One item of a sealed split.

    Attributes:
        id: its name.
        case: what the judge sees.
        domain: agreement is bounded for each domain apart.
        defends: seat → index of the option it defends; empty where the options are the texts to compare.
        label: an objective label, which outranks the panel; None where only the panel knows.
        own: index of the option written by the judge's own model; None where neither was.
    """

    id: str
    case: Case
    domain: str = "all"
    defends: Mapping[str, int] = field(default_factory=dict)
    label: int | None = None
    own: int | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """One expert's rating of one item: the index of an option. `repeat` counts blind repetitions from 0."""

    expert: str
    item: str
    label: int
    repeat: int = 0


def panel_ratings(labels: Iterable[Label]) -> tuple[Rating, ...]:
    """The ratings in a ledger's labels; an expert who was asked and could not say has not rated."""
    return tuple(Rating(x.expert, x.item, x.value, x.repeat) for x in labels if x.value is not None)


@dataclass(frozen=True)
class Labels:
    """A sealed split with everything that is known about it.

    Attributes:
        items: the cases, ids unique.
        ratings: the panel's ratings; empty without a panel.
        blind: whether the experts saw neither each other's ratings nor who wrote what; None where nobody says.
        no_own_texts: declares that the judge's own model wrote none of the texts; without it, and without items that
            say which text is the judge's own, self-preference is not known.
    """

    items: tuple[LabelledCase, ...]
    ratings: tuple[Rating, ...] = ()
    blind: bool | None = None
    no_own_texts: bool = False

    def __post_init__(self) -> None:
        """Refuses repeated ids, ratings of unknown items and labels that are no option.

        Raises:
            ValueError: what is wrong and where.
        """
        if not self.items:
            raise ValueError("Labels.items: expected at least one case")
        repeated = [i for i, n in Counter(item.id for item in self.items).items() if n > 1]
        if repeated:
            raise ValueError(f"Labels.items: ids must be unique, repeated: {', '.join(repeated[:5])}")
        options = {item.id: len(item.case.options) for item in self.items}
        for item in self.items:
            for name, option in (("label", item.label), ("own", item.own), *item.defends.items()):
                if option is not None and not 0 <= option < options[item.id]:
                    raise ValueError(f"item {item.id!r}: {name} is option {option} of {options[item.id]}")
        for rating in self.ratings:
            if rating.item not in options:
                raise ValueError(f"rating of {rating.expert!r}: there is no item {rating.item!r}")
            if not 0 <= rating.label < options[rating.item]:
                raise ValueError(f"rating of {rating.expert!r}: option {rating.label} of {options[rating.item]}")
        twice = [k for k, n in Counter((r.expert, r.item, r.repeat) for r in self.ratings).items() if n > 1]
        if twice:
            raise ValueError(f"Labels.ratings: {twice[0]} is rated twice under one repeat number")

    @cached_property
    def experts(self) -> tuple[str, ...]:
        """Names of the panel's experts."""
        return tuple(sorted({r.expert for r in self.ratings}))

    @property
    def simulated(self) -> bool:
        """Whether anybody on the panel is no person."""
        return any(expert.startswith(SIMULATED) for expert in self.experts)

    @cached_property
    def first_ratings(self) -> dict[str, dict[str, int]]:
        """Expert → {item: label}, repetitions left out."""
        table: dict[str, dict[str, int]] = {expert: {} for expert in self.experts}
        for r in self.ratings:
            if r.repeat == 0:
                table[r.expert][r.item] = r.label
        return table

    def members(self, least: int) -> tuple[str, ...]:
        """Experts who rated at least `least` items.

        Who rated fewer is heard in the consensus but is no member: somebody who stopped after five items must neither
        undo what the others share nor be held to have been compared with the judge.
        """
        return tuple(expert for expert, row in self.first_ratings.items() if len(row) >= least)

    def shared(self, experts: int, least: int = 1) -> tuple[str, ...]:
        """Items that at least so many members rated, in order."""
        rows = [self.first_ratings[expert] for expert in self.members(least)]
        return tuple(item.id for item in self.items if sum(item.id in row for row in rows) >= max(1, experts))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the ids, cases and labels: names the split without showing it."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(repr((item.id, item.case, item.domain, item.label)).encode("utf-8", "surrogatepass"))
        for r in sorted(self.ratings, key=lambda r: (r.item, r.expert, r.repeat)):
            digest.update(repr((r.item, r.expert, r.repeat, r.label)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def rating_matrix(self) -> Array:
        """[experts, items] first ratings, NaN where an expert did not rate."""
        rows = self.first_ratings
        return np.array([[rows[e].get(item.id, np.nan) for item in self.items] for e in self.experts], dtype=np.float64)

    def consensus(self, smoothing: float = 1.0) -> list[Array | None]:
        """The soft label of each item: one-hot for an objective label, else the smoothed Dawid–Skene posterior.

        None for an item that has neither a label nor a rating. The posteriors stay soft: a case on which the panel is
        split is a distribution, not a coin toss.

        Raises:
            ValueError: rated items with different numbers of options, for which there is no common model of errors.
        """
        from judges.statistics.latent_class import dawid_skene

        rated = [i for i, item in enumerate(self.items) if any(item.id in row for row in self.first_ratings.values())]
        posterior: dict[int, Array] = {}
        if rated:
            widths = {len(self.items[i].case.options) for i in rated}
            if len(widths) > 1:
                raise ValueError(f"Labels.consensus: rated items have {sorted(widths)} options, expected one number")
            counts = np.zeros((len(rated), len(self.experts), widths.pop()))
            for row, i in enumerate(rated):
                for r, expert in enumerate(self.experts):
                    label = self.first_ratings[expert].get(self.items[i].id)
                    if label is not None:
                        counts[row, r, label] = 1.0
            posterior = dict(zip(rated, np.asarray(dawid_skene(counts, smoothing=smoothing).posterior), strict=True))
        soft: list[Array | None] = []
        for i, item in enumerate(self.items):
            known = posterior.get(i)
            soft.append(known if item.label is None else np.eye(len(item.case.options))[item.label])
        return soft
