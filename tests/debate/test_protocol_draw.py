"""Pictures of protocols: who moves, who reads, and that what is drawn is what the kernel does."""

from __future__ import annotations

import re

import pytest

from debate.cli import main
from debate.errors import UserError
from debate.protocol.draw import draw
from debate.protocol.draw_text import draw_text
from debate.protocol.kernel import released, view
from debate.protocol.lanes import JUDGE, columns, lanes, spans
from debate.protocol.leaks import QUESTION, play_marked
from debate.protocol.load import load_protocol, parse_protocol, shipped
from debate.reader import parse_yaml

NESTED = """\
name: nested
title: Everything at once
roles: {a: {count: 2, sees: [question], options: {x: Do x., y: Do y.}}, m: {}}
channels: {back: {readers: [m], writers: [m, a]}}
schedule:
  - {kind: chance, choices: [heads, tails], phase: coin, channel: back}
  - repeat: 3
    until: {phase: stop, is: halt}
    slots:
      - {roles: a, phase: proposal, words: 100, options: true}
      - repeat: 2
        slots: [{roles: a_1, phase: note, channel: back}, {roles: m, phase: scratch, visibility: ephemeral}]
      - {roles: m, kind: choice, choices: [go, halt], phase: stop}
  - {roles: a_2, phase: copy, recall: proposal, when: {played: note}}
decision: {by: judge}
rewards: {format: {}}
"""


def nested():
    return parse_protocol(parse_yaml(NESTED, "nested.yaml"), {})


def test_the_chart_says_who_moves_and_who_reads():
    assert list(draw_text(nested())) == [
        "    nested               chance  a_1  a_2  m  the judge",
        "  0 coin: draws            ●      ·    ·   ○      ·       on back",
        "    ┌ at most ×3, until stop is 'halt'",
        "  1   option: plans        ·      ●    ●   ·      ·       kept private",
        "  2   proposal: speaks     ·      ●    ●   ○      ○       100 words",
        "      ┌ ×2",
        "  3     note: speaks       ·      ●    ·   ○      ·       on back",
        "  4     scratch: speaks    ·      ·    ·   ●      ·       scratchpad",
        "  5   stop: picks          ·      ○    ○   ●      ○",
        "  6 copy: speaks           ·      ○    ◐   ○      ○       when note was played; remembers up to proposal",
        "",
        "● moves, ◐ a copy that forgot moves, ○ reads it, · does not; ● in one row move at once, blind to each other",
    ]


def test_the_steps_towards_a_speech_are_drawn_around_it(tmp_path, capsys):
    settings = ["--set", "best_of=4", "--set", "refine=2"]
    assert main(["protocols", "draw", "consultancy", *settings]) == 0
    chart = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in chart[1:9]] == [
        "    ┌ ×2",
        "      ┌ towards one argument",
        "        ┌ ×4",
        "  0       argument draft: drafts                         ●         ·        ·       unsaid; 100 words",
        "          ┌ ×2",
        "  1         argument critique: criticises own draft      ●         ·        ·       unsaid; 100 words",
        "  2         argument revision: drafts again              ●         ·        ·       unsaid; 100 words",
        "  3     argument pick: picks own draft                   ●         ·        ·       unsaid",
    ]
    assert chart[9].endswith("●         ○        ○       as drafted; 100 words")
    picture = draw(load_protocol("consultancy", {"best_of": 4}), tmp_path / "consultancy.svg").read_text()
    assert "unsaid, on the way to a speech" in picture and "towards one argument" in picture
    assert main(["protocols", "show", "consultancy", *settings]) == 0
    shown = capsys.readouterr().out
    assert "argument critique consultant criticise a draft of its own (unsaid)" in shown
    assert "argument   consultant say what was drafted, at most 100 words" in shown
    assert main(["protocols", "check", "consultancy", *settings]) == 0


@pytest.mark.parametrize("name", shipped())
def test_what_is_drawn_is_what_is_played(name):
    protocol = load_protocol(name)
    assert len(list(draw_text(protocol))) >= len(protocol.slots) + 3
    *_, last = play_marked(protocol, QUESTION, 0)
    names, shown = lanes(protocol), columns(protocol)
    for event in last.events:
        marks = dict(zip(names, shown[event.where].marks, strict=True))
        assert marks[event.seat] in ("moves", "copy")
        for seat in protocol.seats:
            if marks[seat] not in ("moves", "copy"):
                assert (marks[seat] == "reads") == (event in view(last, seat))
    if JUDGE in names:
        reads = [e for e in last.events if shown[e.where].marks[names.index(JUDGE)] == "reads"]
        assert [e.text for e in reads] == [statement.text for statement in released(last)]


def test_blocks_are_spans_of_columns():
    assert [(s.first, s.last, s.depth) for s in spans(nested())] == [(1, 5, 0), (3, 4, 1)]


def test_a_picture_holds_every_lane_slot_and_block(tmp_path):
    path = draw(nested(), tmp_path / "new" / "nested.svg")
    text = path.read_text(encoding="utf-8")
    words = set(re.findall(r">([^<>\n]+)</text>", text))
    assert {"Everything at once", "chance", "a_1", "a_2", "m", "the judge", "verdict", "proposal", "×2"} <= words
    assert {"channel back", "public", "nobody else sees it", "plans", "a copy speaks"} <= words
    assert "at most ×3, until stop is &#x27;halt&#x27;" in words or "at most ×3, until stop is 'halt'" in words
    again = draw(nested(), tmp_path / "again.svg")
    assert again.read_bytes() == path.read_bytes(), "the same protocol, the same picture"


def test_the_command_draws_a_file_or_the_terminal(tmp_path, capsys):
    out = tmp_path / "jury.png"
    assert main(["protocols", "draw", "jury", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out) and out.read_bytes().startswith(b"\x89PNG")
    assert main(["protocols", "draw", "evidence_debate", "--set", "k=3"]) == 0
    assert "┌ ×3" in capsys.readouterr().out
    assert main(["protocols", "draw", "jury", "--out", str(tmp_path / "jury.txt")]) == 2
    assert "expected a file that ends in .svg, .png, .pdf" in capsys.readouterr().err


def test_a_game_with_rules_of_its_own_has_no_picture(tmp_path):
    pytest.importorskip("pyspiel")
    game = load_protocol("openspiel:kuhn_poker")
    assert list(draw_text(game)) == ["openspiel:kuhn_poker: its moves are those of a game with rules of its own"]
    with pytest.raises(UserError, match="nothing to draw"):
        draw(game, tmp_path / "kuhn.svg")
