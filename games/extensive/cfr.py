"""Counterfactual regret minimisation over the sequence form, for one game or many scalarisations of it at once.

- "cfr": M. Zinkevich, M. Johanson, M. Bowling, C. Piccione, "Regret minimization in games with incomplete information",
  NIPS 2007; uniform averaging.
- "cfr+": O. Tammelin, "Solving large imperfect information games using CFR+", arXiv:1407.5042; linear averaging.
- "dcfr": N. Brown, T. Sandholm, "Solving imperfect-information games via discounted regret minimization", AAAI 2019;
  α = 3/2, β = 0, γ = 2.
- "pcfr+": G. Farina, C. Kroer, T. Sandholm, "Faster game solving via predictive Blackwell approachability", AAAI 2021;
  the last instantaneous regret is the prediction; quadratic averaging.

Players update in turn, each against the newest policies of the others, as OpenSpiel's solvers do. The walk over the
tree is replaced by one sparse product (chance and the others' reach probabilities are in it) and a sweep over the
player's own levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.extensive.best_response import best_value
from games.extensive.sequences import CounterfactualPayoffs, PlayerSequences, infoset_totals, realisation
from games.extensive.tree import ExtensiveGame
from games.normal_form import Array


@dataclass(frozen=True, eq=False)
class CFRResult:
    """What `cfr` found.

    Attributes:
        policy: [Q] the average policy, or [M, Q] where M scalarisations were asked for.
        trace: iteration → NashConv of the average policy then (a number, or [M]).
        nash_conv: NashConv of `policy` (a number, or [M]).
        variant: the algorithm.
        iterations: how many were run.
    """

    policy: Array
    trace: Mapping[int, float | Array]
    nash_conv: float | Array
    variant: str
    iterations: int


def _cfr(total: Array, regret: Array, iteration: int) -> Array:
    total += regret
    return total


def _cfr_plus(total: Array, regret: Array, iteration: int) -> Array:
    total += regret
    return np.maximum(total, 0.0, out=total)


def _dcfr(total: Array, regret: Array, iteration: int) -> Array:
    total += regret
    grown = iteration**1.5
    total *= np.where(total > 0.0, grown / (grown + 1.0), 0.5)
    return total


def _pcfr_plus(total: Array, regret: Array, iteration: int) -> Array:
    return np.asarray(_cfr_plus(total, regret, iteration) + regret)


# variant → (update of the cumulative regrets: gives what the next policy is proportional to; exponent of averaging)
_VARIANTS: dict[str, tuple[Callable[[Array, Array, int], Array], int]] = {
    "cfr": (_cfr, 0),
    "cfr+": (_cfr_plus, 1),
    "dcfr": (_dcfr, 2),
    "pcfr+": (_pcfr_plus, 2),
}


def cfr(
    game: ExtensiveGame,
    variant: str = "cfr",
    iterations: int = 1000,
    trace: Iterable[int] = (),
    weights: ArrayLike | None = None,
) -> CFRResult:
    """Runs counterfactual regret minimisation from the uniform policy.

    In two-player zero-sum games the average policy converges to a Nash equilibrium; with more players, or general
    sums, there is no such promise: look at `nash_conv`. One iteration, for each player in turn:

    1. g[s] = Σ over the terminals after own sequence s of chance · payoff · reach of the others.
    2. From the deepest level up, value of an information set = Σ_a σ(a) (g[a] + values that follow a);
       regret of a = its value − that of its information set.
    3. Update the cumulative regrets by the variant's rule, and the average with the realisation plan just evaluated.
    4. Regret matching: σ(a) ∝ max(0, cumulative regret), uniform where none is positive.

    Args:
        game: scalar, or with any number of objectives where `weights` is given.
        variant: "cfr", "cfr+", "dcfr" or "pcfr+".
        iterations: how many, ≥ 1.
        trace: iterations after which NashConv of the average policy is recorded.
        weights: [M, C] or [M, P, C]; M scalarised games are solved side by side in one pass.

    Raises:
        ValueError: unknown variant, a trace point outside 1 … iterations, a vector game without weights, or weights
            of a wrong shape.
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant: expected one of {sorted(_VARIANTS)}, got {variant!r}")
    points = {int(t) for t in trace}
    if iterations < 1 or any(not 1 <= t <= iterations for t in points):
        raise ValueError(
            f"expected iterations ≥ 1 and trace points in 1 … {iterations}, got {iterations} and {sorted(points)}"
        )
    scales = _scales(game, weights)
    seats = [_Seat(game, i, None if scales is None else scales[:, i]) for i in range(game.num_players)]
    update, exponent = _VARIANTS[variant]
    plans = [seat.plan for seat in seats]
    recorded: dict[int, float | Array] = {}
    for t in range(1, iterations + 1):
        for seat in seats:
            regret = seat.instantaneous_regret(plans)
            seat.average += seat.plan[1:] * float(t**exponent) if exponent else seat.plan[1:]
            seat.match(update(seat.regret, regret, t))
        if t in points:
            recorded[t] = _nash_conv(seats)
    parts = [seat.average_policy() for seat in seats]
    policy = np.concatenate(parts, axis=0)
    final = recorded[iterations] if iterations in recorded else _nash_conv(seats)
    return CFRResult(policy if scales is None else policy.T.copy(), recorded, final, variant, iterations)


class _Seat:
    """One player's regrets and policy. Arrays are [Q_i], or [Q_i, M] with M scalarisations."""

    def __init__(self, game: ExtensiveGame, player: int, weights: Array | None) -> None:
        self.sequences: PlayerSequences = game.sequences[player]
        shared = weights is None
        self.payoffs = game.counterfactual_payoffs[player] if shared else CounterfactualPayoffs(game, player, weights)
        uniform = game.uniform_policy()[self.sequences.start : self.sequences.stop]
        if weights is not None:
            uniform = np.repeat(uniform[:, None], len(weights), axis=1)
        self.uniform = uniform
        self.totals = infoset_totals(self.sequences)
        self.policy = uniform.copy()
        self.plan = realisation(self.sequences, self.policy)
        self.regret = np.zeros_like(uniform)
        self.average = np.zeros_like(uniform)
        self.weighted = np.empty_like(uniform)
        self.spread = np.empty_like(uniform)

    def instantaneous_regret(self, plans: list[Array]) -> Array:
        """Steps 1 and 2: [Q_i] counterfactual regrets of the current policy."""
        s = self.sequences
        earnings = self.payoffs(plans)
        values = earnings[1:]
        if not s.levels:
            return values
        for level in reversed(s.levels):
            here = slice(level.low, level.high)
            weighted = np.multiply(self.policy[here], values[here], out=self.weighted[here])
            if level.low > 0:
                earnings[level.groups] += np.add.reduceat(weighted, level.group_sequences, axis=0)
        infosets = self.totals(self.weighted)
        values -= infosets.take(s.owner, axis=0, out=self.spread, mode="clip")
        return values

    def match(self, proportions: Array) -> None:
        """Step 4, and the realisation plan of the new policy, in place: the other players read it there."""
        s = self.sequences
        if not s.levels:
            return
        self._normalised(np.maximum(proportions, 0.0, out=self.weighted), out=self.policy)
        realisation(s, self.policy, out=self.plan)

    def average_policy(self) -> Array:
        """[Q_i] the average policy; uniform where the player itself never came."""
        return self._normalised(self.average, out=np.empty_like(self.average))

    def _normalised(self, masses: Array, out: Array) -> Array:
        """Masses divided by their sum over each information set; uniform where that is zero."""
        if not self.sequences.levels:
            return out
        np.copyto(out, self.uniform)
        sums = self.totals(masses).take(self.sequences.owner, axis=0, out=self.spread, mode="clip")
        return np.divide(masses, sums, out=out, where=sums > 0.0)


def _nash_conv(seats: list[_Seat]) -> float | Array:
    plans = [realisation(seat.sequences, seat.average_policy()) for seat in seats]
    total: float | Array = 0.0
    for seat, plan in zip(seats, plans, strict=True):
        earnings = seat.payoffs(plans)
        current = (plan * earnings).sum(axis=0)
        total = total + np.maximum(best_value(seat.sequences, earnings) - current, 0.0)
    return float(total) if np.ndim(total) == 0 else np.asarray(total)


def _scales(game: ExtensiveGame, weights: ArrayLike | None) -> Array | None:
    """[M, P, C], or None for a scalar game."""
    if weights is None:
        game.scalar()
        return None
    w = np.asarray(weights, dtype=np.float64)
    wanted = (game.num_players, game.num_objectives)
    if w.ndim not in (2, 3) or w.shape[1:] not in (wanted, wanted[1:]) or len(w) == 0:
        raise ValueError(f"weights: expected shape [M, {wanted[1]}] or [M, {wanted[0]}, {wanted[1]}], got {w.shape}")
    if not np.isfinite(w).all():
        raise ValueError("weights: expected finite numbers")
    return np.broadcast_to(w[:, None, :], (len(w), *wanted)) if w.ndim == 2 else w
