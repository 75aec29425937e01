"""Gambit `.nfg` files: both forms, numbers, names, refusals, and round trips through Gambit."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games import NormalFormGame, read_nfg, write_nfg
from games.files.gambit_text import chances, distinct, number
from games.files.nfg import nfg_text

PAYOFF_FORM = """NFG 1 R "Two by three" { "Row" "Column" } { 2 3 }
"a comment with \\"quotes\\" and
a second line"

1 2  3 4
1/3 -.5 2.5e1 0  7 8
9 10
"""

OUTCOME_FORM = """NFG 1 D "" { "Row" "Column" }
{ { "top" "bottom" } { "left" "right" } }
{
{ "win" 1, -1 }
{ "lose" -2.5 5/2 }
}
1 2
0 1
"""


def test_payoff_form() -> None:
    game = read_nfg(PAYOFF_FORM)
    assert game.players == ("Row", "Column")
    assert game.strategies == (("1", "2"), ("1", "2", "3"))
    assert game.payoffs[0, 0].tolist() == [
        [1.0, 1 / 3, 7.0],
        [3.0, 25.0, 9.0],
    ]  # the row player's strategy changes fastest
    assert game.payoffs[1, 0].tolist() == [[2.0, -0.5, 8.0], [4.0, 0.0, 10.0]]


def test_outcome_form_with_the_null_outcome() -> None:
    game = read_nfg(OUTCOME_FORM)
    assert game.strategies == (("top", "bottom"), ("left", "right"))
    assert game.payoffs[0, 0].tolist() == [[1.0, 0.0], [-2.5, 1.0]]
    assert game.payoffs[1, 0].tolist() == [[-1.0, 0.0], [2.5, -1.0]]


@pytest.mark.parametrize("text", [PAYOFF_FORM, OUTCOME_FORM.replace("0 1", "2 1")])
def test_gambit_reads_the_same(text: str) -> None:
    gambit = pytest.importorskip("pygambit")
    theirs = gambit.read_nfg(io.BytesIO(text.replace("2.5e1", "25").encode()))
    tables = [np.array(table, dtype=float) for table in theirs.to_arrays(dtype=float)]
    assert np.array_equal(read_nfg(text).payoffs[:, 0], np.array(tables))


def test_files_and_text_are_the_same(tmp_path: Path) -> None:
    game = read_nfg(OUTCOME_FORM)
    write_nfg(game, tmp_path / "g.nfg", title='a "title"')
    for source in (tmp_path / "g.nfg", str(tmp_path / "g.nfg")):
        again = read_nfg(source)
        assert np.array_equal(again.payoffs, game.payoffs)
        assert (again.players, again.strategies) == (game.players, game.strategies)
    (tmp_path / "latin.nfg").write_bytes(b'NFG 1 R "caf\xe9"')
    with pytest.raises(ValueError, match=r"latin\.nfg: expected UTF-8"):
        read_nfg(tmp_path / "latin.nfg")
    with pytest.raises(ValueError, match="text, line 1: expected NFG at the start"):
        read_nfg("several lines\nof something else")
    with pytest.raises(FileNotFoundError):
        read_nfg(tmp_path / "missing.nfg")


names = st.from_regex(r"[!#-\[\]-~]{1,5}( [!#-\[\]-~]{1,5})?", fullmatch=True)  # what Gambit can hold


@st.composite
def normal_form_games(draw: st.DrawFn) -> NormalFormGame:
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    cells = int(np.prod(sizes)) * len(sizes)
    values = draw(st.lists(st.floats(-1e12, 1e12), min_size=cells, max_size=cells))
    labels = [draw(st.lists(names, min_size=k, max_size=k, unique=True)) for k in sizes]
    players = draw(st.lists(names, min_size=len(sizes), max_size=len(sizes), unique=True))
    return NormalFormGame(np.reshape(values, (len(sizes), 1, *sizes)), players, None, labels)


@settings(max_examples=60, deadline=None)
@given(game=normal_form_games())
def test_round_trip_is_exact(game: NormalFormGame) -> None:
    again = read_nfg(nfg_text(game))
    assert np.array_equal(again.payoffs, game.payoffs)
    assert (again.players, again.strategies) == (game.players, game.strategies)


def test_names_are_brought_to_what_gambit_reads() -> None:
    rows = [[' the "row"\nplayer ', "Zoë", "道", "木", "C:\\path\\", ""]]
    game = NormalFormGame(np.arange(6.0)[None, None], ["é {1}, 2"], None, rows)
    wanted = (("the 'row' player", "Zoe", "? (3)", "? (4)", "C:/path/", "6"),)
    again = read_nfg(nfg_text(game))
    assert (again.players, again.strategies) == (("e {1}, 2",), wanted)
    gambit = pytest.importorskip("pygambit")
    theirs = gambit.read_nfg(io.BytesIO(nfg_text(game, title="Zoë's").encode()))
    assert theirs.title == "Zoe's" and read_nfg(theirs.to_nfg()).strategies == wanted


def test_escaped_quotes_are_read() -> None:
    game = read_nfg('NFG 1 R "a \\"title\\"" { "the \\"row\\" player" } { { "l" "r" } } 1 2')
    assert game.players == ('the "row" player',)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('EFG 2 R "" { "A" } { 1 } 1', 1, "NFG"),
        ('NFG 2 R "" { "A" } { 1 } 1', 1, "version 1"),
        ('NFG 1 X "" { "A" } { 1 } 1', 1, "R or D"),
        ('NFG 1 R title { "A" } { 1 } 1', 1, "quoted title"),
        ('NFG 1 R "" { } { } ', 1, "at least one player"),
        ('NFG 1 R "" { "A" \n { 1 } 1', 2, "player names"),
        ('NFG 1 R "" { "A" "B" }\n{ 2 } 1 2', 2, "2 players, got 1"),
        ('NFG 1 R "" { "A" }\n{ 0 }', 2, "strategies"),
        ('NFG 1 R "" { "A" }\n{ { } }', 2, "at least one strategy"),
        ('NFG 1 R "" { "A" } { 2 }\n\n1', 3, "2 × 1 payoffs, got the end of the file"),
        ('NFG 1 R "" { "A" } { 2 }\n1 2\n3', 3, "nothing after 2 × 1 payoffs, got '3'"),
        ('NFG 1 R "" { "A" } { 2 }\n1\nx2', 3, "payoffs, got 'x2'"),
        ('NFG 1 R "" { "A" } { 2 }\n1\n1/0', 3, "got '1/0'"),
        ('NFG 1 R "" { "A" } { 2 }\n1\nnan', 3, "got 'nan'"),
        ('NFG 1 R "" { "A" } { 2 }\n1\n1e999', 3, "got '1e999'"),
        ('NFG 1 R "" { "A" } { 2 }\n1\n1e600', 3, "as large as a float can hold"),
        ('NFG 1 R "" { "A" } { 2 }\n1\n1e999999999', 3, "got '1e999999999'"),
        ('NFG 1 R "" { "A" }\n{ 999999999999 }\n1', 2, "strategies"),
        ('NFG 1 R "" { "A" } { 2 }\n{ { "o" 1 2 } }\n1 1', 2, "1 payoffs, got 2"),
        ('NFG 1 R "" { "A" } { 2 }\n{ { "o" 1 } }\n1 2', 3, "outcome numbers in 0 … 1, got '2'"),
        ('NFG 1 R "" { "A" } { 2 }\n{ { 1 } }\n1 1', 2, "quoted name of an outcome"),
        ('NFG 1 R "" { "A" } { 2 }\n"open', 2, 'closing "'),
    ],
)
def test_malformed_files_name_the_line(text: str, line: int, message: str) -> None:
    if not text.startswith("NFG"):
        text = "NFG" + text[3:] if message != "NFG" else "NFG1" + text[3:]
    with pytest.raises(ValueError, match=f"line {line}: ") as caught:
        read_nfg(text)
    assert message in str(caught.value)


def test_vector_games_must_be_scalarised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scalarise"):
        write_nfg(NormalFormGame(np.zeros((2, 2, 2, 2))), tmp_path / "g.nfg")


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(value: float) -> None:
    text = number(value)
    assert "e" not in text
    assert float(Fraction(text)) == value


@given(weights=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
def test_probabilities_add_up_to_exactly_one(weights: list[float]) -> None:
    odds = np.array(weights) / np.sum(weights)
    exact = [Fraction(text) for text in chances(odds)]
    assert sum(exact) == 1
    assert [float(p) for p in exact] == pytest.approx(odds, abs=1e-15)
    assert chances([1 / 3, 2 / 3]) == ["1/3", "2/3"]


@given(given_names=st.lists(st.sampled_from(["", "1", "2", "a", "a (2)", "a (3)"]), max_size=6))
def test_made_up_names_are_distinct(given_names: list[str]) -> None:
    made = distinct(given_names)
    assert len(set(made)) == len(given_names)
    if len(set(given_names)) == len(given_names) and "" not in given_names:
        assert list(made) == given_names


@settings(max_examples=150, deadline=None)
@given(data=st.data(), text=st.sampled_from([PAYOFF_FORM, OUTCOME_FORM]))
def test_damaged_files_give_a_game_or_a_value_error(data: st.DataObject, text: str) -> None:
    tokens = text.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(1, len(tokens) - 1))
        junk = st.sampled_from(["", "{", "}", '"', "0", "-1", "99", "1/0", "1e400", '"x"', ",", "½", "9" * 5000])
        tokens[place : place + data.draw(st.integers(0, 2))] = [data.draw(junk)]
    try:
        game = read_nfg(" ".join(tokens))
    except ValueError as error:
        assert str(error)
    else:
        assert np.isfinite(game.payoffs).all()
