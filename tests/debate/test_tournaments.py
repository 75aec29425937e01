"""Tournaments: fair plans, hard budgets, resumption, and the numbers of the table."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.agents.scripted import SCRIPTS, ScriptedSpeaker
from debate.cli import main
from debate.data import load_questions
from debate.errors import UserError
from debate.play import Arena, play
from debate.progress import Silent
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.run.cache import CachingCompleter
from debate.run.store import Store
from debate.seeds import derive
from debate.tournaments.baselines import judge_alone
from debate.tournaments.budget import BudgetSpent, Meter, MeteredCompleter
from debate.tournaments.clustered import combine, difference, mean_of, share_of_gap
from debate.tournaments.formats import rounds, swiss_pairs
from debate.tournaments.matched import match_baselines
from debate.tournaments.pairing import Field, pairing_matches, pairings, seatings
from debate.tournaments.play import play_tournament, spent_before
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan
from debate.tournaments.standings import ratings, standings
from debate.transcript import Policy
from games.empirical.samples import EmpiricalGame
from games.evaluation.pairwise import elo
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule
from judges.types import Choice, Completion, Cost

EVIDENCE = load_protocol("evidence_debate", {"k": 2})
ENTRANTS = ("greedy-v0", "random-v0", "third-v0")
CAST = {
    name: Agent(Policy(name[:-3], 0, "scripted"), ScriptedSpeaker(SCRIPTS[script]))
    for name, script in zip(ENTRANTS, ("greedy_evidence", "random_legal", "random_legal"), strict=True)
}


def arena_of(protocol, questions, judges):
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("debate", protocol, {q.id: q for q in questions}, judges, rules)


def evidence(count, entrants=ENTRANTS, seed=0, repeats=1):
    questions = tuple(load_questions({"adapter": "evidence", "n": 6, "limit": count}, seed))
    field = Field("debate", EVIDENCE, entrants, ("A", "B"), {}, questions, seed, repeats)
    return field, arena_of(EVIDENCE, questions, (NaiveEvidenceJudge(),))


def plan_of(**changes):
    base = dict(
        format="round_robin",
        entrants=(),
        questions=4,
        repeats=1,
        rounds=3,
        matches=60,
        batch=5,
        epsilon=0.0,
        criterion="win",
        self_play=False,
        baselines=True,
        resamples=50,
    )
    return Plan(**{**base, **changes})


def run(field, plan, arena, path, cast=CAST, limits=None, wave=7):
    """One session over a store; the table, and whether a budget stopped it."""
    with Store(path) as store:
        results = Results(field, plan.criterion)
        meter = spent_before(store, limits or {}, lambda: 0.0)
        try:
            play_tournament(field, plan, arena, cast, store, results, meter, Silent(), wave)
        except BudgetSpent as reason:
            return results, reason
        return results, None


# --- plans -----------------------------------------------------------------------------------------------------------


@given(
    entrants=st.integers(2, 6),
    questions=st.integers(1, 5),
    repeats=st.integers(1, 3),
    self_play=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_every_pairing_plays_the_same_questions_in_both_seatings(entrants, questions, repeats, self_play, seed):
    names = tuple(f"a{i}-v0" for i in range(entrants))
    field, _ = evidence(questions, names, seed, repeats)
    plan = plan_of(questions=questions, self_play=self_play)
    matches = [m for batch in rounds(field, plan, Results(field, "win")) for m in batch]
    assert len({m.id for m in matches}) == len(matches)
    seen = Counter((m.question_id, m.seats["A"], m.seats["B"]) for m in matches)
    for question in field.questions:
        for one, other in combinations(names, 2):
            assert seen[question.id, one, other] == seen[question.id, other, one] == repeats
        for one in names:
            assert seen[question.id, one, one] == repeats * self_play
    sat = Counter((seat, policy, m.question_id) for m in matches for seat, policy in m.seats.items())
    assert len(set(sat.values())) == 1, "everyone sits in every seat equally often on every question"


@given(st.integers(1, 4))
def test_seatings_of_any_number_of_seats_are_fair(seats):
    found = seatings("a", "b", seats)
    assert Counter(x.count("a") for x in found) == Counter(x.count("b") for x in found)
    for place in range(seats):
        assert Counter(x[place] for x in found)["a"] == Counter(x[place] for x in found)["b"]


def test_drawn_answers_are_the_same_for_everyone():
    consultancy = load_protocol("evidence_consultancy", {"k": 1})
    questions = tuple(load_questions({"adapter": "evidence", "n": 4, "limit": 3}, 0))
    field = Field("c", consultancy, ("a-v0", "b-v0"), ("consultant",), {}, questions, 0)
    matches = [
        m for batch in rounds(field, plan_of(questions=3), Results(field, consultancy.criteria[0])) for m in batch
    ]
    by = {
        p: [(m.question_id, m.answers["consultant"]) for m in matches if m.seats["consultant"] == p]
        for p in field.entrants
    }
    assert by["a-v0"] == by["b-v0"] == [(q.id, k) for q in questions for k in (0, 1)]


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_swiss_pairs_everyone_once_and_avoids_rematches(count, number, seed):
    names = [f"e{i}" for i in range(count)]
    met, rested = Counter(), Counter()
    rng = np.random.default_rng(seed)
    for k in range(number):
        order = [names[i] for i in rng.permutation(count)]
        pairs, resting = swiss_pairs(order, met, rested)
        seated = [one for pair in pairs for one in pair] + ([resting] if resting else [])
        assert sorted(seated) == sorted(names)
        met.update(frozenset(p) for p in pairs)
        rested.update([resting] if resting else [])
        if k < count // 2:  # a round without a rematch exists while few have met, and is found
            assert max(met.values()) == 1
        assert max(rested.values(), default=0) - min((rested[n] for n in names), default=0) <= 1


def test_swiss_pairs_neighbours_first():
    pairs, resting = swiss_pairs(["a", "b", "c", "d", "e"], Counter({frozenset("ab"): 1}), Counter())
    assert pairs == [("a", "c"), ("b", "d")]
    assert resting == "e"


def test_adaptive_plays_both_seatings_where_it_matters_and_keeps_its_budget(tmp_path):
    field, arena = evidence(20)
    plan = plan_of(format="adaptive", questions=20, matches=120, batch=6)
    results, _ = run(field, plan, arena, tmp_path / "s.sqlite")
    assert 110 < results.matches <= 120
    counts = results.game().counts()
    assert (counts == counts.T).all()
    assert counts[0].sum() > counts[1].sum(), "the strongest entrant's cells carry the certificate"
    assert counts.min() >= 2


def test_adaptive_stops_when_nash_conv_is_known_well_enough(tmp_path):
    from debate.tournaments.formats import certified

    field, arena = evidence(200, ENTRANTS[:2])
    plan = plan_of(format="adaptive", questions=200, matches=4000, batch=40, epsilon=1.0)
    results, _ = run(field, plan, arena, tmp_path / "s.sqlite", wave=256)
    assert results.matches < 4000
    assert certified(results, "win") <= 1.0


@pytest.mark.parametrize("kind", ["round_robin", "swiss", "adaptive"])
def test_stopped_anywhere_and_gone_on_gives_the_same_table(tmp_path, kind):
    field, arena = evidence(6)
    plan = plan_of(format=kind, questions=3, self_play=kind == "adaptive", matches=40)
    whole, _ = run(field, plan, arena, tmp_path / "whole.sqlite")
    path, played = tmp_path / "s.sqlite", -1
    for limit in (4, 7, None):
        left = limit

        class Stop(Meter):
            def check(self, calls=0, tokens=0):
                nonlocal left
                if left is not None:
                    left -= 3
                    if left < 0:
                        raise BudgetSpent("calls", 1, 1)

        with Store(path) as store:
            again = Results(field, plan.criterion)
            try:
                play_tournament(field, plan, arena, CAST, store, again, Stop(clock=lambda: 0.0), Silent(), 3)
            except BudgetSpent:
                assert limit is not None
            assert len(store) > played
            played = len(store)
    assert standings(again) == standings(whole)
    with Store(tmp_path / "whole.sqlite") as one, Store(path) as other:
        assert list(one.ids()) == list(other.ids())


# --- budgets and paid turns ------------------------------------------------------------------------------------------


class Talker:
    """A model by rule: its answer depends on the request alone. Counts what is paid."""

    def __init__(self):
        self.paid = Counter()
        self.fail_at = None

    async def __call__(self, requests):
        if self.fail_at is not None and sum(self.paid.values()) >= self.fail_at:
            raise ConnectionError("killed")
        answers = []
        for r in requests:
            key = (r.seed, r.policy, r.messages)
            self.paid[key] += 1
            cost = Cost(1, 10, 5, 0.001)
            if r.choices:
                scores = [-1.0 - (derive(r.seed, c) % 7) for c in r.choices]
                answers.append(
                    Completion(
                        choices=tuple(Choice(c, None, s) for c, s in zip(r.choices, scores, strict=True)), cost=cost
                    )
                )
            else:
                answers.append(Completion(f"word {r.seed % 97}", cost=cost))
        return answers


TALK = load_protocol("debate_simultaneous", {"rounds": 3, "tokens": 5})
TALKED = tuple(
    Question(f"q{i}", f"Is {i} even?", ("yes", "no"), i % 2, f"The number {i} is {'odd' if i % 2 else 'even'}.")
    for i in range(4)
)


def reading(case):
    """Believes the material where it can be read, and is undecided otherwise."""
    if not case.material:
        return [0.5, 0.5]
    return 0 if "even" in case.material else 1


def talking(talker, store, meter):
    speaker = LanguageSpeaker(CachingCompleter(MeteredCompleter(talker, meter), store, "talker"), max_tokens=5)
    cast = {name: Agent(Policy(name[:-3], 0, "talker"), speaker) for name in ("a-v0", "b-v0")}
    field = Field("debate", TALK, tuple(cast), ("A", "B"), {}, TALKED, 3)
    judge = ScriptedJudge(lambda case: [0.7, 0.3] if len(case.statements[0].text) % 2 else [0.2, 0.8], "coin")
    return field, arena_of(TALK, TALKED, (judge,)), cast


def session(path, talker, limits):
    with Store(path) as store:
        meter = spent_before(store, limits, lambda: 0.0)
        field, arena, cast = talking(talker, store, meter)
        results = Results(field, "win")
        play_tournament(field, plan_of(), arena, cast, store, results, meter, Silent(), 4)
        return standings(results), meter


@pytest.mark.parametrize(("name", "limit"), [("calls", 17), ("calls", 6), ("tokens", 61), ("usd", 0.02)])
def test_budgets_hold_and_the_run_goes_on_where_it_stopped(tmp_path, name, limit):
    whole, _ = session(tmp_path / "whole.sqlite", talker := Talker(), {})
    total = sum(talker.paid.values())
    assert total == 4 * 2 * 6
    path, talker = tmp_path / "s.sqlite", Talker()
    steps = 0
    while True:
        steps += 1
        try:
            table, meter = session(path, talker, {name: limit * steps})
            break
        except BudgetSpent as reason:
            assert reason.name == name
        paid = sum(talker.paid.values())
        spent = {"calls": paid, "tokens": 5 * paid, "usd": 0.001 * paid}[name]
        assert spent <= limit * steps + (0.008 if name == "usd" else 0)  # dollars: by at most the calls under way
    assert steps > 1
    assert table == whole
    assert set(talker.paid.values()) == {1}, "nothing is paid for twice"
    assert meter.cost.calls == total


def test_a_match_killed_midway_pays_only_for_its_unfinished_turns(tmp_path):
    whole, _ = session(tmp_path / "whole.sqlite", Talker(), {})
    path, talker = tmp_path / "s.sqlite", Talker()
    talker.fail_at = 8  # the first round of the first four matches is paid for, then the process dies
    with pytest.raises(ConnectionError):
        session(path, talker, {})
    with Store(path) as store:
        assert len(store) == 0
    talker.fail_at = None
    table, _ = session(path, talker, {})
    assert table == whole
    assert set(talker.paid.values()) == {1}


def test_wall_time_is_a_budget_over_all_sessions(tmp_path):
    field, arena = evidence(6)
    now = [0.0]

    class Slow(ScriptedSpeaker):
        async def __call__(self, asks):
            now[0] += 1.0
            return await super().__call__(asks)

    cast = {name: Agent(agent.policy, Slow(agent.speaker.script)) for name, agent in CAST.items()}
    sessions = 0
    for limit in (10.0, 20.0, 1000.0):
        with Store(tmp_path / "s.sqlite") as store:
            results = Results(field, "win")
            meter = spent_before(store, {"seconds": limit}, lambda: now[0])
            try:
                play_tournament(field, plan_of(), arena, cast, store, results, meter, Silent(), 7)
            except BudgetSpent as reason:
                sessions += 1
                assert limit <= reason.spent <= limit + 12
                now[0] += 100.0  # time between the sessions does not count
    assert sessions == 2
    assert results.matches == 24


# --- numbers ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-2, 2)), min_size=3, max_size=40))
@settings(max_examples=50, deadline=None)
def test_clustered_mean_is_the_empirical_games_estimate(rows):
    clusters, values = zip(*rows, strict=True)
    if len(set(clusters)) < 2:
        return
    game = EmpiricalGame([[0]] * len(rows), [[v] for v in values], clusters)
    sums, counts = np.zeros(6), np.zeros(6)
    np.add.at(sums, list(clusters), values)
    np.add.at(counts, list(clusters), 1.0)
    found = mean_of(sums, counts)
    assert found.value == pytest.approx(float(game.mean().item()), abs=1e-12)
    assert found.error == pytest.approx(float(game.standard_error().item()), abs=1e-12)


def test_delta_method_agrees_with_numerical_derivatives():
    rng = np.random.default_rng(0)
    sums, counts = rng.normal([[3.0], [0.0], [6.0]], 1.0, (3, 8)), np.full((3, 8), 2.0)
    parts = [mean_of(s, n) for s, n in zip(sums, counts, strict=True)]
    reached, naive, expert = (part.value for part in parts)
    gap = expert - naive
    share = (reached - naive) / gap
    found = combine(lambda v: float(share_of_gap(v)), (1 / gap, (share - 1) / gap, -share / gap), parts)
    assert found.value == pytest.approx(share)
    for q in range(8):
        step = 1e-6
        weights = np.ones(8)
        weights[q] += step
        moved = [float((s * weights).sum() / (n * weights).sum()) for s, n in zip(sums, counts, strict=True)]
        share = (moved[0] - moved[1]) / (moved[2] - moved[1])
        assert (share - found.value) / step == pytest.approx(found.influence[q], rel=1e-4, abs=1e-7)
    same = combine(lambda v: float(v[0] - v[1]), (1.0, -1.0), parts[:2])
    assert difference(*parts[:2]).error == same.error


def test_no_gap_and_no_data_are_not_known():
    one = mean_of([1.0, 1.0], [2.0, 2.0])
    assert math.isnan(share_of_gap(np.array([0.5, 0.5, 0.5])))
    nothing = mean_of([0.0, 0.0], [0.0, 0.0])
    assert math.isnan(nothing.value) and nothing.interval() is None
    assert math.isnan(difference(one, nothing).value)
    assert mean_of([1.0, 0.0], [1.0, 0.0]).interval() is None, "one question says nothing about how questions vary"


def test_coverage_of_the_clustered_interval_where_questions_differ():
    """Questions vary, matches within one hang together: the interval holds, one that ignores it would not."""
    rng = np.random.default_rng(1)
    hits = naive = 0
    for _ in range(400):
        level = rng.normal(size=30)
        values = level[:, None] + 0.1 * rng.normal(size=(30, 10))
        low, high = mean_of(values.sum(axis=1), np.full(30, 10.0)).interval()
        hits += low <= 0 <= high
        reach = 1.96 * values.std() / math.sqrt(values.size)
        naive += abs(values.mean()) <= reach
    assert 0.92 <= hits / 400 <= 0.98
    assert naive / 400 < 0.7


def test_ratings_are_the_maximum_likelihood_and_ties_are_half_a_win(tmp_path):
    field, arena = evidence(12)
    results, _ = run(field, plan_of(questions=12), arena, tmp_path / "s.sqlite")
    found = ratings(results)
    wins = sum(results.comparisons().values())
    assert np.allclose(wins + wins.T, 24 * (1 - np.eye(3)))
    doubled = np.rint(2 * wins).astype(int)
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(doubled[i, j])]
    expected = elo(pairs, 3).ratings
    assert [row["value"] for row in found["elo"]] == pytest.approx(expected)
    assert all(row["low"] < row["value"] < row["high"] for row in found["elo"])
    assert (
        standings(results)["entrants"].keys()
        == dict.fromkeys(sorted(ENTRANTS, key=lambda one: -expected[ENTRANTS.index(one)])).keys()
    )


def test_perfect_separation_is_told_and_finite():
    field, _ = evidence(2, ("a-v0", "b-v0"))
    results = Results(field, "win")
    results.wins = {0: np.array([[0.0, 2.0], [0.0, 0.0]]), 1: np.array([[0.0, 2.0], [0.0, 0.0]])}
    found = ratings(results)
    assert found["prior"] == 0.5
    assert 0 < found["elo"][0]["value"] < 1000


def test_the_judges_numbers_by_hand(tmp_path):
    """A judge of .7/.3 on q even, .2/.8 on q odd: everything in the table follows on paper."""

    def belief(case):
        return [0.7, 0.3] if int(case.question.split()[1]) < 2 else [0.2, 0.8]

    questions = TALKED
    arena = arena_of(TALK, questions, (ScriptedJudge(belief, "j"),))
    cast = {n: Agent(Policy(n[:-3], 0, "scripted"), ScriptedSpeaker(SCRIPTS["random_legal"])) for n in ENTRANTS[:2]}
    field = Field("debate", TALK, ENTRANTS[:2], ("A", "B"), {}, questions, 0)
    results, _ = run(field, plan_of(), arena, tmp_path / "s.sqlite", cast)
    table = standings(results)
    # Labels 0 1 0 1; the judge says 0 0 1 1: right on q0 and q3.
    assert table["judge"]["accuracy"]["value"] == pytest.approx(0.5)
    assert table["judge"]["by_honest_side"]["A"]["value"] == pytest.approx(0.5)  # q0 right, q2 wrong
    logs = [math.log(p) for p in (0.7, 0.3, 0.2, 0.8)]  # of the honest answers
    wrong = [math.log(1 - p) for p in (0.7, 0.3, 0.2, 0.8)]
    assert table["judge"]["asd"]["value"] == pytest.approx((sum(logs) - sum(wrong)) / 4)
    for row in table["entrants"].values():
        assert row["asd"]["value"] == pytest.approx((sum(logs) - sum(wrong)) / 4)
        assert row["score"] == 0.5
        assert row["believed_honest"]["value"] == 0.5
    assert table["judge"]["constant"]["value"] == 0.5


def test_gap_recovered_between_the_naive_and_the_expert_judge(tmp_path):
    field = Field("debate", TALK, ENTRANTS[:2], ("A", "B"), {}, TALKED, 0)
    arena = arena_of(TALK, TALKED, (ScriptedJudge(reading, "reader"),))
    naive, _ = judge_alone(arena, field, False)
    expert, _ = judge_alone(arena, field, True)
    assert naive[:, 0].tolist() == [0.5] * 4
    assert expert[:, 0].tolist() == [1.0] * 4
    played = arena_of(TALK, TALKED, (ScriptedJudge(lambda case: 0 if "1" not in case.question else 1, "j"),))
    cast = {n: Agent(Policy(n[:-3], 0, "scripted"), ScriptedSpeaker(SCRIPTS["random_legal"])) for n in ENTRANTS[:2]}
    results, _ = run(field, plan_of(), played, tmp_path / "s.sqlite", cast)
    table = standings(results, match_baselines(arena, results, (), 64))["judge"]
    assert table["accuracy"]["value"] == 0.75  # wrong on 3 alone
    assert table["gap_recovered"]["value"] == pytest.approx(0.5)
    assert table["matched"]["debate_tokens"] == 0
    assert table["matched"]["gap_recovered"] is None, "scripts sample no tokens: there is no cost to match"
    questions = [Question("e", "?", ("yes", "no"), 0)]
    assert (
        judge_alone(arena_of(TALK, questions, arena.judges), Field("d", TALK, (), (), {}, tuple(questions), 0), True)[0]
        is None
    )


def test_failures_are_counted_and_give_no_number(tmp_path):
    field, _ = evidence(4)
    arena = arena_of(EVIDENCE, field.questions, (ScriptedJudge(lambda case: 1 / 0, "broken"),))
    results, _ = run(field, plan_of(), arena, tmp_path / "s.sqlite")
    table = standings(results)
    assert table["failures"] == {"verdict": 24}
    assert all(row["failed"] == row["matches"] == 16 and row["elo"] is None for row in table["entrants"].values())
    assert all(row["rewards"]["win"]["value"] is None for row in table["entrants"].values())
    assert table["judge"]["accuracy"]["value"] is None
    assert results.game().unplayed()


def test_what_is_stored_is_what_would_be_played(tmp_path):
    field, arena = evidence(2)
    run(field, plan_of(questions=2), arena, tmp_path / "s.sqlite")
    planned = [
        m
        for q in field.questions
        for one, other in pairings(field.entrants)
        for m in pairing_matches(field, one, other, [q])
    ]
    fresh = asyncio.run(play(arena, planned, CAST, field.seed))
    with Store(tmp_path / "s.sqlite", read_only=True) as store:
        for episode in fresh:
            found = store.get(episode.match.id)
            assert found.transcript == episode.transcript
            assert found.rewards.values.tolist() == episode.rewards.values.tolist()


# --- the command -----------------------------------------------------------------------------------------------------

RECIPE = """\
name: cup
agents:
  greedy: {kind: scripted, script: greedy_evidence}
  random: {kind: scripted, script: random_legal}
  small: {kind: nano}
arenas:
  debate:
    protocol: evidence_debate
    parameters: {k: 1}
    judge: naive_evidence
    data: {adapter: evidence, n: 6, limit: 8}
tournament: {format: round_robin, questions: 6, resamples: 20}
"""


@pytest.fixture
def cup(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cup.yaml"
    path.write_text(RECIPE)
    return path


def wrong(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("debate: ") and "Traceback" not in captured.err
    return captured.err


def test_a_tournament_from_its_recipe_to_its_report(cup, capsys):
    out = cup.parent / "runs" / "out" / "cup"
    assert main(["tournament", str(cup), "--budget", "calls=20"]) == 3
    captured = capsys.readouterr()
    assert "debate tournament runs/out/cup --resume --budget calls=40" in captured.err
    assert json.loads((out / "summary.json").read_text())["tournament"]["spent"]["calls"] <= 20
    assert "Not finished" in (out / "report.html").read_text()
    assert main(["tournament", str(out), "--resume"]) == 3, "the budget stays until another is given"
    assert main(["tournament", str(cup), "--resume", "--budget", "calls=1000"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["episodes"] == 6 * 3 * 2
    assert next(iter(summary["tournament"]["entrants"])) == "greedy-v0"
    assert "self_play" in summary["left_out"]["equilibrium"]
    page = (out / "report.html").read_text()
    assert "Tournament" in page and "greedy-v0" in page and "constant judge" in page
    capsys.readouterr()
    assert main(["tournament", str(out)]) == 0
    again = json.loads((out / "summary.json").read_text())
    assert again["tournament"]["entrants"] == summary["tournament"]["entrants"]
    assert "greedy-v0" in capsys.readouterr().out
    assert main(["report", str(out)]) == 0


def test_entrants_that_meet_themselves_too_fill_a_game_that_is_solved(cup):
    text = RECIPE.replace("resamples: 20", "resamples: 20, self_play: true").replace("  small: {kind: nano}\n", "")
    cup.write_text(text)
    assert main(["tournament", str(cup), "--out", "cup"]) == 0
    summary = json.loads((cup.parent / "cup" / "summary.json").read_text())
    assert summary["meta_equilibrium"]["profile"]["A"]["greedy-v0"] > 0.5
    assert (cup.parent / "cup" / "analysis" / "game.nfg").is_file()


def test_an_existing_tournament_is_never_overwritten(cup, capsys):
    assert main(["tournament", str(cup)]) == 0
    assert "give --resume" in wrong(capsys, "tournament", cup)
    assert "another run" in wrong(capsys, "tournament", cup, "--resume", "--seed", "4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("round_robin", "round_robbin"), 'did you mean "round_robin"'),
        (("questions: 6", "questions: 60"), "asks for 60 questions, the data has 8"),
        (("resamples: 20", "criterion: wins"), "tournament.criterion: 'wins' is not known"),
        (("tournament:", "entrants: [greedy]\ntournament:"), "two or more agents"),
        (("tournament:", "entrants: [greedy, greedier]\ntournament:"), 'did you mean "greedy"'),
        (("tournament:", "entrants: [greedy, greedy]\ntournament:"), "each entrant once"),
        (("tournament:", "budgets: {calls: 0}\ntournament:"), "budgets.calls: expected a number above 0"),
        (("tournament:", "budgets: {moves: 1}\ntournament:"), "budgets.moves: unknown field"),
        (("tournament:", "training: {updates: 1}\ntournament:"), "has no training"),
        (("resamples: 20", "wins: 3"), "tournament.wins: unknown field"),
        (("protocol: evidence_debate", "protocol: evidence_debat"), 'did you mean "evidence_debate"'),
        (("    judge: naive_evidence\n", ""), "is decided by a judge"),
        (("    judge:", "    seats: {A: greedy, B: random}\n    judge:"), "no seat is left"),
    ],
)
def test_a_mistake_in_a_tournament_is_told(cup, capsys, change, message):
    text = RECIPE.replace(*change)
    assert text != RECIPE
    cup.write_text(text)
    told = wrong(capsys, "tournament", cup)
    assert message in told
    assert "cup.yaml" in told
    assert not (cup.parent / "runs").exists()


def test_bad_budgets_on_the_command_line_are_told(cup, capsys):
    for flag in ("calls", "moves=1", "calls=-1", "calls=nan", "calls=x"):
        assert "--budget" in wrong(capsys, "tournament", cup, "--budget", flag)
    with pytest.raises(UserError):
        from debate.tournaments.spec import budget_flags

        budget_flags(["calls=0"])
