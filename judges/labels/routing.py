"""Whom to ask about what: expected information for the dollar, item by expert.

1. An item is settled when one class has posterior `settled` or more; it is irreducible when it is not settled and no
   expert not yet asked is expected to tell more than `least_information` bits. Only the others are open.
2. A share of the budget buys labels of items drawn at random from all that someone is left to label (audit): each
   keeps an inclusion probability above 0, whatever is believed about it.
3. For the rest each expert's confusion matrix in each domain is drawn once from its Dirichlet posterior (Thompson
   1933), so that experts of whom little is known are tried; (item, expert) pairs are bought in the order of mutual
   information for the dollar, one an item, so that each answer is taken into account before the item is asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from judges.labels.belief import Expert, Item
from judges.statistics.labelling import expected_information

Array = NDArray[np.float64]
State = Literal["open", "settled", "irreducible"]


@dataclass(frozen=True, slots=True)
class Purchase:
    """One label to buy.

    Attributes:
        item: what to ask about.
        expert: whom to ask.
        cost: dollars.
        information: bits expected from the answer under the drawn confusion matrix.
        inclusion: the probability with which the item was drawn (audit), 1 where it was chosen.
        audit: whether it was drawn at random.
    """

    item: str
    expert: str
    cost: float
    information: float
    inclusion: float
    audit: bool


def item_state(item: Item, experts: Sequence[Expert], settled: float = 0.95, least_information: float = 0.005) -> State:
    """Whether an item still is to be asked about. An irreducible item keeps its posterior: a distributional reward."""
    if item.posterior.max() >= settled:
        return "settled"
    for expert in experts:
        if expert.name not in item.asked:
            counts = expert.counts(item.domain, len(item.posterior))
            mean = counts / counts.sum(axis=1, keepdims=True)
            if expected_information(item.posterior, mean) > least_information:
                return "open"
    return "irreducible"


def route(
    items: Sequence[Item],
    experts: Sequence[Expert],
    budget: float,
    *,
    uniform: float = 0.1,
    settled: float = 0.95,
    least_information: float = 0.005,
    seed: int = 0,
) -> tuple[Purchase, ...]:
    """The labels to buy next for at most `budget` dollars.

    Args:
        items: all items with their posteriors; names are distinct.
        experts: all experts; names are distinct.
        budget: dollars; what no purchase fits into stays unspent.
        uniform: share of the budget for items drawn at random, in (0, 1].
        settled: posterior from which on an item is not asked about for information.
        least_information: bits below which asking is pointless.
        seed: same seed, same purchases.

    Raises:
        ValueError: repeated names, posteriors of different lengths, a negative budget, a share outside (0, 1].
    """
    if len({item.name for item in items}) < len(items) or len({expert.name for expert in experts}) < len(experts):
        raise ValueError("route: items and experts must have distinct names")
    if len({len(item.posterior) for item in items}) > 1:
        raise ValueError("route: all posteriors must have the same number of classes")
    if not (0 <= budget < float("inf") and 0 < uniform <= 1):
        raise ValueError(f"route: expected a budget >= 0 and a uniform share in (0, 1], got {budget} and {uniform}")
    rng = np.random.default_rng(seed)
    drawn = _draw_confusions(items, experts, rng)
    audits = _audit(items, experts, budget, uniform, drawn, rng)
    left = budget - sum(purchase.cost for purchase in audits)
    taken = {purchase.item for purchase in audits}
    return audits + _active(items, experts, left, taken, drawn, settled, least_information)


def _draw_confusions(
    items: Sequence[Item], experts: Sequence[Expert], rng: np.random.Generator
) -> dict[tuple[str, str], Array]:
    """(expert, domain) → [K, K] one draw of the confusion matrix."""
    if not items:
        return {}
    classes = len(items[0].posterior)
    domains = dict.fromkeys(item.domain for item in items)
    return {
        (expert.name, domain): np.stack([rng.dirichlet(row) for row in expert.counts(domain, classes)])
        for expert in experts
        for domain in domains
    }


def _audit(
    items: Sequence[Item],
    experts: Sequence[Expert],
    budget: float,
    share: float,
    drawn: dict[tuple[str, str], Array],
    rng: np.random.Generator,
) -> tuple[Purchase, ...]:
    """A simple random sample of items, each labelled by who tells most for the dollar about an item yet unknown."""
    chosen = {}
    for i, item in enumerate(items):
        unknown = np.full(len(item.posterior), 1 / len(item.posterior))
        free = [expert for expert in experts if expert.name not in item.asked]
        if free:
            worth = [expected_information(unknown, drawn[e.name, item.domain]) / e.cost for e in free]
            chosen[i] = free[int(np.argmax(worth))]
    if not chosen:
        return ()
    # As many as the share buys at mean cost, a fraction of one with that probability; never more than the whole budget
    # pays for, whichever are drawn: dropping what does not fit would change the inclusion probabilities.
    costs = [expert.cost for expert in chosen.values()]
    most = min(len(chosen), int(budget / max(costs)))
    wanted = budget * share / float(np.mean(costs))
    fewer, more = min(most, int(wanted)), min(most, int(wanted) + 1)
    number = more if rng.random() < wanted % 1 else fewer
    inclusion = (fewer + (more - fewer) * (wanted % 1)) / len(chosen)
    purchases = []
    for i in rng.choice(list(chosen), size=number, replace=False).tolist():
        item, expert = items[i], chosen[i]
        bits = expected_information(item.posterior, drawn[expert.name, item.domain])
        purchases.append(Purchase(item.name, expert.name, expert.cost, bits, inclusion, audit=True))
    return tuple(purchases)


def _active(
    items: Sequence[Item],
    experts: Sequence[Expert],
    budget: float,
    taken: set[str],
    drawn: dict[tuple[str, str], Array],
    settled: float,
    least_information: float,
) -> tuple[Purchase, ...]:
    candidates = []
    for item in items:
        if item.name in taken or item_state(item, experts, settled, least_information) != "open":
            continue
        for expert in experts:
            if expert.name not in item.asked:
                bits = expected_information(item.posterior, drawn[expert.name, item.domain])
                candidates.append(Purchase(item.name, expert.name, expert.cost, bits, 1.0, audit=False))
    candidates.sort(key=lambda purchase: (-purchase.information / purchase.cost, purchase.item, purchase.expert))
    bought = []
    for purchase in candidates:
        if purchase.item not in taken and purchase.cost <= budget and purchase.information > 0:
            bought.append(purchase)
            taken.add(purchase.item)
            budget -= purchase.cost
    return tuple(bought)
