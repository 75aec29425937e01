"""The sequence-form linear program: known values, and agreement with the normal form on random games."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import from_openspiel, nash_conv, sequence_form_lp
from games.extensive.random_game import random_game

pytest.importorskip("pyspiel")


@pytest.mark.parametrize(
    ("name", "value"),
    [("kuhn_poker", -1 / 18), ("leduc_poker", -0.085606424078), ("liars_dice(numdice=1,dice_sides=2)", None)],
)
def test_values(name: str, value: float | None) -> None:
    """Kuhn 1950; Leduc: Southey et al. 2005, value as OpenSpiel computes it."""
    game = from_openspiel(name)
    solution = sequence_form_lp(game)
    if value is not None:
        assert solution.value == pytest.approx(value, abs=1e-10)
    assert nash_conv(game, solution.policy) == pytest.approx(solution.regrets.sum(), abs=1e-12)
    assert solution.regrets.sum() < 1e-9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_value_equals_the_normal_form_value(seed: int) -> None:
    from scipy.optimize import linprog

    game = random_game(seed, depth=4)
    a = game.to_normal_form(max_cells=10_000_000).payoffs[0, 0]
    k, n = a.shape
    program = linprog(
        np.r_[np.zeros(k), -1.0],
        A_ub=np.c_[-a.T, np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(k), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(None, None)],
    )
    solution = sequence_form_lp(game)
    assert solution.value == pytest.approx(program.x[-1], abs=1e-8)
    assert nash_conv(game, solution.policy) < 1e-8


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_larger_games_are_verified(seed: int) -> None:
    game = random_game(seed, depth=7)
    assert nash_conv(game, sequence_form_lp(game).policy) < 1e-7


def test_refuses_what_it_cannot_solve() -> None:
    with pytest.raises(ValueError, match="two players"):
        sequence_form_lp(random_game(0, players=3))
    with pytest.raises(ValueError, match="zero-sum"):
        sequence_form_lp(random_game(0, zero_sum=False))
    with pytest.raises(ValueError, match="scalarise"):
        sequence_form_lp(random_game(0, objectives=2))
