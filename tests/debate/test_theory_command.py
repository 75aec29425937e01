"""`debate theory`: numbers on the terminal, files in a folder."""

from __future__ import annotations

import json

import pytest

from debate.cli import main
from debate.theory.show import GAMES


@pytest.mark.parametrize("name", GAMES)
def test_every_game_prints_and_writes(name, tmp_path, capsys):
    assert main(["theory", name, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    if "figure:" in printed:
        assert (tmp_path / f"{name}.svg").stat().st_size > 5000 and (tmp_path / f"{name}.png").exists()
    else:
        assert name in ("parity", "talk")


def test_evidence_says_the_published_numbers(capsys):
    main(["theory", "evidence"])
    assert "2  0.8414   0.6980  0.5006       0.1952" in capsys.readouterr().out


def test_an_unknown_game_is_the_user_s_mistake(capsys):
    assert main(["theory", "party"]) == 2
    assert 'did you mean "parity"?' in capsys.readouterr().err
