"""CFR and its variants: printed traces, agreement with OpenSpiel, convergence on random games, many scalarisations at
once.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import best_response, cfr, from_openspiel, nash_conv, sequence_form_lp
from games.extensive.random_game import random_game
from games.extensive.tree import ExtensiveGame

pyspiel = pytest.importorskip("pyspiel")


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("kuhn_poker", "cfr", {1: 0.916667, 10: 0.137398, 100: 0.0164520, 1000: 0.00187523}),
        ("kuhn_poker", "cfr+", {1: 0.916667, 10: 0.0653742, 100: 0.00238881, 1000: 1.747e-4}),
        ("leduc_poker", "cfr", {1: 4.74722, 10: 1.77716, 100: 0.191433}),
        ("leduc_poker", "cfr+", {1: 4.74722, 10: 1.22088, 100: 0.0268320}),
    ],
)
def test_trace_of_openspiels_solvers(name: str, variant: str, expected: dict[int, float]) -> None:
    """Alternating updates; the numbers are those of OpenSpiel's C++ solvers, to the digits printed."""
    result = cfr(from_openspiel(name), variant, iterations=max(expected), trace=expected)
    for iteration, value in expected.items():
        assert result.trace[iteration] == pytest.approx(value, rel=3e-4 if value == 1.747e-4 else 4e-6)


@pytest.mark.slow
def test_long_leduc_trace_stays_within_ten_per_cent() -> None:
    """Beyond 1,000 iterations rounding decides between near-equal regrets, so only the order of magnitude is fixed."""
    game = pyspiel.load_game("leduc_poker")
    solver = pyspiel.CFRSolver(game)
    for _ in range(1000):
        solver.evaluate_and_update_policy()
    theirs = pyspiel.nash_conv(game, solver.average_policy())
    ours = cfr(from_openspiel("leduc_poker"), iterations=1000).nash_conv
    assert ours == pytest.approx(theirs, rel=0.1)


@pytest.mark.parametrize(("variant", "solver"), [("cfr", "CFRSolver"), ("cfr+", "CFRPlusSolver")])
@pytest.mark.parametrize("name", ["kuhn_poker(players=3)", "liars_dice(numdice=1,dice_sides=3)", "tiny_hanabi"])
def test_average_policy_equals_openspiels(name: str, variant: str, solver: str) -> None:
    game = from_openspiel(name)
    peer = getattr(pyspiel, solver)(pyspiel.load_game(name))
    for _ in range(20):
        peer.evaluate_and_update_policy()
    theirs = peer.average_policy()
    table = {info: [p for _, p in theirs.get_state_policy(info)] for info in game.infoset_names}
    assert cfr(game, variant, 20).policy == pytest.approx(game.policy(table), abs=1e-9)


def test_dcfr_equals_openspiels() -> None:
    from open_spiel.python.algorithms import discounted_cfr, exploitability

    spiel = pyspiel.load_game("kuhn_poker")
    peer = discounted_cfr.DCFRSolver(spiel)
    for _ in range(30):
        peer.evaluate_and_update_policy()
    expected = exploitability.nash_conv(spiel, peer.average_policy())
    assert cfr(from_openspiel("kuhn_poker"), "dcfr", 30).nash_conv == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("variant", ["cfr+", "dcfr", "pcfr+"])
def test_variants_reach_the_value_of_kuhn_poker(variant: str) -> None:
    game = from_openspiel("kuhn_poker")
    result = cfr(game, variant, 2000)
    assert result.nash_conv < 2e-4
    assert game.expected_payoffs(result.policy)[0, 0] == pytest.approx(-1 / 18, abs=1e-4)


def test_result_reports_its_own_nash_conv() -> None:
    game = from_openspiel("leduc_poker")
    result = cfr(game, "pcfr+", 30, trace=[10, 30])
    assert result.nash_conv == result.trace[30] == pytest.approx(nash_conv(game, result.policy), abs=1e-12)
    assert sorted(result.trace) == [10, 30]
    assert (result.variant, result.iterations) == ("pcfr+", 30)
    assert result.trace[10] == pytest.approx(nash_conv(game, cfr(game, "pcfr+", 10).policy), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), variant=st.sampled_from(["cfr+", "dcfr", "pcfr+"]))
def test_random_zero_sum_games_reach_the_lp_value(seed: int, variant: str) -> None:
    game = random_game(seed, depth=5)
    result = cfr(game, variant, 500)
    value = sequence_form_lp(game).value
    assert result.nash_conv < 0.02
    assert game.expected_payoffs(result.policy)[0, 0] == pytest.approx(value, abs=result.nash_conv + 1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_regret_of_cfr_falls_for_any_number_of_players(seed: int, players: int) -> None:
    """The result is a policy of the game whatever the number of players, and its NashConv is the sum of real gains."""
    game = random_game(seed, players=players, depth=4, zero_sum=False)
    result = cfr(game, "cfr", 50)
    gains = sum(
        best_response(game, result.policy, i).value - game.expected_payoffs(result.policy)[i, 0] for i in range(players)
    )
    assert result.nash_conv == pytest.approx(gains, abs=1e-9)
    if players == 1:
        assert cfr(game, "cfr+", 300).nash_conv < 0.02


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    players=st.integers(2, 3),
    shared=st.booleans(),
    variant=st.sampled_from(["cfr", "cfr+", "dcfr", "pcfr+"]),
)
def test_scalarisations_side_by_side_equal_one_by_one(seed: int, players: int, shared: bool, variant: str) -> None:
    game = random_game(seed, players=players, objectives=3, depth=4, zero_sum=False)
    weights = np.random.default_rng(seed).dirichlet(np.ones(3), size=(4,) if shared else (4, players))
    together = cfr(game, variant, 20, trace=[5], weights=weights)
    assert together.policy.shape == (4, game.num_sequences)
    for m in range(4):
        alone = cfr(game.scalarise(weights[m]), variant, 20, trace=[5])
        assert together.policy[m] == pytest.approx(alone.policy, abs=1e-6)
        assert np.asarray(together.trace[5])[m] == pytest.approx(alone.trace[5], abs=1e-6)
        assert np.asarray(together.nash_conv)[m] == pytest.approx(alone.nash_conv, abs=1e-6)


def test_a_player_without_moves() -> None:
    class Guess:
        def __init__(self, depth: int = 0, side: int = 0) -> None:
            self.depth, self.side = depth, side

        def player(self) -> int | None:
            return 1 if self.depth == 0 else -2

        def actions(self) -> list[str]:
            return ["a", "b"]

        def information_state(self) -> str:
            return "choose"

        def child(self, action: int) -> Guess:
            return Guess(1, action)

        def returns(self) -> list[float]:
            return [-float(self.side), float(self.side)]

    game = ExtensiveGame.from_state(Guess(), 2)  # type: ignore[arg-type]
    assert cfr(game, "cfr+", 50).nash_conv < 0.05
    assert sequence_form_lp(game).value == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "mccfr"}, "cfr"),
        ({"iterations": 0}, "iterations"),
        ({"iterations": 5, "trace": [6]}, "trace"),
        ({"iterations": 5, "trace": [0]}, "trace"),
        ({"weights": [1.0]}, "weights"),
        ({"weights": [[float("nan")]]}, "finite"),
        ({"weights": [[1.0, 2.0]]}, "weights"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cfr(from_openspiel("kuhn_poker"), **options)


def test_vector_games_need_weights() -> None:
    with pytest.raises(ValueError, match="scalarise"):
        cfr(random_game(0, objectives=2))


@pytest.mark.slow
def test_liars_dice_counts_and_first_iterations() -> None:
    game = from_openspiel("liars_dice")
    assert (game.num_nodes, game.num_information_sets) == (294883, 24576)
    peer = pyspiel.CFRSolver(pyspiel.load_game("liars_dice"))
    for _ in range(3):
        peer.evaluate_and_update_policy()
    theirs = peer.average_policy()
    table = {info: [p for _, p in theirs.get_state_policy(info)] for info in game.infoset_names}
    assert cfr(game, "cfr", 3).policy == pytest.approx(game.policy(table), abs=1e-9)
