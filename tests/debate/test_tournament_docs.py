"""The commands of the page on tournaments, in its order, each working on what the ones before left."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from debate.cli import main

ROOT = Path(__file__).parents[2]


def test_the_pages_commands_run_in_order(tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    shutil.copy(ROOT / "runs" / "evidence_tournament.yaml", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "tournaments.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", page, re.S | re.M) for line in block.splitlines()]
    ran = set()
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "debate", line
        if "human" in line:
            continue  # tests/debate/test_live_play.py
        assert main(words[1:]) == 0, line
        ran.add(words[1])
    assert ran == {"tournament", "judge", "export", "import", "play"}
    assert "greedy" not in capsys.readouterr().err
