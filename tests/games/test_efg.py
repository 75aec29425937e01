"""Gambit `.efg` files: the format, refusals, and round trips through Gambit and OpenSpiel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import nash_conv, read_efg, sequence_form_lp, write_efg
from games.extensive.random_game import random_game
from games.extensive.tree import ExtensiveGame
from games.files.efg import efg_text

# Myerson's card game (Gambit's introductory example): red or black card, raise or fold, meet or pass.
POKER = """EFG 2 R "A simple poker game" { "Fred" "Alice" }
"One card, \\"raise\\" or fold."

c "ROOT" 1 "(0,1)" { "RED" 1/2 "BLACK" .5 } 0
p "" 1 1 "red" { "RAISE" "FOLD" } 0
p "" 2 1 "after a raise" { "MEET" "PASS" } 0
t "" 1 "Win Big" { 2, -2 }
t "" 2 "Win" { 1 -1 }
t "" 2
p "" 1 2 "black" { "RAISE" "FOLD" } 0
p "" 2 1 0
t "" 3 "Lose Big" { -2, 2 }
t "" 2 "Win"
t "" 4 "Lose" { -1, 1 }
"""


def check_same(a: ExtensiveGame, b: ExtensiveGame) -> None:
    assert (a.players, a.infoset_names, a.action_names) == (b.players, b.infoset_names, b.action_names)
    for name in ("parent", "player", "infoset", "action", "payoffs", "terminal_sequences", "offsets"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.probability == pytest.approx(b.probability, abs=1e-15)
    assert dict(a.chance_labels) == dict(b.chance_labels)


def test_myersons_card_game() -> None:
    game = read_efg(POKER)
    assert game.players == ("Fred", "Alice")
    assert game.infoset_names == ("red", "black", "after a raise")
    assert game.num_nodes == 11 and len(game.terminals) == 6
    solution = sequence_form_lp(game)
    assert solution.value == pytest.approx(1 / 3)  # Myerson 1991, section 4.1: raise with black 1/3, meet 2/3
    table = game.policy_table(solution.policy)
    assert table["black"]["RAISE"] == pytest.approx(1 / 3)
    assert table["after a raise"]["MEET"] == pytest.approx(2 / 3)


def test_payoffs_at_inner_nodes_are_added() -> None:
    text = """EFG 2 R "" { "A" "B" }
    p "" 1 1 "s" { "l" "r" } 1 "entry fee" { -1 0 }
    t "" 2 "" { 5, 5 }
    p "" 2 1 "t" { "x" } 3 "bonus" { 0 1/2 }
    t "" 0
    """
    game = read_efg(text)
    assert game.payoffs[:, :, 0].tolist() == [[4.0, 5.0], [-1.0, 0.5]]


def test_names_are_made_distinct() -> None:
    text = """EFG 2 R "" { "A" }
    p "" 1 7 "same" { "l" "l" } 0
    p "" 1 9 "same" { "x" } 0
    t "" 1 "" { 1 }
    p "" 1 4 { "x" } 0
    t "" 1
    """
    game = read_efg(text)
    assert len(set(game.infoset_names)) == 3 and "4" in game.infoset_names
    assert len(set(game.action_names[0])) == 2


def test_file_round_trip(tmp_path: Path) -> None:
    game = read_efg(POKER)
    write_efg(game, tmp_path / "g.efg", title='with "quotes"')
    check_same(read_efg(tmp_path / "g.efg"), game)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), players=st.integers(1, 3))
def test_text_round_trip(seed: int, players: int) -> None:
    game = random_game(seed, players=players, depth=4, zero_sum=False)
    check_same(read_efg(efg_text(game)), game)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_gambit_reads_the_same_game(seed: int) -> None:
    gambit = pytest.importorskip("pygambit")
    game = random_game(seed, depth=4, zero_sum=False)
    theirs = gambit.read_efg(io.BytesIO(efg_text(game).encode()))
    uniform = theirs.mixed_behavior_profile()
    ours = game.expected_payoffs(game.uniform_policy())[:, 0]
    assert [float(uniform.payoff(player)) for player in theirs.players] == pytest.approx(ours, abs=1e-12)
    check_same(read_efg(theirs.to_efg()), game)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_openspiel_reads_the_same_game(seed: int) -> None:
    pyspiel = pytest.importorskip("pyspiel")
    from open_spiel.python import policy
    from open_spiel.python.algorithms import exploitability

    game = random_game(seed, depth=4)
    theirs = pyspiel.load_efg_game(efg_text(game))
    expected = exploitability.nash_conv(theirs, policy.UniformRandomPolicy(theirs))
    assert nash_conv(game, game.uniform_policy()) == pytest.approx(expected, abs=1e-9)


def test_names_are_brought_to_what_gambit_and_openspiel_read() -> None:
    gambit, pyspiel = pytest.importorskip("pygambit"), pytest.importorskip("pyspiel")
    text = """EFG 2 R "" { "A" "B" }
    c "" 1 "" { "première" 1/2 "zweite  Möglichkeit" 1/2 } 0
    p "" 1 1 "say \\"hi\\" {now},
    on two lines" { "l \\"q\\"" "→" "←" } 0
    t "" 1 "" { 1 -1 }
    t "" 2 "" { 2 -2 }
    t "" 3 "" { 3 -3 }
    t "" 4 "" { 4 -4 }
    """
    game = read_efg(text)
    assert game.infoset_names[0].startswith('say "hi" {now},\n')
    again = read_efg(gambit.read_efg(io.BytesIO(efg_text(game).encode())).to_efg())
    assert again.infoset_names == ("say 'hi' {now}, on two lines",)
    assert again.action_names == (("l 'q'", "? (2)", "? (3)"),)
    assert again.chance_labels[0] == ("premiere", "zweite Moglichkeit")
    assert pyspiel.load_efg_game(efg_text(game)).num_players() == 2


HEAD = 'EFG 2 R "" { "A" "B" }\n'


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ('x "" 1', 2, "a node: c (chance), p (player) or t (terminal), got 'x'"),
        ("", 2, "a node"),
        ('p "" 3 1 "s" { "l" } 0\nt "" 0', 2, "player number in 1 … 2, got '3'"),
        ('p "" 1 1 0\nt "" 0', 2, "actions of information set 1"),
        ('p "" 1 1 "s" { } 0', 2, "at least one action"),
        ('p "" 1 1 "s" { "l" "r" } 0\nt "" 0\n', 4, "a node"),
        ('p "" 1 1 "s" { "l" } 0\nt "" 0\nt "" 0', 4, "nothing after the last node"),
        ('t "" 1', 2, "payoffs of outcome 1"),
        ('t "" 1 "" { 1 }', 2, "2 payoffs, got 1"),
        ('t "" 1 "" { 1, 2, 3 }', 2, "2 payoffs, got 3"),
        ('t "" 1 "" { 1, b }', 2, "got 'b'"),
        ('t "" -1', 2, "number of an outcome"),
        ("t 0", 2, "quoted name of the node"),
        ('c "" 1 "" { "h" 1/2 "t" 1/3 } 0\nt "" 0\nt "" 0', 2, "sum to 1, got 1/2, 1/3"),
        ('c "" 1 "" { "h" 3/2 "t" -1/2 } 0\nt "" 0\nt "" 0', 2, "sum to 1"),
        ('c "" 1 "" { "h" "t" } 0', 2, "a probability"),
        ('p "" 1 1 "s" { "l" "r" } 0\nt "" 1 "" { 1 1 }\nt "" 1 "" { 1 2 }', 4, "appeared first"),
        ('c "" 1 "" { "h" .5 "t" .5 } 0\np "" 1 1 "s" { "l" } 0\nt "" 0\np "" 1 1 "s" { "l" "r" } 0', 5, "['l']"),
        ('t "unfinished', 2, 'closing "'),
    ],
)
def test_malformed_files_name_the_line(body: str, line: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"line {line}: ") as caught:
        read_efg(HEAD + body)
    assert message in str(caught.value)


def test_imperfect_recall_is_refused() -> None:
    text = HEAD + 'p "" 1 1 "s" { "on" "off" } 0\np "" 1 1 0\nt "" 0\nt "" 0\nt "" 0\n'
    with pytest.raises(ValueError, match=r"imperfect recall.*'s'"):
        read_efg(text)


def test_deep_files_need_no_recursion() -> None:
    nodes = [f'p "" {1 + k % 2} {k} "{k}" {{ "on" }} 0' for k in range(1, 3001)]
    game = read_efg(HEAD + "\n".join(nodes) + '\nt "" 1 "" { 1 2 }')
    assert game.num_nodes == 3001
    check_same(read_efg(efg_text(game)), game)


def test_vector_games_must_be_scalarised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scalarise"):
        write_efg(random_game(0, objectives=2), tmp_path / "g.efg")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_give_a_game_or_a_value_error(data: st.DataObject) -> None:
    tokens = POKER.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(tokens) - 1))
        junk = st.sampled_from(["", "{", "}", '"', "0", "-1", "99", "1/0", "1e400", "c", "p", "t", '"x"', ",", "½"])
        tokens[place : place + data.draw(st.integers(0, 2))] = [data.draw(junk)]
    try:
        game = read_efg("EFG " + " ".join(tokens) if tokens[0] != "EFG" else " ".join(tokens))
    except ValueError as error:
        assert str(error)
    else:
        assert np.isfinite(game.payoffs).all()
