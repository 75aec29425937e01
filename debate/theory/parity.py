"""Parity: evidence that tells a judge nothing unless the judge reads why it was chosen.

The question is the exclusive or of N fair bits. Fewer than N of them are revealed, one after the other, by a player
whose rule may depend on everything (all bits, what was revealed). The judge is Bayesian: it knows the rule, or it
wrongly takes the positions to be independent of the bits.

- If the next position depends only on what was revealed (or on chance), the posterior stays ½: the bits left over
  are still fair and independent.
- A judge that ignores how positions were chosen stays at ½ whatever the rule.
- A rule that reads the hidden bits can signal through the position. With N = 2 and one reveal a helper tells the
  parity outright (position 0 for 0, position 1 for 1); a persuader who always wants the judge to say "1" cannot,
  since it would imitate itself, but an equilibrium with accuracy ¾ exists: it shows a 0 wherever it can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from games.normal_form import NormalFormGame

Bits = tuple[int, ...]
Seen = tuple[tuple[int, int], ...]
Rule = Callable[[Bits, Seen], Sequence[float]]
"""(all bits, (position, bit) pairs revealed so far) → [N] probability of each position; 0 for revealed ones."""


def transcripts(n: int, reveals: int, rule: Rule) -> dict[Seen, tuple[float, float]]:
    """Every transcript with the joint probabilities of (parity 0, parity 1).

    Args:
        n: number of bits.
        reveals: how many positions are revealed.
        rule: chooses them.

    Raises:
        ValueError: a rule that gives no distribution over the hidden positions.
    """
    result: dict[Seen, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for bits in product((0, 1), repeat=n):
        for seen, probability in _play(bits, reveals, rule, (), 0.5**n):
            result[seen][sum(bits) % 2] += probability
    return {seen: (even, odd) for seen, (even, odd) in result.items()}


def _play(bits: Bits, left: int, rule: Rule, seen: Seen, weight: float) -> list[tuple[Seen, float]]:
    if left == 0:
        return [(seen, weight)]
    chosen = rule(bits, seen)
    shown = {position for position, _ in seen}
    if len(chosen) != len(bits) or abs(sum(chosen) - 1) > 1e-9 or any(chosen[i] for i in shown) or min(chosen) < 0:
        raise ValueError(f"parity: expected a distribution over the hidden positions of {len(bits)}, got {chosen}")
    ends = []
    for position, probability in enumerate(chosen):
        if probability:
            ends += _play(bits, left - 1, rule, (*seen, (position, bits[position])), weight * probability)
    return ends


def posteriors(n: int, reveals: int, rule: Rule, reads_choice: bool = True) -> dict[Seen, float]:
    """P(parity is 1 | transcript) of a Bayesian judge.

    Args:
        n: number of bits.
        reveals: how many are revealed.
        rule: chooses the positions.
        reads_choice: the judge knows the rule; otherwise it conditions on the revealed bits alone, as if the positions
            had been fixed beforehand.
    """
    found = transcripts(n, reveals, rule)
    if reads_choice:
        return {seen: odd / (even + odd) for seen, (even, odd) in found.items()}
    return {seen: _naive(n, seen) for seen in found}


def _naive(n: int, seen: Seen) -> float:
    """P(parity is 1) given that these positions hold these bits: counted over the worlds that agree."""
    worlds = [bits for bits in product((0, 1), repeat=n) if all(bits[i] == bit for i, bit in seen)]
    return sum(sum(bits) % 2 for bits in worlds) / len(worlds)


def accuracy(n: int, reveals: int, rule: Rule, reads_choice: bool = True) -> float:
    """How often the judge's better guess is right; ½ when it cannot tell."""
    found, belief = transcripts(n, reveals, rule), posteriors(n, reveals, rule, reads_choice)
    total = 0.0
    for seen, (even, odd) in found.items():
        p = belief[seen]
        total += (even + odd) / 2 if abs(p - 0.5) < 1e-12 else odd if p > 0.5 else even
    return total


def helper(bits: Bits, seen: Seen) -> Sequence[float]:
    """N = 2, one reveal: the position is the parity."""
    return (0.0, 1.0) if sum(bits) == 1 else (1.0, 0.0)


def persuader(bits: Bits, seen: Seen) -> Sequence[float]:
    """N = 2, one reveal: show a 0 where there is one, either position where there is a choice.

    A shown 0 then means parity 1 with probability ⅔, a shown 1 means (1, 1), parity 0 for certain. The judge is wrong
    in the world (0, 0) only, and no world has a better reveal: an equilibrium.
    """
    return ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5))[2 * bits[0] + bits[1]]


_WORLDS = tuple(product((0, 1), repeat=2))
_SHOWN = tuple(product((0, 1), repeat=2))  # (position, bit)


def persuasion_game() -> NormalFormGame:
    """N = 2, one reveal, as a game: the persuader is paid when the judge says "1", the judge when it is right.

    Strategies: the persuader's are the position shown in each of the four worlds, such as "0110"; the judge's the
    answer to each of the four reveals (position 0 bit 0, position 0 bit 1, …).
    """
    rules, answers = list(product((0, 1), repeat=4)), list(product((0, 1), repeat=4))
    payoffs = np.zeros((2, 1, len(rules), len(answers)))
    for (i, positions), (j, says) in product(enumerate(rules), enumerate(answers)):
        for bits, position in zip(_WORLDS, positions, strict=True):
            said = says[_SHOWN.index((position, bits[position]))]
            payoffs[0, 0, i, j] += said / 4
            payoffs[1, 0, i, j] += (said == sum(bits) % 2) / 4
    names = [["".join(map(str, row)) for row in rows] for rows in (rules, answers)]
    return NormalFormGame(payoffs, ("persuader", "judge"), ("utility",), names)


def as_profile(rule: Rule, says: Mapping[Bits, int]) -> list[NDArray[np.float64]]:
    """A rule for N = 2 and the judge's answers to (position, bit) as a profile of `persuasion_game`."""
    rows = [rule(bits, ()) for bits in _WORLDS]
    mixed = [float(np.prod([rows[w][p] for w, p in enumerate(ps)])) for ps in product((0, 1), repeat=4)]
    answer = tuple(says[shown] for shown in _SHOWN)
    return [np.array(mixed), np.array([float(a == answer) for a in product((0, 1), repeat=4)])]
