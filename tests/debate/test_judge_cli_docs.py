"""docs/judges.md: its commands and programs run, in their order, and end as it says."""

import builtins
import re
import shlex
import subprocess
import sys
from pathlib import Path

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
    for kind, _, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "python":
            subprocess.run([sys.executable, "-c", text], check=True)
        if kind != "sh":
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


def test_every_command_of_the_page_is_a_command():
    text = PAGE.read_text(encoding="utf-8")
    used = {line.split()[1] for line in text.splitlines() if line.startswith("debate ")}
    assert used == {"label", "gauge", "attack", "audit"}
