"""A match on a real terminal: shown as it is played, with people in seats and on the bench; Ctrl-C, bad input, EOF."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from debate.live import Screen
from debate.play import set_up
from debate.play_one import play_one
from debate.protocol.kernel import Move, State, step, to_move
from debate.protocol.load import load_protocol
from debate.questions import Question

ROOT = Path(__file__).parents[2]


def on_a_terminal(arguments, script=(), seconds=90):
    """Runs the command in a pseudo-terminal, typing each answer at its prompt; (what was shown, exit code)."""
    pid, handle = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "COLUMNS": "100", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "debate", *arguments])
    out, mark, left = b"", 0, list(script)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([handle], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(handle, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        out += piece
        while left and left[0][0].encode() in out[mark:]:
            prompt, answer = left.pop(0)
            mark = out.index(prompt.encode(), mark) + len(prompt.encode())
            time.sleep(0.05)
            os.write(handle, answer)
    else:
        os.kill(pid, 9)
    os.close(handle)
    _, status = os.waitpid(pid, 0)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.decode(errors="replace")).replace("\r", "")
    assert not left, f"never asked for {left[0][0]!r}:\n{plain}"
    return plain, os.waitstatus_to_exitcode(status)


def test_a_spectator_sees_who_says_what_to_whom_and_the_verdict():
    shown, code = on_a_terminal(["play", "debate_sequential"])
    assert code == 0
    assert (
        shown.index("opening · at once") < shown.index("rebuttal") < shown.index("verdict   example: ok, 0.750 0.250")
    )
    assert "A  seen by B, the judge" in shown
    assert "quote 'surface to breathe air': found in the material" in shown


def test_a_person_in_a_seat_is_asked_again_after_bad_input():
    typed = [
        (" > ", b"x\n"),
        ("is not a number from 1 to ", b"99\n"),
        ("is not a number from 1 to ", b"1\n"),
        (" > ", b"2\n"),
    ]
    shown, code = on_a_terminal(["play", "evidence_debate", "--seat", "B=human", "--set", "k=2"], typed)
    assert code == 0
    assert "seat B    you" in shown
    assert "'x' is not a number" in shown and "'99' is not a number" in shown
    assert shown.count("You are debater B") == 1, "the opening is told once"
    assert "rewards   B:" in shown


@pytest.mark.parametrize(
    ("key", "code", "says"), [(b"\x03", 130, "a match on the terminal is not stored"), (b"\x04", 1, "the input ended")]
)
def test_ctrl_c_and_the_end_of_input_in_a_seat_and_on_the_bench(key, code, says):
    shown, found = on_a_terminal(["play", "evidence_debate", "--seat", "B=human"], [(" > ", key)])
    assert found == code
    assert says in shown and "Traceback" not in shown
    shown, found = on_a_terminal(["play", "debate_sequential", "--judge", "human"], [("skip): ", key)])
    assert found == code
    assert says in shown and "Traceback" not in shown


def test_a_person_judges():
    typed = [("skip): ", b"zzz\n"), ("skip): ", b"B 70%\n"), ("Why? ", b"the quote\n")]
    shown, code = on_a_terminal(["play", "debate_sequential", "--judge", "human"], typed)
    assert code == 0
    assert "Not readable: 'zzz'" in shown
    assert "verdict   human: ok, 0.300 0.700 — the quote" in shown
    assert shown.count("rebuttal") == 3, "what the judge has read in the case is not shown again"


# --- who sees what ---------------------------------------------------------------------------------------------------

SECRETS = """\
name: secrets
title: Secrets
roles:
  debater: {seats: [A, B], sees: [question, answer], answers: by_seat, prompt: "You are {seat}."}
schedule:
  - {roles: debater, phase: notes, visibility: private, instruction: "Note."}
  - {roles: debater, phase: speech, instruction: "Speak."}
  - {roles: A, phase: closing, instruction: "Close."}
decision: {by: judge}
rewards: {win: {rule: win}}
"""


def watch(tmp_path, people=(), judging=False):
    (tmp_path / "secrets.yaml").write_text(SECRETS)
    protocol = load_protocol(str(tmp_path / "secrets.yaml"))
    out = io.StringIO()
    screen = Screen(Console(file=out, width=100), protocol, people, judging)
    state = State(set_up(protocol, Question("q", "?", ("yes", "no"), 0), "m", {"A": 0, "B": 1}, 0))
    texts = []
    while state.current is not None:
        screen.show(state)
        texts.append(out.getvalue())
        state = step(state, {seat: Move(f"{seat} {state.current.phase} words") for seat in to_move(state)})
    screen.show(state, over=True)
    texts.append(out.getvalue())
    screen.reveal()
    return texts, out.getvalue()


def test_a_spectator_sees_everything_once_it_is_released(tmp_path):
    texts, whole = watch(tmp_path)
    assert texts[0] == ""
    assert "A notes words" in texts[1] and "private: seen by nobody else" in texts[1]
    assert "speech" not in texts[1] and "B speech words" in texts[2]
    assert "what you could not see" not in whole
    assert all(whole.count(f"{s} {p} words") == 1 for s in "AB" for p in ("notes", "speech"))


def test_a_person_in_a_seat_sees_no_secret_of_another_before_the_end(tmp_path):
    texts, whole = watch(tmp_path, people=("A",))
    assert "A notes words" in texts[1]
    assert all("B notes words" not in text for text in texts)
    before, after = whole.split("what you could not see")
    assert "B notes words" in after and "A notes words" not in after and "B speech words" in before


def test_a_person_who_judges_sees_what_the_case_holds(tmp_path):
    texts, whole = watch(tmp_path, judging=True)
    assert all("notes" not in text for text in texts)
    assert "A speech words" in texts[2]
    assert "A closing words" not in whole, "the case has shown it"
    assert "A notes words" in whole.split("what you could not see")[1]


def test_hostile_words_do_not_drive_the_terminal(tmp_path):
    out = io.StringIO()
    protocol = load_protocol("debate_sequential")
    screen = Screen(Console(file=out, width=100, force_terminal=False), protocol)
    screen.opening("\x1b[2J[bold]?[/bold]", ("a", "b\x07"), {"A": "[red]x"})
    text = out.getvalue()
    assert "\x1b" not in text and "\x07" not in text
    assert "[bold]?[/bold]" in text and "[red]x" in text


def test_without_a_terminal_the_match_is_printed_as_text_at_its_end():
    lines = list(play_one("evidence_debate", [], "", [], "", "", "", 0))
    assert lines[0].startswith("protocol") and lines[-1].startswith("rewards")


def test_a_person_drafts_picks_and_writes_again_what_is_said():
    lines = (b"one draft\n", b"too short\n", b"a better draft\n", b"another draft\n", b"fine\n", b"the same draft\n")
    typed = [*(("\n> ", line) for line in lines), ("1–2 > ", b"1\n")]
    settings = ["--set", "best_of=2", "--set", "refine=1", "--set", "rebuttals=0"]
    shown, code = on_a_terminal(["play", "debate_sequential", "--seat", "A=human", *settings], typed)
    assert code == 0
    assert "A (opening critique):\ntoo short" in shown
    assert shown.count("You are debater A") == 1, "the opening is told once, also to copies"
    assert "\n  1. a better draft\n  2. the same draft\n" in shown
    said = shown.index("opening · at once\nA  seen by B, the judge\n  a better draft")
    assert said < shown.index("what you could not see") < shown.index("B  on the way to a speech")
