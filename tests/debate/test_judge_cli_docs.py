"""docs/judges.md: its commands and programs run, in their order, and end as it says."""

import builtins
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from debate.cli import main
from judges.labels.ledger import Ledger

PAGE = Path(__file__).parents[2] / "docs" / "judges.md"
BLOCK = re.compile(r"^```(\w+)( \w+)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEBATE_HOME", str(tmp_path / "home"))
    answers = iter(["a", "B", "skip", "nonsense", "b", "quit"])
    monkeypatch.setattr(builtins, "input", lambda question="": next(answers))
    shown = {}
    for kind, needs, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "python":
            subprocess.run([sys.executable, "-c", text], check=True)
        if kind != "sh" or needs not in ("", " terminal"):
            continue
        for line in text.splitlines():
            command, _, note = line.partition("  # exit code ")
            program, *arguments = shlex.split(command)
            assert program == "debate"
            code = main(arguments)
            printed = capsys.readouterr()
            assert code == int(note or 0), f"{line}\n{printed.out}\n{printed.err}"
            shown[command] = printed.out + printed.err
    blessed = next(text for key, text in shown.items() if "simulated:0.95 --labels" in key)
    assert "BLESSED" in blessed and "SIMULATED panel" in blessed
    assert "agreement 95.0%, beside 60.0% of the best constant judge" in blessed
    assert "REFUSED" in next(text for key, text in shown.items() if "simulated:0.7" in key)
    assert not Path("weak.json").exists()
    assert "length_bias" in Path("longer.md").read_text(encoding="utf-8")
    audits = [text for key, text in shown.items() if key.startswith("debate audit")]
    assert "STANDS" in audits[0]
    assert "REVOKED" in audits[1] and "agreement with experts fell under 0.75" in audits[1]
    assert "it was revoked" in audits[2]
    with Ledger("ada.sqlite", read_only=True) as ledger:
        mine = ledger.labels()
    assert [label.value is None for label in mine] == [False, False, True, False]
    assert {(label.expert, label.cost) for label in mine} == {("ada", 20.0)}


@pytest.mark.skipif(not os.environ.get("DEBATE_DATA"), reason="needs DEBATE_DATA, the folder of public data sets")
def test_what_the_page_says_of_llmbar(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEBATE_HOME", str(tmp_path / "home"))
    page = PAGE.read_text(encoding="utf-8")
    ((command, _),) = [(text, kind) for kind, needs, text in BLOCK.findall(page) if needs == " data"]
    assert main(shlex.split(command)[1:]) == 0
    said = capsys.readouterr().out
    assert "419 items, 100.0% judged. Agreement 0.270, beside 0.508 of the best constant judge" in said
    for row in ("| instructions | 417 | 172 |", "| forged_quotes | 417 | 153 |", "| thought_process | 417 | 5 |"):
        assert row in said
    assert "| length_bias | fail | 0.729 |" in said
    assert "| .729 |" in page and "172 / 0 / 153 / 0 of 417" in page


def test_every_command_of_the_page_is_a_command():
    text = PAGE.read_text(encoding="utf-8")
    used = {line.split()[1] for line in text.splitlines() if line.startswith("debate ")}
    assert used == {"label", "gauge", "attack", "audit"}
