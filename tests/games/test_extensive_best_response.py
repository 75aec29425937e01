"""Best responses and NashConv against theory and against OpenSpiel."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import best_response, from_openspiel, nash_conv
from games.extensive.best_response import regrets_tabular
from games.extensive.random_game import random_game
from games.normal_form import regrets

pyspiel = pytest.importorskip("pyspiel")

GAMES = [
    "kuhn_poker",
    "kuhn_poker(players=3)",
    "leduc_poker",
    "tiny_hanabi",
    "liars_dice(numdice=1,dice_sides=3)",
    "goofspiel(num_cards=3,imp_info=true,points_order=descending)",
    "first_sealed_auction(max_value=4)",
    "oshi_zumo(coins=3,size=1,min_bid=1)",
]


def sequential(name: str):
    game = pyspiel.load_game(name)
    simultaneous = game.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS
    return pyspiel.convert_to_turn_based(game) if simultaneous else game


def random_policies(name: str, seed: int):
    """The same random policy for OpenSpiel and for us."""
    from open_spiel.python import policy

    theirs = policy.TabularPolicy(sequential(name))
    theirs.action_probability_array = np.random.default_rng(seed).random(theirs.action_probability_array.shape)
    theirs.action_probability_array *= theirs.legal_actions_mask
    theirs.action_probability_array /= theirs.action_probability_array.sum(axis=1, keepdims=True)
    rows: dict[tuple[int, str], list[float]] = {}
    for player, keys in enumerate(theirs.states_per_player):
        for key in keys:
            row = theirs.action_probability_array[theirs.state_lookup[key]]
            rows[player, key] = row[theirs.legal_actions_mask[theirs.state_lookup[key]] > 0].tolist()
    return theirs, rows


def test_kuhn_theory() -> None:
    game = from_openspiel("kuhn_poker")
    assert nash_conv(game, game.uniform_policy()) == pytest.approx(11 / 12, abs=1e-12)
    assert nash_conv(game, lambda name, actions: {"Pass": 1.0}) == pytest.approx(2.0, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 1 / 3])
def test_kuhn_equilibria(alpha: float) -> None:
    """Kuhn 1950: player 0 bluffs with α, value −1/18."""
    game = from_openspiel("kuhn_poker")
    bet = {"0": alpha, "1": 0.0, "2": 3 * alpha, "0pb": 0.0, "1pb": alpha + 1 / 3, "2pb": 1.0}
    bet |= {"0p": 1 / 3, "0b": 0.0, "1p": 0.0, "1b": 1 / 3, "2p": 1.0, "2b": 1.0}
    policy = {name: {"Bet": p, "Pass": 1 - p} for name, p in bet.items()}
    assert nash_conv(game, policy) == pytest.approx(0.0, abs=1e-12)
    assert game.expected_payoffs(policy)[0, 0] == pytest.approx(-1 / 18, abs=1e-12)


def test_leduc_uniform() -> None:
    game = from_openspiel("leduc_poker")
    assert nash_conv(game, game.uniform_policy()) == pytest.approx(4.7472222222, abs=1e-10)


@pytest.mark.parametrize("name", GAMES)
def test_nash_conv_agrees_with_openspiel(name: str) -> None:
    from open_spiel.python.algorithms import exploitability

    theirs, ours = random_policies(name, seed=5)
    expected = exploitability.nash_conv(theirs.game, theirs)
    assert nash_conv(from_openspiel(name), ours) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["kuhn_poker(players=3)", "leduc_poker", "liars_dice(numdice=1,dice_sides=3)"])
def test_best_response_agrees_with_openspiel(name: str) -> None:
    from open_spiel.python.algorithms import best_response as peer

    theirs, ours = random_policies(name, seed=6)
    game = from_openspiel(name)
    for player in range(game.num_players):
        expected = peer.BestResponsePolicy(theirs.game, player, theirs).value(theirs.game.new_initial_state())
        answer = best_response(game, ours, player)
        assert answer.value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_the_best_response_earns_its_value(seed: int, players: int) -> None:
    game = random_game(seed, players=players, zero_sum=False)
    draw = np.random.default_rng(seed)
    flat = game.policy(lambda name, actions: draw.dirichlet(np.ones(len(actions))))
    gains = regrets_tabular(game, flat)
    for player in range(players):
        value, response = best_response(game, flat, player)
        assert game.expected_payoffs(response)[player, 0] == pytest.approx(value, abs=1e-12)
        mine = game.sequences[player]
        part = response[mine.start : mine.stop]
        assert set(part.tolist()) <= {0.0, 1.0}
        others = np.ones(game.num_sequences, dtype=bool)
        others[mine.start : mine.stop] = False
        assert response[others] == pytest.approx(flat[others], abs=1e-14)
        assert gains[player] == pytest.approx(value - game.expected_payoffs(flat)[player, 0], abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_regrets_equal_those_of_the_normal_form(seed: int) -> None:
    game = random_game(seed, depth=3, zero_sum=False)
    normal = game.to_normal_form()
    draw = np.random.default_rng(seed)
    flat = game.policy(lambda name, actions: draw.dirichlet(np.ones(len(actions))))
    rows = {(name, action): p for name, row in game.policy_table(flat).items() for action, p in row.items()}
    mixed = []
    for (
        names
    ) in normal.strategies:  # Kuhn's theorem: the mixed strategy that a behavioural one induces, on reduced plans
        weights = []
        for name in names:
            pairs = [tuple(pair.split(": ")) for pair in name.split(", ") if ": " in pair]
            weights.append(np.prod([rows[pair] for pair in pairs]))
        mixed.append(np.array(weights))
    assert [m.sum() for m in mixed] == pytest.approx([1.0, 1.0])
    assert regrets(normal, mixed) == pytest.approx(regrets_tabular(game, flat), abs=1e-9)


def test_regret_against_oneself_only() -> None:
    """A one-player game is a decision problem: its regret is what the best plan earns more."""
    game = random_game(11, players=1, zero_sum=False)
    value, response = best_response(game, game.uniform_policy(), 0)
    best = max(game.to_normal_form().payoffs[0, 0])
    assert value == pytest.approx(best)
    assert nash_conv(game, response) == pytest.approx(0.0, abs=1e-12)


def test_bad_arguments() -> None:
    game = random_game(0)
    for player in (-1, 2):
        with pytest.raises(ValueError, match="player"):
            best_response(game, game.uniform_policy(), player)
    vector = random_game(0, objectives=2)
    with pytest.raises(ValueError, match="scalarise"):
        nash_conv(vector, vector.uniform_policy())


def test_levels_cover_every_sequence_once() -> None:
    game = from_openspiel("leduc_poker")
    for sequences in game.sequences:
        assert sequences.levels[0].low == 0 and sequences.levels[-1].high == sequences.stop - sequences.start
        assert all(a.high == b.low for a, b in pairwise(sequences.levels))
