"""Baselines at equal cost: how often they are repeated, and what the mean of their beliefs is worth."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from debate.agents.agent import Agent, Reply
from debate.cli import main
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.tournaments.clustered import bootstrap_interval, mean_of, share_of_gap
from debate.tournaments.matched import match_baselines, repeat_alone, repeat_arena, repeats_for
from debate.tournaments.pairing import Field, pairing_matches
from debate.tournaments.results import Results
from debate.tournaments.show import lines
from debate.tournaments.standings import standings
from debate.transcript import Policy
from judges.judges.abstaining import AbstainingJudge
from judges.judges.again import again
from judges.judges.cascade import CascadeJudge
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.llm import LLMJudge
from judges.judges.panel import PanelJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule
from judges.types import Case, Cost, Verdict

DEBATE = load_protocol("debate_simultaneous", {"rounds": 2, "judge_sees": ["question", "public"]})
PROPAGANDA = load_protocol("propaganda")
ENTRANTS = ("a-v0", "b-v0")


class Talker:
    """Samples as many tokens as it is told to, and never says the same twice."""

    style = "chat"

    def __init__(self, tokens):
        self.tokens = tokens

    async def __call__(self, asks):
        return [Reply(f"word {ask.seed}", cost=Cost(1, 100, self.tokens)) for ask in asks]


def questions_of(count):
    return tuple(Question(f"q{i}", f"Is {i} even?", ("yes", "no"), i % 2, f"The number {i}.") for i in range(count))


def arena_of(protocol, questions, judge):
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena(protocol.name, protocol, {q.id: q for q in questions}, (judge,), rules)


def field_of(protocol, questions):
    return Field(protocol.name, protocol, ENTRANTS, protocol.seats, {}, questions, 0)


def judge_of(accuracy, tokens, seed=0):
    """Right with this probability whatever it reads, each time anew."""

    def script(case):
        even = int(case.question.split()[1]) % 2
        return Verdict("noisy", (float(even == 0), float(even == 1)), cost=Cost(1, 50, tokens))

    return ScriptedJudge(script, "noisy", noise=1.0 - accuracy, seed=seed)


def majority(accuracy, k):
    """Condorcet (1785): the majority of k independent verdicts, a tie counting ½."""
    return float(binom.sf(k // 2, k, accuracy) + (0.5 * binom.pmf(k / 2, k, accuracy) if k % 2 == 0 else 0.0))


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e3), st.integers(1, 4))
def test_the_least_repeats_that_reach_a_debates_tokens(debate, one, unit):
    k = repeats_for(debate, one, unit)
    assert k % unit == 0 and k * one >= debate * (1 - 1e-6)
    assert k == unit or (k - unit) * one < debate


@pytest.mark.parametrize("k", [1, 4, 5, 9])
def test_a_judge_asked_k_times_is_worth_the_binomial_tail(k):
    questions = questions_of(1500)
    arena, field = arena_of(DEBATE, questions, judge_of(0.7, 10)), field_of(DEBATE, questions)
    found = repeat_alone(arena, field, False, np.ones(1500, dtype=bool), debate=10.0 * k, limit=64)
    assert (found.repeats, found.wanted, found.tokens) == (k, k, 10.0 * k)
    for table, expected in ((found.once, 0.7), (found.pooled, majority(0.7, k))):
        assert abs(table[:, 0].mean() - expected) < 4 * math.sqrt(expected * (1 - expected) / 1500)


def test_a_limit_cuts_the_repeats_and_says_so():
    questions = questions_of(4)
    arena, field = arena_of(DEBATE, questions, judge_of(0.7, 10)), field_of(DEBATE, questions)
    found = repeat_alone(arena, field, False, np.ones(4, dtype=bool), debate=200.0, limit=6)
    assert (found.repeats, found.wanted, found.tokens) == (6, 20, 60.0)


def test_questions_that_were_not_debated_are_not_asked():
    questions = questions_of(4)
    arena, field = arena_of(DEBATE, questions, judge_of(1.0, 10)), field_of(DEBATE, questions)
    found = repeat_alone(arena, field, False, np.array([True, False, True, False]), 50.0, 64)
    assert found.pooled[:, 1].tolist() == [1, 0, 1, 0] and found.tokens == 50.0
    assert repeat_alone(arena, field, False, np.zeros(4, dtype=bool), 50.0, 64) is None


def played(arena, cast):
    return lambda matches: iter(asyncio.run(play(arena, list(matches), cast, 0)))


def test_another_protocol_is_repeated_up_to_a_debates_tokens():
    questions = questions_of(150)
    arena, field = arena_of(PROPAGANDA, questions, judge_of(0.7, 0)), field_of(PROPAGANDA, questions)
    cast = {name: Agent(Policy(name[:-3], 0, "talker"), Talker(8)) for name in ENTRANTS}
    every = np.ones(150, dtype=bool)
    found = repeat_arena(field, played(arena, cast), every, debate=44.0, limit=64)
    assert (found.repeats, found.wanted, found.tokens) == (6, 6, 48.0), "each answer is defended equally often"
    expected = majority(0.7, 6)
    assert abs(found.pooled[:, 0].sum() / 300 - expected) < 4 * math.sqrt(expected * (1 - expected) / 300)
    assert abs(found.once[:, 0].sum() / 600 - 0.7) < 4 * math.sqrt(0.21 / 600)


def test_a_tournament_at_equal_tokens_by_hand():
    """Four speeches of 7 tokens and a verdict of 4 are 32: the judge alone, 4 tokens a verdict, gets 8 verdicts."""
    questions = questions_of(40)

    def script(case):
        even = int(case.question.split()[1]) % 2
        cost = Cost(1, 50, 4)
        if case.statements or case.material:
            return Verdict("j", (float(even == 0), float(even == 1)), cost=cost)
        return Verdict("j", (0.5, 0.5), cost=cost)

    arena, field = arena_of(DEBATE, questions, ScriptedJudge(script, "j")), field_of(DEBATE, questions)
    cast = {name: Agent(Policy(name[:-3], 0, "talker"), Talker(7)) for name in ENTRANTS}
    results = Results(field, "win") if "win" in DEBATE.criteria else Results(field, DEBATE.criteria[0])
    matches = list(pairing_matches(field, *ENTRANTS, questions))
    for episode in asyncio.run(play(arena, matches, cast, 0)):
        results.add(episode)
    assert results.sampled_tokens_a_match() == 32.0
    other = arena_of(PROPAGANDA, questions, ScriptedJudge(script, "j"))
    baselines = match_baselines(arena, results, [(field_of(PROPAGANDA, questions), played(other, cast))], 64)
    table = standings(results, baselines, resamples=50)
    matched = table["judge"]["matched"]
    assert {name: row["repeats"] for name, row in matched["alone"].items()} == {"naive": 8, "expert": 8}
    assert matched["alone"]["naive"]["accuracy"]["value"] == 0.5, "no repeat helps a judge that knows nothing"
    assert matched["gap_recovered"]["value"] == table["judge"]["gap_recovered"]["value"] == 1.0
    assert matched["arenas"]["propaganda"]["repeats"] == 4, "a speech of 7 and a verdict of 4, three times, in pairs"
    assert matched["arenas"]["propaganda"]["gap_recovered"]["value"] is None, "it leaves no gap to be recovered"
    shown = list(lines({**table, "nash_conv_at_most": None}))
    assert "at equal cost, 32 tokens sampled in a match:" in shown
    assert "  naive (8 verdicts a question, 32 tokens): judge accuracy 0.500 [0.500, 0.500]" in shown


def test_the_bootstrap_covers_and_refuses_what_it_cannot_say():
    rng = np.random.default_rng(3)
    ones, hits = np.ones(60), 0
    for trial in range(200):
        level = rng.uniform(size=60)  # questions differ in difficulty, and all three depend on it
        chances = [p * (0.9 + 0.2 * level) for p in (0.6, 0.3, 0.9)]
        tables = [np.stack([(rng.uniform(size=60) < chance).astype(float), ones], 1) for chance in chances]
        low, high = bootstrap_interval(share_of_gap, tables, resamples=200, seed=trial)
        hits += low <= (0.6 - 0.3) / (0.9 - 0.3) <= high
    assert 0.90 <= hits / 200 <= 0.985
    flat = np.stack([ones * 0.5, ones], 1)
    assert bootstrap_interval(share_of_gap, [flat, flat, flat]) is None, "no gap in any resample"
    assert bootstrap_interval(share_of_gap, [flat[:1]] * 3) is None, "one question"
    mean = np.stack([rng.normal(size=60), ones], 1)
    low, high = bootstrap_interval(lambda m: m[0], [mean], resamples=4000)
    assert (low, high) == pytest.approx(mean_of(*mean.T).interval(), abs=0.03)


def test_every_judge_that_draws_can_be_asked_again():
    case = Case("Is 2 even?", ("yes", "no"))
    noisy = judge_of(0.5, 1)
    for judge in (noisy, PanelJudge([noisy]), AbstainingJudge(noisy, 0.6), CascadeJudge(noisy, noisy)):
        answers = {asyncio.run(again(judge, k)(case)).answer for k in range(20)}
        assert answers == {0, 1}, judge
        assert asyncio.run(again(judge, 0)(case)) == asyncio.run(judge(case))
        assert again(judge, 3).name == judge.name
    silent = NaiveEvidenceJudge()
    assert again(silent, 5) is silent

    async def nobody(requests):
        raise AssertionError("not asked")

    scored, voting = LLMJudge(nobody), LLMJudge(nobody, mode="votes", samples=5)
    assert again(scored, 5) is scored, "scoring draws nothing"
    assert [again(voting, k).seed for k in range(3)] == [0, 5, 10], "no two repeats share a sample"
    with pytest.raises(ValueError, match="number"):
        again(noisy, -1)


RECIPE = """\
name: cup
agents:
  one: {kind: nano}
  two: {kind: nano}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    judge: naive_evidence
    data: {adapter: evidence, n: 6, limit: 6}
  alone:
    protocol: evidence_consultancy
    parameters: {k: 1}
tournament: {format: round_robin, questions: 5, resamples: 20, baseline: alone}
"""


def test_a_baseline_in_a_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cup.yaml"
    path.write_text(RECIPE)
    assert main(["tournament", str(path), "--out", "cup", "--budget", "seconds=0.000001"]) == 3
    assert main(["tournament", "cup", "--resume", "--budget", "seconds=1000"]) == 0
    first = capsys.readouterr().out
    table = json.loads((tmp_path / "cup" / "summary.json").read_text())["tournament"]["judge"]["matched"]
    assert table["debate_tokens"] == 2 and table["arenas"]["alone"]["repeats"] == 2
    assert "alone (2 matches a question, 2 tokens): judge accuracy" in first
    page = (tmp_path / "cup" / "report.html").read_text()
    assert "accuracy at equal tokens" in page and "alone" in page
    assert main(["tournament", "cup", "--resume"]) == 0
    assert json.loads((tmp_path / "cup" / "summary.json").read_text())["tournament"]["judge"]["matched"] == table
    assert main(["judge", "cup", "--judge", "constant"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((", baseline: alone", ""), "a second one only where tournament.baseline names it; got 2"),
        (("baseline: alone", "baseline: debate"), "expected the name of a second arena, got 'debate'"),
        (("baseline: alone", "baseline: [alone]"), "expected the name of a second arena"),
        (("baseline: alone", "baseline: alone, matched: -1"), "tournament.matched"),
        (("evidence_consultancy\n    parameters: {k: 1}", "taboo"), "does not decide which answer is right"),
        (("  alone:\n", "  alone:\n    data: {adapter: evidence, n: 6, limit: 2}\n"), "is not in this data"),
        (
            ("{k: 1}\nt", "{k: 1}\n    seats: {consultant: two}\nentrants: [one, two]\nt"),
            "no seat is left for the entrants",
        ),
    ],
)
def test_a_mistake_about_a_baseline_is_told(tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    text = RECIPE.replace(*change)
    assert text != RECIPE
    path = tmp_path / "cup.yaml"
    path.write_text(text)
    assert main(["tournament", str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("debate: ") and message in told
    assert not (tmp_path / "runs").exists()
