"""The game tree of plan moves, with payoffs that rollouts have estimated, and its equilibrium."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.options.states import PlanSlot, state_name
from games.empirical.samples import EmpiricalGame
from games.extensive.tree import TERMINAL, ExtensiveGame

Array = NDArray[np.float64]


def plans_of(slots: Sequence[PlanSlot], seat: str) -> list[tuple[str, ...]]:
    """Every sequence of plan moves of a seat, in the order of the slots; one empty plan for a seat that never picks."""
    return list(product(*(slot.names for slot in slots if seat in slot.seats)))


def check_size(slots: Sequence[PlanSlot], seats: Sequence[str], most: int) -> int:
    """The number of joint plans.

    Raises:
        UserError: more than `most`.
    """
    cells = prod(len(plans_of(slots, seat)) for seat in seats)
    if cells > most:
        raise UserError(
            f"the option game has {cells} joint plans, more than {most}: offer fewer plan moves or speeches with them, "
            "or raise --cells"
        )
    return cells


@dataclass(frozen=True, eq=False)
class _Node:
    """A position: the picks so far, in the order of (slot, seat)."""

    slots: tuple[PlanSlot, ...]
    seats: tuple[str, ...]
    payoffs: Array
    picks: tuple[tuple[int, str, str], ...] = ()  # (slot number, seat, option)

    def _next(self) -> tuple[PlanSlot, str] | None:
        left = len(self.picks)
        for slot in self.slots:
            if left < len(slot.seats):
                return slot, slot.seats[left]
            left -= len(slot.seats)
        return None

    def player(self) -> int | None:
        coming = self._next()
        return TERMINAL if coming is None else self.seats.index(coming[1])

    def actions(self) -> Sequence[str]:
        coming = self._next()
        assert coming is not None
        return coming[0].names

    def chance(self) -> Sequence[tuple[str, float]]:
        raise AssertionError("chance never moves")

    def information_state(self) -> str:
        coming = self._next()
        assert coming is not None
        slot, seat = coming
        sight = {s.number: s for s in self.slots}
        known = [
            (who, what)
            for number, who, what in self.picks
            if who == seat or (number < slot.number and sight[number].shown and seat in sight[number].readers)
        ]
        return state_name(seat, slot.number, known)

    def child(self, action: int) -> _Node:
        coming = self._next()
        assert coming is not None
        slot, seat = coming
        return _Node(self.slots, self.seats, self.payoffs, (*self.picks, (slot.number, seat, slot.names[action])))

    def returns(self) -> Any:
        cell = []
        for seat in self.seats:
            plan = tuple(what for _, who, what in self.picks if who == seat)
            cell.append(plans_of(self.slots, seat).index(plan))
        index: tuple[Any, ...] = (slice(None), slice(None), *cell)
        return self.payoffs[index]


def option_tree(slots: Sequence[PlanSlot], samples: EmpiricalGame) -> ExtensiveGame:
    """The extensive game of the plan moves, every end worth the mean reward of its joint plan.

    Args:
        slots: where plan moves are picked.
        samples: players are seats, strategies sequences of plan moves in the order of `plans_of`; all cells played.
    """
    root = _Node(tuple(slots), samples.players, np.asarray(samples.normal_form().payoffs))
    return ExtensiveGame.from_state(root, samples.players, samples.objectives)


@dataclass(frozen=True, eq=False)
class OptionEquilibrium:
    """An equilibrium of the estimated option game.

    Attributes:
        game: the scalar tree it is an equilibrium of.
        policy: information state → {plan move: probability}.
        payoffs: [P] what the seats receive.
        regrets: [P] what each could still gain, exact in the estimated game.
        method: how it was found.
    """

    game: ExtensiveGame
    policy: Mapping[str, Mapping[str, float]]
    payoffs: Array
    regrets: Array
    method: str

    def priors(self) -> dict[str, dict[str, float]]:
        """Plan probabilities by state, as agents take them: every information state, and every `SEAT/SLOT` on its own.

        `SEAT/SLOT` is the mean over the seat's information states there, each weighed by how often equilibrium play
        meets it.
        """
        reach = self._reach()
        plain: dict[str, dict[str, float]] = {}
        weight: dict[str, float] = {}
        for name, row in self.policy.items():
            place = name.partition(" after ")[0]
            here = plain.setdefault(place, dict.fromkeys(row, 0.0))
            weight[place] = weight.get(place, 0.0) + reach[name]
            for option, p in row.items():
                here[option] += reach[name] * p
        for place, row in plain.items():
            total = weight[place]
            plain[place] = {o: p / total if total > 0 else 1.0 / len(row) for o, p in row.items()}
        return {**{name: dict(row) for name, row in self.policy.items()}, **plain}

    def _reach(self) -> dict[str, float]:
        """Information state → probability that play under the policy meets it."""
        game, flat = self.game, self.game.policy(self.policy)
        met = np.zeros(game.num_nodes)
        met[0] = 1.0
        for node in range(1, game.num_nodes):
            above = int(game.parent[node])
            mover = int(game.infoset[above])
            met[node] = met[above] * flat[game.offsets[mover] + game.action[node]]
        total = dict.fromkeys(game.infoset_names, 0.0)
        for node in np.flatnonzero(game.infoset >= 0).tolist():
            total[game.infoset_names[int(game.infoset[node])]] += float(met[node])
        return total


def solve_options(tree: ExtensiveGame, weights: Array, seed: int = 0) -> OptionEquilibrium:
    """A Nash equilibrium of the option game under the seats' own weights.

    Two players with opposed interests: the sequence-form linear program. Otherwise an equilibrium of the reduced normal
    form, carried over to behavioural strategies.

    Args:
        tree: [P players, C objectives].
        weights: [P, C].
        seed: of solvers that draw.

    Raises:
        games.NotConverged: no verified equilibrium was found.
        ValueError: a payoff that is not known.
    """
    from games.equilibria.dispatch import solve
    from games.extensive.best_response import regrets_tabular
    from games.extensive.reduced import behavioural_policy
    from games.extensive.sequence_form import sequence_form_lp

    if not np.isfinite(tree.payoffs).all():
        raise ValueError("the option game has joint plans without a known reward: every match there failed")
    game = tree.scalarise(weights)
    if game.num_players == 2 and game.is_constant_sum():
        total = game.scalar().sum(axis=1).mean()
        shifted = game.scalarise([[1.0], [1.0]]) if total == 0 else _shifted(game, total / 2)
        flat, method = sequence_form_lp(shifted).policy, "sequence-form linear program"
    else:
        found = solve(game.to_normal_form(), seed=seed)[0]
        assert found.profile is not None
        flat, method = behavioural_policy(game, found.profile), f"reduced normal form, {found.method}"
    payoffs = game.expected_payoffs(flat)[:, 0]
    return OptionEquilibrium(game, game.policy_table(flat), payoffs, regrets_tabular(game, flat), method)


def _shifted(game: ExtensiveGame, by: float) -> ExtensiveGame:
    from dataclasses import replace

    return replace(game, payoffs=game.payoffs - by)
