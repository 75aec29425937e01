"""Backward induction against linear programs and best responses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.extensive.backward_induction import backward_induction
from games.extensive.random_game import random_game
from games.extensive.sequence_form import sequence_form_lp
from games.extensive.tree import TERMINAL, ExtensiveGame
from games.measures import nash_conv


@dataclass(frozen=True)
class Open:
    """A random game in which everybody sees everything: the history is the information state."""

    seed: int
    path: tuple[int, ...] = ()

    def _draw(self):
        return np.random.default_rng([self.seed, *self.path, 7])

    def player(self):
        if len(self.path) >= 5:
            return TERMINAL
        return (None, 0, 1)[int(self._draw().integers(3))]

    def actions(self):
        return ["l", "r"]

    def chance(self):
        return [("h", 0.3), ("t", 0.7)]

    def information_state(self):
        return str(self.path)

    def child(self, action):
        return Open(self.seed, (*self.path, action))

    def returns(self):
        x = float(self._draw().integers(-5, 6))
        return [x, -x]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_value_and_policy_are_those_of_the_linear_program(seed):
    game = ExtensiveGame.from_state(Open(seed), 2)
    found = backward_induction(game)
    assert found.values[0, 0] == pytest.approx(sequence_form_lp(game).value, abs=1e-9)
    assert nash_conv(game, found.policy) == pytest.approx(0.0, abs=1e-12)
    assert game.expected_payoffs(found.policy)[:, 0] == pytest.approx(found.values[0])


def test_hidden_information_and_several_objectives_are_refused():
    hidden = next(g for g in map(random_game, range(50)) if g.num_information_sets < (g.infoset >= 0).sum())
    with pytest.raises(ValueError, match="nodes, expected one"):
        backward_induction(hidden)
    with pytest.raises(ValueError, match="scalarise"):
        backward_induction(random_game(0, objectives=2))
