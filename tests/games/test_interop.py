"""Games to and from OpenSpiel and Gambit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import (
    ExtensiveGame,
    NormalFormGame,
    from_gambit,
    from_openspiel,
    nash_conv,
    sequence_form_lp,
    to_gambit,
    to_openspiel,
)
from games.extensive.random_game import random_game

pyspiel = pytest.importorskip("pyspiel")
gambit = pytest.importorskip("pygambit")


def random_table(seed: int, players: int) -> NormalFormGame:
    draw = np.random.default_rng(seed)
    return NormalFormGame(draw.normal(size=(players, 1, *draw.integers(1, 4, players))))


# --- OpenSpiel


def test_names_and_objects_are_the_same() -> None:
    a, b = from_openspiel("kuhn_poker"), from_openspiel(pyspiel.load_game("kuhn_poker"))
    assert a.infoset_names == b.infoset_names and np.array_equal(a.payoffs, b.payoffs)
    with pytest.raises(ValueError, match="chess_on_mars"):
        from_openspiel("chess_on_mars")


def test_one_shot_games_are_normal_form_games() -> None:
    game = from_openspiel("matrix_rps")
    assert isinstance(game, NormalFormGame)
    assert game.strategies == (("Rock", "Paper", "Scissors"),) * 2
    assert game.payoffs[0, 0].tolist() == [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
    blotto = from_openspiel("blotto(coins=3,fields=2)")
    assert isinstance(blotto, NormalFormGame) and blotto.shape == (4, 4)


def test_simultaneous_moves_become_hidden_turns() -> None:
    game = from_openspiel("goofspiel(num_cards=3,imp_info=true,points_order=descending)")
    assert isinstance(game, ExtensiveGame)
    assert sequence_form_lp(game).value == pytest.approx(0.0, abs=1e-9)  # symmetric


def test_games_that_cannot_be_flattened_are_refused() -> None:
    with pytest.raises(ValueError, match="mfg_crowd_modelling"):
        from_openspiel("mfg_crowd_modelling")
    with pytest.raises(ValueError, match="samples"):
        from_openspiel("negotiation")
    with pytest.raises(ValueError, match="information-state strings"):
        from_openspiel("coin_game")
    with pytest.raises(ValueError, match="more than 1000 nodes"):
        from_openspiel("tic_tac_toe", max_nodes=1000)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_tables_survive_openspiel(seed: int, players: int) -> None:
    game = random_table(seed, players)
    again = from_openspiel(to_openspiel(game))
    assert np.array_equal(again.payoffs, game.payoffs)
    assert again.strategies == game.strategies


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(2, 3))
def test_trees_survive_openspiel(seed: int, players: int) -> None:
    game = random_game(seed, players=players, depth=4, zero_sum=False)
    again = from_openspiel(to_openspiel(game))
    assert (again.num_nodes, again.num_information_sets) == (game.num_nodes, game.num_information_sets)
    uniform, other = game.uniform_policy(), again.uniform_policy()
    assert again.expected_payoffs(other) == pytest.approx(game.expected_payoffs(uniform), abs=1e-12)
    assert nash_conv(again, other) == pytest.approx(nash_conv(game, uniform), abs=1e-12)


def test_openspiels_algorithms_accept_the_result() -> None:
    spiel = to_openspiel(from_openspiel("kuhn_poker"))
    solver = pyspiel.CFRPlusSolver(spiel)
    for _ in range(100):
        solver.evaluate_and_update_policy()
    assert pyspiel.nash_conv(spiel, solver.average_policy()) == pytest.approx(0.00238881, rel=1e-5)
    table = to_openspiel(NormalFormGame.zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]))
    assert isinstance(table, pyspiel.MatrixGame)
    assert table.row_utilities().tolist() == [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]


# --- Gambit


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_tables_survive_gambit(seed: int, players: int) -> None:
    game = random_table(seed, players)
    theirs = to_gambit(game)
    assert not theirs.is_tree
    again = from_gambit(theirs)
    assert isinstance(again, NormalFormGame)
    assert np.array_equal(again.payoffs, game.payoffs)
    assert (again.players, again.strategies) == (game.players, game.strategies)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_trees_survive_gambit(seed: int, players: int) -> None:
    game = random_game(seed, players=players, depth=4, zero_sum=False)
    theirs = to_gambit(game)
    assert theirs.is_tree and theirs.is_perfect_recall
    again = from_gambit(theirs)
    assert isinstance(again, ExtensiveGame)
    assert again.infoset_names == game.infoset_names
    assert np.array_equal(again.payoffs, game.payoffs)


def test_gambit_finds_the_value_of_kuhn_poker() -> None:
    game = from_openspiel("kuhn_poker")
    theirs = to_gambit(game)
    profile = gambit.nash.lp_solve(theirs, rational=True, use_strategic=False).equilibria[0]
    player = next(iter(theirs.players))
    assert float(profile.payoff(player)) == pytest.approx(-1 / 18, abs=1e-12)
    assert sequence_form_lp(game).value == pytest.approx(-1 / 18, abs=1e-12)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_gambit_agrees_on_values_of_random_games(seed: int) -> None:
    game = random_game(seed, depth=4)
    theirs = to_gambit(game)
    # Gambit 16.7's sequence form gets seed 1 wrong (0; its strategic form and ours say −2), so its strategic form.
    profile = gambit.nash.lp_solve(theirs, rational=False, use_strategic=True).equilibria[0]
    player = next(iter(theirs.players))
    assert sequence_form_lp(game).value == pytest.approx(float(profile.payoff(player)), abs=1e-7)


@pytest.mark.parametrize("convert", [to_openspiel, to_gambit])
def test_vector_games_must_be_scalarised(convert) -> None:
    for game in (NormalFormGame(np.zeros((2, 2, 2, 2))), random_game(0, objectives=2)):
        with pytest.raises(ValueError, match="scalarise"):
            convert(game)


def test_importing_games_loads_neither() -> None:
    code = "import sys, games.interop; print([m for m in ('pyspiel', 'pygambit', 'torch') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
