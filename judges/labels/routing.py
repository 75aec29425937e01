"""Whom to ask about what: expected information for the dollar, item by expert.

1. An item is settled when one class has posterior `settled` or more; it is irreducible when it is not settled and no
   expert not yet asked is expected to tell more than `least_information` bits. Only the others are open.
2. A share of the budget buys labels of items drawn at random from all that someone is left to label (audit): each
   keeps an inclusion probability above 0, whatever is believed about it.
3. Whom the audit asks is drawn: each expert's confusion matrix in each domain once from its Dirichlet posterior
   (Thompson 1933), so that experts of whom little is known are tried.
4. The rest buys (item, expert) pairs in the order of information for the dollar: the mutual information between the
   answer on one side, the item's class and the expert's confusion matrix on the other. What little known experts say
   tells about them too, most of all on items that are nearly known (Houlsby et al. 2011, "Bayesian active learning for
   classification and preference learning"). One label an item, so that each answer is taken into account before the
   item is asked again; and from nobody more in a domain than it has shown there so far (a trial of `trial` at first,
   then at most twice as many as before), so that no expert is bought by the dozen on nothing but its prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from judges.labels.belief import Expert, Item, prior_counts
from judges.statistics.labelling import expected_information

Array = NDArray[np.float64]
State = Literal["open", "settled", "irreducible"]
DRAWS = 24  # of each confusion matrix, for its expected information


@dataclass(frozen=True, slots=True)
class Purchase:
    """One label to buy.

    Attributes:
        item: what to ask about.
        expert: whom to ask.
        cost: dollars.
        information: bits expected from the answer: about the item, and where it was chosen about the expert as well.
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
    trial: int = 2,
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
        trial: labels that an expert of whom nothing is known in a domain is asked for there at once; who is known for
            more labels than that is asked for as many again.
        seed: same seed, same purchases.

    Raises:
        ValueError: repeated names, posteriors of different lengths, a negative budget, a share outside (0, 1].
    """
    if len({item.name for item in items}) < len(items) or len({expert.name for expert in experts}) < len(experts):
        raise ValueError("route: items and experts must have distinct names")
    if len({len(item.posterior) for item in items}) > 1:
        raise ValueError("route: all posteriors must have the same number of classes")
    if not (0 <= budget < float("inf") and 0 < uniform <= 1 and trial >= 1):
        given = f"{budget}, {uniform} and {trial}"
        raise ValueError(f"route: expected a budget >= 0, a uniform share in (0, 1] and a trial >= 1, got {given}")
    rng = np.random.default_rng(seed)
    drawn = _draw_confusions(items, experts, rng)
    audits = _audit(items, experts, budget, uniform, drawn, rng)
    left = budget - sum(purchase.cost for purchase in audits)
    taken = {purchase.item for purchase in audits}
    room = {
        (expert.name, domain): max(float(trial), _known_labels(expert, domain, items))
        for expert in experts
        for domain in dict.fromkeys(item.domain for item in items)
    }
    for purchase in audits:
        room[purchase.expert, next(item.domain for item in items if item.name == purchase.item)] -= 1
    worth = _Worth(items, experts, rng)
    return audits + _active(items, experts, left, taken, worth, room, settled, least_information)


def _known_labels(expert: Expert, domain: str, items: Sequence[Item]) -> float:
    """How many labels an expert has given in a domain: to these items, or as many as its confusion counts are worth."""
    classes = len(items[0].posterior)
    asked = sum(item.domain == domain and expert.name in item.asked for item in items)
    return max(float(asked), float(expert.counts(domain, classes).sum() - prior_counts(classes).sum()))


class _Worth:
    """What an expert's answer about an item tells of the item's class and of the expert's confusion matrix together.

    I(answer; class, confusion) = H(answer) − E[H(answer | class, confusion)], over draws of the confusion matrix. Of an
    expert who is known exactly it is the information about the class alone.
    """

    def __init__(self, items: Sequence[Item], experts: Sequence[Expert], rng: np.random.Generator) -> None:
        self._drawn: dict[tuple[str, str], Array] = {}
        classes = len(items[0].posterior) if items else 0
        for expert in experts:
            for domain in dict.fromkeys(item.domain for item in items):
                rows = expert.counts(domain, classes)
                self._drawn[expert.name, domain] = np.stack([rng.dirichlet(row, DRAWS) for row in rows], axis=1)

    def __call__(self, item: Item, expert: Expert) -> float:
        """Bits."""
        confusion = self._drawn[expert.name, item.domain]
        joint = item.posterior[None, :, None] * confusion / DRAWS
        answer = joint.sum(axis=(0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.nansum(joint * np.log2(confusion)) - np.nansum(answer * np.log2(answer)))


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
    worth: _Worth,
    room: dict[tuple[str, str], float],
    settled: float,
    least_information: float,
) -> tuple[Purchase, ...]:
    domains = {item.name: item.domain for item in items}
    candidates = []
    for item in items:
        if item.name in taken or item_state(item, experts, settled, least_information) != "open":
            continue
        for expert in experts:
            if expert.name not in item.asked:
                candidates.append(Purchase(item.name, expert.name, expert.cost, worth(item, expert), 1.0, audit=False))
    candidates.sort(key=lambda purchase: (-purchase.information / purchase.cost, purchase.item, purchase.expert))
    bought = []
    for purchase in candidates:
        place = purchase.expert, domains[purchase.item]
        if purchase.item not in taken and purchase.cost <= budget and purchase.information > 0 and room[place] >= 1:
            bought.append(purchase)
            taken.add(purchase.item)
            room[place] -= 1
            budget -= purchase.cost
    return tuple(bought)
