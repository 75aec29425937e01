"""How likely a judge of a given quality is to pass, so that a refusal can be told from too few items."""

from __future__ import annotations


def least_agreements(items: int, threshold: float, confidence: float = 0.95) -> int | None:
    """The least number of agreements among `items` whose Clopper–Pearson lower bound reaches the threshold.

    None where not even all of them do.

    >>> least_agreements(50, 0.75), least_agreements(10, 0.75)
    (43, None)
    """
    from judges.statistics.proportions import clopper_pearson

    if items < 1 or clopper_pearson(items, items, confidence) < threshold:
        return None
    low, high = 0, items
    while low < high:  # the bound grows with the agreements
        middle = (low + high) // 2
        if clopper_pearson(middle, items, confidence) >= threshold:
            high = middle
        else:
            low = middle + 1
    return low


def gate_power(items: int, rate: float, threshold: float, confidence: float = 0.95) -> float:
    """Probability that a judge which agrees with probability `rate` passes the agreement gate on `items` items."""
    from scipy.stats import binom

    least = least_agreements(items, threshold, confidence)
    return 0.0 if least is None else float(binom.sf(least - 1, items, rate))


def items_needed(
    rate: float, threshold: float, power: float = 0.9, confidence: float = 0.95, limit: int = 5_000
) -> int:
    """The least number of items from which on (up to the limit) the gate's power reaches `power`.

    Raises:
        ValueError: a rate that is not above the threshold, or more than `limit` items.
    """
    if rate <= threshold:
        raise ValueError(f"items_needed: a judge at {rate} cannot be shown to be above {threshold}")
    short = 0
    run = 0
    for items in range(1, limit + 1):
        if gate_power(items, rate, threshold, confidence) < power:
            short, run = items, 0
        else:
            run += 1
        if run > max(50, short):  # power saws with n: it must hold over a stretch, not at one lucky number
            return short + 1
    raise ValueError(f"items_needed: more than {limit} items")
