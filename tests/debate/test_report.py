"""The report: one file, no network, no scripts, everything escaped, nothing invented."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.errors import UserError
from debate.report import write_report
from debate.report.curves import series
from debate.report.figures import Bar, bars, panels, smoothing, wilson
from debate.report.markup import UNKNOWN, Markup, duration, join, number, percent, table, tag
from debate.report.transcripts import ALL_UP_TO, choose, show_episode
from debate.run.folder import RunFolder
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Quote, Verdict

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"quotes\" $a^{$ 'x' ]]>"
VOID = {"meta", "img", "br", "use", "path", "stop", "rect", "circle"}


class Page(HTMLParser):
    """Reads a page and holds that tags are balanced; remembers elements, ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        if name not in VOID:
            assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [v for _, attributes in self.elements if (v := attributes.get(attribute)) is not None]


def episode(match_id: str, evil: str = "+16", error: Failure | None = None) -> Episode:
    seats = {"A": "alice-v1", "B": f"bob{evil}"}
    match = Match(match_id, "debate", "q", seats, {"A": 0, "B": 1})
    turns = (
        Turn("A", "debater", "argue", 0, "alice-v1", evil, private=f"plan {evil}", quotes=(Quote(evil, None, False),)),
        Turn("B", "debater", "pick", 1, "bob", "-2", option=3, legal=False, stop_reason="choice"),
    )
    transcript = Transcript(
        match_id, "p", "q", 0, seats, {"A": 0, "B": None}, evil, (evil, "no"), turns, material=evil, error=error
    )
    if error is not None:
        return Episode(match, transcript, (), None)
    rewards = Rewards(
        np.array([[0.75, math.nan], [-0.75, 1.0]]), ("win", evil), (("ok", "error"), ("ok", "ok")), ("A", "B")
    )
    verdicts = (
        Verdict("j", (0.25, 0.75), {"swap": 0.125}, evil),
        Verdict("k", None, rationale="tired", status="abstain"),
    )
    return Episode(match, transcript, verdicts, rewards)


def run(
    path: Path, summary: dict[str, Any] | None, rows: list[dict[str, Any]], count: int = 3, name: str = "demo"
) -> RunFolder:
    folder = RunFolder.create(path, json.dumps({"name": name, "summary": "what it shows"}), 5, argv=["debate", "train"])
    if summary is not None:
        folder.write_summary(summary)
    folder.log(rows)
    with folder.store() as store:
        store.put_many(episode(f"train/{k:04d}") for k in range(count))
    return folder


def read(folder: RunFolder) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


SUMMARY: dict[str, Any] = {
    "judge_accuracy": {
        "before": 0.512,
        "after": 0.834,
        "optimal": None,
        "random_legal": 0.698,
        "consultancy": 0.501,
        "n": 400,
    },
    "nash_conv": {"before": 1.234, "after": 0.125, "interval": [0.031, 0.219]},
    "exact_nash_conv": None,
    "meta_equilibrium": {
        "method": "lp",
        "nash_conv": 0.0,
        "profile": {"A": {"alice-v0": 0.25, "alice-v1": 0.75}, "B": {"bob-v1": 1.0}},
        "support_inclusion": {},
        "payoffs": [0.5, -0.5],
        "payoff_intervals": None,
    },
    "rewards": {"A": {"win": [0.111, 0.222]}, "B": {"win": [-0.111, None]}},
    "episodes": 12345,
    "sampled_tokens": 67890,
    "failures": {"timeout": 7},
    "wall_seconds": 3723.0,
    "seed": 5,
}


def rows(updates: int) -> list[dict[str, Any]]:
    return [
        {
            "update": u,
            "arena": "debate",
            "seat": seat,
            "agent": agent,
            "rewards": {"win": 0.1 * u, "truth": None},
            "loss": 1.0 / u,
            "advantage_spread": {"win": 0.5},
        }
        for u in range(1, updates + 1)
        for seat, agent in (("A", "alice"), ("B", "bob"))
    ]


def test_the_page_shows_what_is_known_and_says_what_is_not(tmp_path: Path) -> None:
    page = read(run(tmp_path / "run", SUMMARY, rows(5)))
    for shown in (
        "demo",
        "what it shows",
        "51.2\u202f% → 83.4\u202f%",
        "1.234 → 0.125",
        "0.031 to 0.219",
        "12,345",
        "67,890",
    ):
        assert shown in page.text, shown
    for shown in (
        "1 h 02 min",
        "alice-v0",
        "25.0\u202f%",
        "timeout",
        "0.222",
        "7 failed; none became a reward",
        "train/0002",
    ):
        assert shown in page.text, shown
    exact = page.text[page.text.index("Exact NashConv, finite variant") :]
    assert exact.startswith(f"Exact NashConv, finite variant{UNKNOWN}")
    missing = page.text[page.text.index("not measured in this run") :].split(".")[0]
    assert "debate, optimal play" in missing
    assert "human judge" in missing
    assert "random legal" not in missing
    assert "The judge was not attacked in this run" in page.text


def test_the_page_stands_alone(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", SUMMARY, rows(5))
    (folder.analysis / "heatmap.svg").write_text('<svg viewBox="0 0 600 300"><script>alert(1)</script></svg>')
    (folder.analysis / "manifest.json").write_text('{"left_out": {"simplex": "four strategies"}}')
    page = read(folder)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for reference in [*page.values("href"), *page.values("xlink:href"), *page.values("src")]:
        assert reference.startswith(("#", "data:image/svg+xml;base64,")), reference
    text = folder.report_path.read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert "default-src 'none'" in text
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = {r[1:] for r in [*page.values("href"), *page.values("xlink:href")] if r.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert targets <= set(ids)
    assert ("svg" in names, "img" in names, "details" in names) == (True, True, True)
    assert "four strategies" in page.text


def test_nothing_said_in_a_debate_becomes_markup(tmp_path: Path) -> None:
    evil_rows = [{**row, "agent": EVIL, "arena": EVIL, "rewards": {EVIL: 0.5}, EVIL: 1.0} for row in rows(3)]
    summary = {**SUMMARY, "failures": {EVIL: 1}, "rewards": {EVIL: {EVIL: [0.0, 1.0]}}}
    folder = run(tmp_path / "run", summary, evil_rows, name=EVIL)
    with folder.store() as store:
        store.put(episode("train/evil", EVIL))
        store.put(episode("train/failed", EVIL, Failure("kind", "A", EVIL)))
    page = read(folder)
    assert "script" not in {name for name, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "x" not in page.values("src")
    assert page.text.count("<script>alert(1)</script>") >= 10


@given(st.text(max_size=20), st.text(max_size=20))
def test_content_and_attributes_are_escaped(words: str, value: str) -> None:
    made = tag("p", words, class_=value, title=value)
    page = Page(made)
    assert [name for name, _ in page.elements] == ["p"]
    assert "<" not in made.removeprefix("<p").removesuffix("</p>")
    assert join([Markup("<b>"), "<b>"]) == "<b>&lt;b&gt;"


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", SUMMARY, rows(5))
    first = write_report(folder).read_bytes()
    assert write_report(folder.path).read_bytes() == first


def test_a_run_that_is_not_finished_has_a_report(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "name: early", 0)
    page = read(folder)
    assert "This run is not finished" in page.text
    assert "No match was played" in page.text
    assert "No update was logged" in page.text
    assert page.text.count(UNKNOWN) >= 6
    with pytest.raises(UserError, match="no run there"):
        write_report(tmp_path)


def test_nulls_everywhere_are_shown_as_not_applicable(tmp_path: Path) -> None:
    summary = {key: None for key in SUMMARY}
    empty = [{"update": 1, "arena": "a", "seat": "A", "agent": "x", "rewards": {"win": None}, "loss": None}]
    page = read(run(tmp_path / "run", summary, empty))
    assert page.text.count(UNKNOWN) >= 8
    for wrong in ("None", "nan", "null"):
        assert not re.search(rf"\b{wrong}\b", page.text), wrong
    assert "svg" not in {name for name, _ in page.elements}


def test_attacks_on_the_judge_stand_beside_its_accuracy(tmp_path: Path) -> None:
    page = read(run(tmp_path / "run", {**SUMMARY, "judge_attacks": {"verbosity": 0.125, "forged quotes": None}}, []))
    assert "not attacked" not in page.text
    assert "verbosity0.125" in page.text
    assert f"forged quotes{UNKNOWN}" in page.text


def test_a_damaged_analysis_is_told(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", SUMMARY, [])
    (folder.analysis / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="damaged, expected the manifest of an analysis"):
        write_report(folder)


def test_small_runs_are_shown_whole_and_large_ones_in_samples(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", SUMMARY, [], count=ALL_UP_TO)
    with folder.store() as store:
        ids, total = choose(store)
        assert (len(ids), total) == (ALL_UP_TO, ALL_UP_TO)
        store.put_many(episode(f"eval/{k:04d}") for k in range(31))
        store.put(episode("eval/0005x", error=Failure("timeout", "A", "")))
        store.put(episode("alone"))
        ids, total = choose(store)
        assert total == ALL_UP_TO + 33
        assert ids == sorted(ids)
        assert set(ids) == {
            "alone",
            *("eval/0000", "eval/0005x", "eval/0009", "eval/0020", "eval/0030"),
            *("train/0000", "train/0013", "train/0026", "train/0039"),
        }
    assert "10 of 73 matches" in read(folder).text


def test_an_episode_is_shown_with_verdict_marks_and_rewards() -> None:
    page = Page(show_episode(episode("m1")))
    for shown in (
        "illegal",
        "quote not found",
        "private: plan",
        "swap 0.125",
        "75.0\u202f%",
        "abstain",
        "(error)",
        "0.750",
    ):
        assert shown in page.text, shown
    failed = Page(show_episode(episode("m2", error=Failure("timeout", "A", "no answer"))))
    assert "timeout at A: no answer" in failed.text
    assert "No rewards: a failure is never a number" in failed.text


# --- parts ---------------------------------------------------------------------------------------------------------


def test_wilson_intervals_are_the_published_ones() -> None:
    """Newcombe (1998), Statistics in Medicine 17, table I, method 3 (score): 81/263, 15/148, 0/20 and 1/29."""
    for hits, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert np.allclose(wilson(hits / count, count), (low, high), atol=5e-5)
    with pytest.raises(ValueError, match="count"):
        wilson(0.5, 0)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_a_wilson_interval_holds_its_share(share: float, count: int) -> None:
    low, high = wilson(share, count)
    assert -1e-12 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1 + 1e-12


def test_series_keep_gaps_and_drop_what_was_never_known() -> None:
    found = series(
        [
            {"update": 1, "agent": "a", "m": {"x": 1}},
            {"update": 2, "agent": "a", "m": {"x": None}},
            {"update": 3, "agent": "a"},
            {"update": 4, "agent": "a", "m": {"x": 4.0}},
            {"update": 1, "agent": "b", "m": {"x": None}},
            {"update": 2, "agent": "c", "m": {"x": True}},
        ],
        ("m", "x"),
        lambda row: row["agent"],
    )
    assert list(found) == ["a"]
    x, y = found["a"]
    assert x == [1.0, 2.0, 4.0]
    assert (y[0], math.isnan(y[1]), y[2]) == (1.0, True, 4.0)


def test_numbers_are_written_to_be_read() -> None:
    written = [number(v) for v in (None, math.nan, 0, 0.0, 12345, 0.1, -2.5, 1e-7, 12345.6, 3e12)]
    assert written == [UNKNOWN, UNKNOWN, "0", "0", "12,345", "0.100", "-2.500", "1.00e-07", "12,346", "3.00e+12"]
    assert [percent(v) for v in (0.5, 1, None, math.nan, True)] == [
        "50.0\u202f%",
        "100.0\u202f%",
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
    ]
    assert [duration(v) for v in (3.21, 61, 3600, None)] == ["3.2 s", "1 min 01 s", "1 h 00 min", UNKNOWN]
    assert Page(table(["a"], [[None], [1.5], ["x"]])).values("class") == ["scroll", "", "unknown", "number"]


def test_figures_take_the_colour_of_the_page_and_leave_matplotlib_as_it_was() -> None:
    from matplotlib import rcParams

    before = dict(rcParams)
    drawn = [
        bars("a", [Bar("x", 0.5, (0.4, 0.6), strong=True), Bar("$y", 1.0)], "Shares"),
        panels("b", {"t": {"n": ([1.0, 2.0], [math.nan, 2.0])}, "u": {"m": ([1.0], [1.0])}}, "Curves"),
        panels("c", {"long": {"": (list(range(40)), [float(k % 7) for k in range(40)])}}, "Long", columns=1),
    ]
    assert dict(rcParams) == before
    for svg in drawn:
        page = Page(svg)
        assert page.elements[0][0] == "svg"
        assert page.elements[0][1]["role"] == "img"
        assert "currentColor" in svg
        assert "#010203" not in svg
        assert all(i.startswith(("a-", "b-", "c-")) for i in page.values("id"))
    assert "$y" in Page(drawn[0]).text
    assert (smoothing(5), smoothing(40), smoothing(400)) == (1, 4, 40)
