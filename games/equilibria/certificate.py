"""Exact certificates: a rational profile near a floating-point one, with its regrets computed without rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from games.equilibria.rational import ObjectArray, exact_fractions, solve_near
from games.normal_form import Array, NormalFormGame, as_profile, deviation_payoffs

ExactProfile = tuple[tuple[Fraction, ...], ...]
THRESHOLDS = (1e-9, 1e-6, 1e-4, 1e-3, 1e-2)
DENOMINATORS = (64, 1_000, 1_000_000)


@dataclass(frozen=True)
class Certificate:
    """A profile of rational numbers and what exact arithmetic says about it.

    Attributes:
        profile: P rational mixed strategies, each summing to exactly 1.
        regrets: P exact regrets under the payoffs as stored.
        distance: largest difference of a probability from the profile that was to be certified.
    """

    profile: ExactProfile
    regrets: tuple[Fraction, ...]
    distance: float

    @property
    def nash_conv(self) -> Fraction:
        """The exact sum of the regrets."""
        return sum(self.regrets, Fraction(0))

    @property
    def is_nash(self) -> bool:
        """Whether the rational profile is exactly a Nash equilibrium of the stored payoffs."""
        return all(regret == 0 for regret in self.regrets)

    @property
    def exact(self) -> bool:
        """The same as `is_nash`."""
        return self.is_nash


def certify_profile(game: NormalFormGame, profile: Sequence[ArrayLike]) -> Certificate:
    """The best certificate among the rational profiles near `profile`.

    1. Two players: for each plausible support, solve the indifference equations of that support in fractions;
       directions the equations leave open keep (a nearby fraction of) their floating-point value.
    2. Any number of players: round the probabilities to nearby fractions.
    3. Take the first candidate without regret, else the one with the least exact NashConv.

    Raises:
        ValueError: the game is not scalar, or the profile does not fit it.
    """
    payoff = exact_fractions(game.scalar())
    mixed = as_profile(game, profile)
    best: Certificate | None = None
    for candidate in _candidates(payoff, mixed):
        distance = max(
            abs(float(q) - p)
            for row, p_row in zip(candidate, mixed, strict=True)
            for q, p in zip(row, p_row, strict=True)
        )
        found = Certificate(candidate, exact_regrets(payoff, candidate), distance)
        if found.is_nash and found.distance < 0.1:
            return found
        if best is None or found.nash_conv < best.nash_conv:
            best = found
    assert best is not None
    return best


def exact_regrets(payoff: ObjectArray, profile: ExactProfile) -> tuple[Fraction, ...]:
    """P exact regrets; `payoff` [P, k_0, …] holds fractions."""
    rows: list[ObjectArray] = [np.array(row, dtype=object) for row in profile]
    gains = []
    for i, own in enumerate(rows):
        values = deviation_payoffs(payoff[i], rows, i)
        gains.append(max(values) - sum((v * p for v, p in zip(values, own, strict=True)), Fraction(0)))
    return tuple(gains)


def _candidates(payoff: ObjectArray, mixed: tuple[Array, ...]) -> Iterator[ExactProfile]:
    if len(mixed) == 2:
        seen = set()
        for threshold in THRESHOLDS:
            supports = tuple(tuple(int(k) for k in np.flatnonzero(p > threshold)) for p in mixed)
            if supports not in seen:
                seen.add(supports)
                # Player 0's mixture makes player 1 indifferent on its support, and the other way round.
                row = _indifferent(payoff[1].T, supports[0], supports[1], mixed[0])
                column = _indifferent(payoff[0], supports[1], supports[0], mixed[1])
                if row is not None and column is not None:
                    yield row, column
    for bound in DENOMINATORS:
        rounded = [[Fraction(float(p)).limit_denominator(bound) for p in row] for row in mixed]
        yield tuple(_normalised(row) for row in rounded)
    yield tuple(_normalised([Fraction(float(p)) for p in row]) for row in mixed)


def _normalised(row: list[Fraction]) -> tuple[Fraction, ...]:
    total = sum(row, Fraction(0))
    return tuple(q / total for q in row)


def _indifferent(
    payoff: ObjectArray, own: tuple[int, ...], others: tuple[int, ...], guess: Array
) -> tuple[Fraction, ...] | None:
    """Probabilities on `own` that make the other player's strategies `others` pay the same; None if none do.

    `payoff` [k_other, k_own] is the other player's.
    """
    level = float(np.mean([float(sum(payoff[j, i] * Fraction(float(guess[i])) for i in own)) for j in others]))
    matrix = [[Fraction(-1), *(payoff[j, i] for i in own)] for j in others]
    matrix.append([Fraction(0), *(Fraction(1) for _ in own)])
    rhs = [Fraction(0)] * len(others) + [Fraction(1)]
    near = [Fraction(level), *(Fraction(float(guess[i])).limit_denominator(DENOMINATORS[-1]) for i in own)]
    solution = solve_near(matrix, rhs, near)
    if solution is None or min(solution[1:]) < 0:
        return None
    row = [Fraction(0)] * len(guess)
    for i, q in zip(own, solution[1:], strict=True):
        row[i] = q
    return tuple(row)
