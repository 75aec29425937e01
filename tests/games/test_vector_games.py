"""Vector payoffs: Pareto fronts, hypervolume, SER and ESR equilibria, preference maps."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from games import NormalFormGame, esr_equilibria, hypervolume, pareto_front, preference_map, ser_equilibria
from games.vector.deviations import best_deviation
from games.vector.equilibria import ser_regrets
from games.vector.preference_map import simplex_grid, stable_profiles, worst_regrets

UTILITIES = [lambda v: v[..., 0] ** 2 + v[..., 1] ** 2, lambda v: v[..., 0] * v[..., 1]]


def common(cells) -> NormalFormGame:
    """Both players receive the same vector."""
    vectors = np.moveaxis(np.array(cells, dtype=float), -1, 0)
    return NormalFormGame(np.stack([vectors, vectors]))


NO_SER = common([[(4, 0), (2, 2)], [(2, 2), (0, 4)]])
ONE_SER = common([[(4, 0), (3, 1)], [(3, 1), (2, 2)]])


# --- fronts --------------------------------------------------------------------------------------------------------


def test_front_of_a_textbook_set():
    points = [[1, 5], [2, 4], [2, 3], [4, 1], [4, 1], [0, 5]]
    assert pareto_front(points).tolist() == [True, True, False, True, True, False]
    assert pareto_front(points, maximise=False).tolist() == [False, False, True, True, True, True]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 4), st.booleans())
def test_front_is_what_nothing_dominates(seed, count, dimension, maximise):
    points = np.random.default_rng(seed).integers(0, 5, size=(count, dimension)).astype(float)
    sign = 1 if maximise else -1
    plain = [not any((sign * q >= sign * p).all() and (sign * q > sign * p).any() for q in points) for p in points]
    assert pareto_front(points, maximise).tolist() == plain


def test_hypervolume_of_two_minimised_points():
    assert hypervolume([(1, 2), (2, 1)], (3, 3), maximise=False) == 3.0
    assert hypervolume([(2, 1), (1, 2)], (0, 0)) == 3.0


def test_points_that_do_not_beat_the_reference_add_nothing():
    assert hypervolume([(1, 2), (5, 0), (-1, 9)], (0, 0)) == 2.0
    assert hypervolume(np.zeros((0, 2)), (0, 0)) == 0.0
    assert hypervolume([(0, 0)], (0, 0)) == 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 5))
def test_hypervolume_equals_inclusion_and_exclusion(seed, count, dimension):
    points = np.random.default_rng(seed).integers(1, 6, size=(count, dimension)).astype(float)
    expected = 0.0
    for size in range(1, count + 1):
        for chosen in itertools.combinations(points, size):
            expected += (-1) ** (size + 1) * np.minimum.reduce(chosen).prod()
    assert hypervolume(points, np.zeros(dimension)) == pytest.approx(expected)
    assert hypervolume(-points, np.zeros(dimension), maximise=False) == pytest.approx(expected)


def test_bad_points_are_refused():
    with pytest.raises(ValueError, match=r"\[N, C\]"):
        pareto_front([1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        pareto_front([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="reference"):
        hypervolume([[1.0, 2.0]], [0.0])


# --- utility-based equilibria ---------------------------------------------------------------------------------------


def test_ser_without_equilibrium_reports_the_least_max_regret():
    """u1 = 8(s−1)² + 8, u2 = 4 − 4(s−1)² with s = x + y: no equilibrium, and the least largest regret is 2/3."""
    found = ser_equilibria(NO_SER, UTILITIES)
    assert list(found) == []
    assert found.least_max_regret == pytest.approx(2 / 3, abs=1e-9)
    x, y = (p[0] for p in found.least_profile)
    assert y == pytest.approx(0.5, abs=1e-4)
    assert abs(x - 0.5) == pytest.approx(1 / np.sqrt(6), abs=1e-4)


def test_esr_of_the_same_game_is_matching_pennies():
    found = esr_equilibria(NO_SER, UTILITIES)
    assert len(found) == 1
    for p in found[0].profile:
        np.testing.assert_allclose(p, [0.5, 0.5], atol=1e-9)
    assert found.least_max_regret < 1e-9


@pytest.mark.parametrize("solver", [ser_equilibria, esr_equilibria])
def test_the_one_equilibrium_of_the_second_game(solver):
    found = solver(ONE_SER, UTILITIES)
    assert len(found) == 1
    np.testing.assert_allclose(found[0].profile[0], [1, 0], atol=1e-9)
    np.testing.assert_allclose(found[0].profile[1], [0, 1], atol=1e-9)
    np.testing.assert_allclose(found[0].payoffs, [[3, 1], [3, 1]])


def test_with_linear_utilities_ser_finds_the_nash_equilibria():
    """Linear utilities make SER, ESR and the scalarised game one; battle of the sexes has three equilibria."""
    game = NormalFormGame(
        np.array([[[[2, 0], [0, 1]], [[0, 0], [0, 0]]], [[[0, 0], [0, 0]], [[1, 0], [0, 2]]]], dtype=float)
    )
    utilities = [lambda v: v[..., 0], lambda v: v[..., 1]]
    found = sorted(tuple(np.round(np.concatenate(e.profile), 6)) for e in ser_equilibria(game, utilities))
    expected = [(0, 1, 0, 1), (2 / 3, 1 / 3, 1 / 3, 2 / 3), (1, 0, 1, 0)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(esr_equilibria(game, utilities)) == 3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(3269)  # a narrow valley
def test_best_deviation_of_a_concave_utility_is_found(seed):
    """−|v − target|² over the hull of three points: the optimum is the projection; first-order condition."""
    rng = np.random.default_rng(seed)
    vectors, target = rng.normal(size=(3, 2)), rng.normal(size=2)
    value, mix = best_deviation(lambda v: -((v - target) ** 2).sum(axis=-1), vectors[None])
    gradient = -2 * vectors @ (mix[0] @ vectors - target)
    assert gradient.max() - gradient @ mix[0] <= 1e-4  # Frank–Wolfe gap: an upper bound on what is missed
    dense = -(((simplex_grid(3, 60) @ vectors) - target) ** 2).sum(axis=-1)
    assert value[0] >= dense.max() - 1e-9


def test_ser_regrets_see_mixed_deviations():
    """A player who wants balance gains from mixing although no pure deviation helps."""
    game = common([[(4, 0)], [(0, 4)]])
    balance = [lambda v: np.minimum(v[..., 0], v[..., 1]), lambda v: v[..., 0]]
    assert ser_regrets(game, balance, [np.array([1.0, 0.0]), np.array([1.0])])[0] == pytest.approx(2.0, abs=1e-6)


def test_bad_utilities_are_refused():
    with pytest.raises(ValueError, match="expected 2 callables"):
        ser_equilibria(NO_SER, UTILITIES[:1])
    with pytest.raises(ValueError, match=r"expected \[..., C\]"):
        esr_equilibria(NO_SER, [lambda v: v, UTILITIES[1]])
    with pytest.raises(ValueError, match="finite"):
        esr_equilibria(NO_SER, [lambda v: v[..., 0] * np.nan, UTILITIES[1]])


# --- preferences -----------------------------------------------------------------------------------------------------


def test_preference_map_flips_with_the_weights():
    """Objective 0 rewards the first strategy, objective 1 the second, for both players alike."""
    win, truth = [[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]
    game = NormalFormGame([[win, truth], [np.transpose(win), np.transpose(truth)]])
    maps = preference_map(game, [[0.9, 0.1], [0.2, 0.8]])
    assert [found[0].support for found in maps] == [((0,), (0,)), ((1,), (1,))]
    assert all(len(found) == 1 for found in maps)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_worst_regret_over_the_hull_is_at_a_corner(seed):
    rng = np.random.default_rng(seed)
    game = NormalFormGame(rng.normal(size=(2, 3, 3, 2)))
    profile = [rng.dirichlet(np.ones(k)) for k in game.shape]
    corners = rng.uniform(size=(4, 3))
    worst = worst_regrets(game, profile, corners)
    inside = rng.dirichlet(np.ones(4), size=200) @ corners
    assert (worst_regrets(game, profile, inside) <= worst + 1e-12).all()


def test_stable_profiles_hold_at_every_weight():
    dominant = NormalFormGame([[[[3.0, 2.0], [1.0, 0.0]]] * 2, [[[1.0, 0.0], [1.0, 0.0]]] * 2])
    found = stable_profiles(dominant, [[1.0, 0.0], [0.0, 1.0]], epsilon=1e-9)
    assert [e.support for e in found] == [((0,), (0,))]
    assert (
        stable_profiles(
            NO_SER.__class__(np.stack([[[[1.0, 1], [0, 0]], [[0.0, 0], [1, 1]]]] * 2)), [[1, 0], [0, 1]], 0.1
        )
        == []
    )


def test_simplex_grid_counts_and_sums():
    grid = simplex_grid(3, 4)
    assert grid.shape == (15, 3)
    np.testing.assert_allclose(grid.sum(axis=1), 1)
    assert simplex_grid(2, 1).tolist() == [[0, 1], [1, 0]]


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match=r"\[M, 2\]"):
        preference_map(NO_SER, [0.5, 0.5])
