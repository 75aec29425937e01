"""What the labels bought so far say: a posterior for each item, and for each expert how it errs in each domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from judges.labels.ledger import Label, label_counts
from judges.statistics.bayesian_classes import sample_classes

Array = NDArray[np.float64]

CONCENTRATION = 50.0  # how closely an expert's answers about each class follow its own accuracy in that domain


@dataclass(frozen=True, eq=False)
class Item:
    """Something that may be labelled.

    Attributes:
        name: its name.
        posterior: [K] current probability of each class.
        domain: what kind of item it is; experts are good at some.
        asked: experts who have labelled it.
    """

    name: str
    posterior: Array
    domain: str = ""
    asked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuses a posterior that is no distribution.

        Raises:
            ValueError: the numbers are negative, not finite or do not sum to 1.
        """
        p = np.asarray(self.posterior, dtype=float)
        if p.ndim != 1 or len(p) < 2 or not (p >= 0).all() or abs(p.sum() - 1) > 1e-6:
            raise ValueError(f"Item {self.name!r}: expected a distribution over two or more classes, got {p.tolist()}")
        object.__setattr__(self, "posterior", p)


@dataclass(frozen=True, eq=False)
class Expert:
    """Someone who may be asked.

    Attributes:
        name: the expert's name.
        cost: dollars for one label.
        confusion: domain → [K, K] Dirichlet counts above `prior_counts`: row k, how often it said each class of items
            of class k. A domain that is not listed is known by the prior alone.
    """

    name: str
    cost: float
    confusion: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses experts who cost nothing.

        Raises:
            ValueError: a cost that is not positive and finite.
        """
        if not 0 < self.cost < float("inf"):
            raise ValueError(f"Expert {self.name!r}: expected a positive cost, got {self.cost}")

    def counts(self, domain: str, classes: int) -> Array:
        """[K, K] Dirichlet parameters of this expert's answers in a domain, prior included."""
        prior = prior_counts(classes)
        return prior + np.asarray(self.confusion[domain]) if domain in self.confusion else prior


def prior_counts(classes: int) -> Array:
    """[K, K] what is thought of an unknown expert: right as often as three labels of four, on little evidence."""
    return np.ones((classes, classes)) + (3 * classes - 4) * np.eye(classes)


def believe(
    labels: Iterable[Label],
    items: Mapping[str, str],
    costs: Mapping[str, float],
    classes: int,
    *,
    sweeps: int = 400,
    seed: int = 0,
) -> tuple[list[Item], list[Expert]]:
    """Items with posteriors and experts with confusion counts, from all labels, fitted in each domain.

    Args:
        labels: all labels bought.
        items: item → domain.
        costs: expert → dollars for one label.
        classes: number of classes.
        sweeps: samples of the sampler.
        seed: of the sampler (`sample_classes`); same seed, same result.
    """
    bought = list(labels)
    asked: dict[str, set[str]] = {name: set() for name in items}
    for label in bought:
        if label.item in asked:
            asked[label.item].add(label.expert)
    posteriors: dict[str, Array] = {}
    confusion: dict[str, dict[str, Array]] = {expert: {} for expert in costs}
    for domain in dict.fromkeys(items.values()):
        names = [name for name, place in items.items() if place == domain]
        counts = label_counts(bought, names, list(costs), classes)
        belief = sample_classes(counts, prior_counts(classes), sweeps=sweeps, seed=seed, concentration=CONCENTRATION)
        posteriors.update(zip(names, belief.posterior, strict=True))
        for expert, said in zip(costs, belief.confusion, strict=True):
            confusion[expert][domain] = said
    found = [Item(name, posteriors[name], domain, frozenset(asked[name])) for name, domain in items.items()]
    return found, [Expert(name, cost, confusion[name]) for name, cost in costs.items()]
