"""The option game: plan moves forced, estimated by rollouts, solved, and given back to agents as priors."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import games
from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.errors import UserError
from debate.options.game import check_size, option_tree, plans_of, solve_options
from debate.options.prior import pool, prior_at, read_option_priors, with_prior
from debate.options.rollouts import forced_populations, option_samples, plan_matches
from debate.options.states import PLAN, is_plan, option_state, plan_slots
from debate.play import Arena, play
from debate.protocol.kernel import Move, Setup, State, choices, step, to_move
from debate.protocol.load import parse_protocol
from debate.questions import Question
from debate.reader import parse_yaml
from debate.transcript import Match, Policy
from games.empirical.samples import EmpiricalGame
from games.extensive.random_game import random_game
from games.extensive.reduced import behavioural_policy
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

TEXT = """
name: plans
roles:
  debater:
    seats: [A, B]
    sees: [question, options, answer]
    answers: by_seat
    options: {rock: "Say rock.", paper: "Say paper.", scissors: "Say scissors.", keep: Keep., break: Break.}
schedule:
%s
decision: {by: judge, sees: [question, public]}
rewards: {win: {rule: win, utility: zero_sum}}
"""
BOTH = """
  - {roles: debater, phase: argument, options: [%s]}
"""
TURNS = """
  - {roles: A, phase: option, kind: choice, choices: [heads, tails], visibility: %s}
  - {roles: A, phase: argument, visibility: private}
  - {roles: B, phase: option, kind: choice, choices: [heads, tails], visibility: private}
  - {roles: debater, phase: show}
"""
QUESTION = Question("q", "?", ("first", "second"), 0)


def carries_out(state, seat, seed):
    """Speaks the plan move that it picked last; picks at random."""
    if state.current.kind == "choice":
        return random_legal(state, seat, seed)
    return Move([e.text for e in state.events if e.seat == seat and e.phase == PLAN][-1])


def said(case):
    return {statement.seat: statement.text for statement in case.statements if statement.phase != PLAN}


def beats(table):
    """A judge that compares what was said: table[own][other] is A's probability."""

    def judge(case):
        words = said(case)
        p = table[words["A"]][words["B"]]
        return [p, 1 - p]

    return ScriptedJudge(judge)


def arena(schedule, judge, rule="margin"):
    protocol = parse_protocol(parse_yaml(TEXT % schedule, "plans.yaml"), {})
    return Arena("plans", protocol, {"q": QUESTION}, (judge,), {"win": make_rule(rule)})


def sitting():
    return Agent(Policy("p", 0, "scripted"), ScriptedSpeaker(carries_out))


def solved(here, repeats=1):
    slots = plan_slots(here.protocol)
    populations, agents = forced_populations(slots, dict.fromkeys(here.protocol.seats, sitting()))
    cast = {agent.policy.id: agent for agent in agents}
    matches = list(plan_matches("plans", populations, ["q"], repeats))
    episodes = asyncio.run(play(here, matches, cast, 0))
    samples = option_samples(episodes, slots, populations, ("win",))
    return samples, solve_options(option_tree(slots, samples), np.ones((2, 1)))


BIASED = {  # A's probability; the margins are ½ of [[0, −1, 2], [1, 0, −1], [−2, 1, 0]], whose equilibrium is (¼, ½, ¼)
    "rock": {"rock": 0.5, "paper": 0.25, "scissors": 1.0},
    "paper": {"rock": 0.75, "paper": 0.5, "scissors": 0.25},
    "scissors": {"rock": 0.0, "paper": 0.75, "scissors": 0.5},
}


def test_the_equilibrium_of_a_known_plan_game_is_found_and_played():
    here = arena(BOTH % "rock, paper, scissors", beats(BIASED))
    samples, found = solved(here)
    assert samples.strategies == (("rock", "paper", "scissors"),) * 2
    expected = {"rock": 0.25, "paper": 0.5, "scissors": 0.25}
    assert found.policy == {seat: pytest.approx(expected) for seat in ("A/0", "B/0")}
    assert found.regrets == pytest.approx([0, 0], abs=1e-9) and found.payoffs == pytest.approx([0, 0], abs=1e-9)
    # Agents that take it as their prior play it; against it nothing gains.
    pulled = with_prior(sitting(), found.priors())
    matches = [Match(f"m/{i}", "plans", "q", {"A": "p-v0", "B": "p-v0"}) for i in range(2000)]
    episodes = asyncio.run(play(here, matches, {"p-v0": pulled}, 1))
    picks = [turn.option for e in episodes for turn in e.transcript.turns if turn.phase == PLAN]
    assert np.bincount(picks) / len(picks) == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


@pytest.mark.parametrize("visibility, value", [("private", 0.0), ("public", -1.0)])
def test_what_is_shown_can_be_answered(visibility, value):
    """Matching pennies: the second mover wins exactly when it sees the first one's plan."""
    pennies = {"heads": {"heads": 1.0, "tails": 0.0}, "tails": {"heads": 0.0, "tails": 1.0}}
    _, found = solved(arena(TURNS % visibility, beats(pennies), "margin"))
    assert found.payoffs[0] == pytest.approx(value, abs=1e-9)
    if visibility == "public":
        assert found.policy["B/2 after A:heads"]["tails"] == pytest.approx(1.0)
        assert found.policy["B/2 after A:tails"]["heads"] == pytest.approx(1.0)
        first = found.policy["A/0"]["heads"]
        assert found.priors()["B/2"] == pytest.approx({"heads": 1 - first, "tails": first})
    else:
        assert set(found.policy) == {"A/0", "B/2"}


def test_interests_that_are_not_opposed_are_solved_in_the_reduced_form():
    slots = plan_slots(arena(BOTH % "keep, break", beats({})).protocol)
    cells = [(0, 0), (0, 1), (1, 0), (1, 1)]
    dilemma = [[[3], [3]], [[0], [5]], [[5], [0]], [[1], [1]]]
    samples = EmpiricalGame.from_samples(cells, dilemma, None, "AB", ["win"], [["keep", "break"]] * 2)
    found = solve_options(option_tree(slots, samples), np.ones((2, 1)))
    assert found.policy == {s: pytest.approx({"keep": 0, "break": 1}) for s in ("A/0", "B/0")}
    assert "reduced normal form" in found.method and found.payoffs == pytest.approx([1, 1])


def test_states_have_the_same_name_whatever_was_skipped():
    """Numbers are those of the longest match, through nested repeats too."""
    text = """
  - {roles: A, phase: option, kind: choice, choices: [go, skip], visibility: private}
  - {roles: A, phase: extra, when: {phase: option, is: go}}
  - repeat: 2
    slots:
      - {roles: B, phase: argument, options: [keep, break]}
      - {roles: A, phase: extra, repeat: 2}
"""
    protocol = arena(text, beats({})).protocol
    expected = {(slot.number, seat) for slot in plan_slots(protocol) for seat in slot.seats}
    assert expected == {(0, "A"), (2, "B"), (6, "B")}
    for first in (0, 1):
        state, met = State(Setup(protocol, QUESTION, {"A": 0, "B": 1})), set()
        while state.current is not None:
            if is_plan(state.current):
                met.add((int(option_state(state, state.current.seats[0]).split("/")[1].split()[0]), to_move(state)[0]))
            state = step(state, {s: Move("x", first if choices(state) else None) for s in to_move(state)})
        assert met == expected


def test_repeats_and_questions_are_matches_of_their_own():
    populations = {"A": ["x", "y"], "B": ["z"]}
    ids = [m.id for m in plan_matches("a", populations, ["q", "r"], 3)]
    assert len(ids) == len(set(ids)) == 12


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_behavioural_strategies_do_what_the_mixture_does(seed):
    """Kuhn (1953), theorem 4."""
    game = random_game(seed, zero_sum=False)
    normal = game.to_normal_form()
    rng = np.random.default_rng(seed)
    profile = [rng.dirichlet(np.full(k, 0.3)) for k in normal.shape]
    policy = behavioural_policy(game, profile)
    expected = games.expected_payoffs(normal, profile)
    assert game.expected_payoffs(policy) == pytest.approx(np.asarray(expected).reshape(-1, 1))
    with pytest.raises(ValueError, match="distributions"):
        behavioural_policy(game, profile[:1])


def test_forced_agents_keep_one_batch_and_their_own_words():
    asked = []

    class Spy(ScriptedSpeaker):
        async def __call__(self, asks):
            asked.append([ask.policy for ask in asks])
            return await super().__call__(asks)

    here = arena(BOTH % "rock, paper, scissors", beats(BIASED))
    slots = plan_slots(here.protocol)
    agent = Agent(Policy("p", 3, "x"), Spy(carries_out))
    populations, agents = forced_populations(slots, {"A": agent, "B": agent})
    assert populations["A"] == populations["B"] == ["p~rock-v3", "p~paper-v3", "p~scissors-v3"]
    cast = {a.policy.id: a for a in agents}
    episodes = asyncio.run(play(here, list(plan_matches("plans", populations, ["q"])), cast, 0))
    assert asked == [["p-v3"] * 18]  # the words of all nine matches at once, asked of the policy itself
    for episode in episodes:
        spoken = [t.public for t in episode.transcript.turns if t.phase == "argument"]
        assert [f"p~{word}-v3" for word in spoken] == list(episode.match.seats.values())


def test_sizes_and_protocols_are_checked():
    here = arena(BOTH % "rock, paper, scissors", beats(BIASED))
    slots = plan_slots(here.protocol)
    assert plans_of(slots, "A") == [("rock",), ("paper",), ("scissors",)]
    assert check_size(slots, "AB", 9) == 9
    with pytest.raises(UserError, match="9 joint plans, more than 8"):
        check_size(slots, "AB", 8)
    with pytest.raises(UserError, match="no plan moves"):
        plan_slots(arena("  - {roles: debater, phase: argument}\n", beats(BIASED)).protocol)
    unknown = EmpiricalGame.from_samples(
        [(0, 0)], [[math.nan, math.nan]], None, "AB", ["win"], [["rock", "paper", "scissors"]] * 2
    )
    with pytest.raises(ValueError):
        solve_options(option_tree(slots, unknown), np.ones((2, 1)))


def test_priors_are_read_back_and_checked(tmp_path):
    path = tmp_path / "priors.json"
    path.write_text('{"A/0": {"x": 0.25, "y": 0.75}}')
    priors = read_option_priors(path)
    assert prior_at(priors, "A/0 after B:x", ["y", "x"]) == (0.75, 0.25)
    for text, says in [
        ("[]", "expected"),
        ("{", "not JSON"),
        ('{"A/0": {"x": 0.5}}', "sum to 1"),
        ('{"A/0": {"x": "1"}}', "sum to 1"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=says):
            read_option_priors(path)
    with pytest.raises(UserError, match="no such file"):
        read_option_priors(tmp_path / "none.json")
    with pytest.raises(UserError, match="no state 'B/0'"):
        prior_at(priors, "B/0", ["x", "y"])
    with pytest.raises(UserError, match="names x, y; the protocol offers x, z"):
        prior_at(priors, "A/0", ["x", "z"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        with_prior(sitting(), priors, 1.5)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=5), st.floats(0, 1))
def test_pools_stay_between_their_ends(weights, strength):
    own = tuple(w / sum(weights) for w in weights)
    fair = (1 / len(own),) * len(own)
    mixed = pool(own, fair, strength)
    assert sum(mixed) == pytest.approx(1)
    entropy = [-sum(p * math.log(p) for p in row) for row in (own, mixed, fair)]
    assert entropy[0] - 1e-9 <= entropy[1] <= entropy[2] + 1e-9
    assert pool(own, fair, 0.0) == own and pool(own, fair, 1.0) == fair


# --- the command, with the embedded model


RESAMPLES = ["--set", "tournament.questions=24", "--set", "tournament.resamples=100"]


def run(tmp_path, *more):
    from debate.cli import main

    recipe = Path(__file__).parents[2] / "runs" / "evidence_plans.yaml"
    return main(["options", str(recipe), "--out", str(tmp_path / "run"), "--questions", "24", *RESAMPLES, *more])


def test_nano_debaters_should_reveal_and_no_rollout_is_played_twice(tmp_path, capsys, monkeypatch):
    """Revealing dominates holding back: the weight that nano picks helps its own side more often than not."""
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "4 joint plans, 24 questions × 1, 96 matches" in printed
    assert "A/0: reveal 1.0000, hold 0.0000" in printed and "reveal 1.0000, hold 0.0000" in printed.split("B/")[1]
    folder = tmp_path / "run" / "options"
    for name in ("option_game.efg", "option_priors.json", "option_equilibrium.json", "equilibria.json"):
        assert (folder / name).stat().st_size > 0
    priors = read_option_priors(folder / "option_priors.json")
    assert priors["A/0"] == {"reveal": 1.0, "hold": 0.0}
    report = json.loads((folder / "option_equilibrium.json").read_text())
    assert report["nash_conv"] == pytest.approx(0.0, abs=1e-9)
    low, high = (np.array(bound) for bound in report["payoff_intervals"])
    assert (low <= list(report["payoffs"].values())).all() and (high >= list(report["payoffs"].values())).all()
    assert games.read_efg(folder / "option_game.efg").num_information_sets == 2

    async def nobody(*_):
        raise AssertionError("a stored match was played again")

    monkeypatch.setattr("debate.session.play", nobody)
    monkeypatch.setattr("games.analysis.analyse.Analysis.export", lambda *_, **__: {})  # figures take seconds
    assert run(tmp_path) == 0
    again = capsys.readouterr().out
    assert again[again.index("4 joint plans") :] == printed[printed.index("4 joint plans") :]


def test_agents_take_the_prior_from_a_recipe(tmp_path, capsys):
    """Equilibrium debaters reveal; the same agents pulled the other way hold back, and the judge never learns."""
    from debate.recipe import read_recipe
    from debate.session import open_session

    path = tmp_path / "prior.json"
    path.write_text('{"A/0": {"reveal": 0, "hold": 1}, "B/2": {"reveal": 0, "hold": 1}}')
    recipe_path = Path(__file__).parents[2] / "runs" / "evidence_plans.yaml"
    plans = [f"agents.{name}.plans={{prior: {path}}}" for name in ("alice", "bob")]
    recipe = read_recipe(recipe_path, plans)
    with open_session(recipe, tmp_path / "held") as session:
        seats = {"A": "alice-v0", "B": "bob-v0"}
        ids = session.test_ids["debate"][:10]
        episodes = list(session.play("x", [Match(f"x/{q}", "debate", q, seats) for q in ids]))
    assert all(e.failure is None and (e.rewards.values[:, 0] == 0).all() for e in episodes)
    assert {t.phase for e in episodes for t in e.transcript.turns} == {"option"}
    with (
        pytest.raises(UserError, match="explore"),
        open_session(read_recipe(recipe_path, [*plans, "training.updates=1"]), tmp_path / "learning"),
    ):
        pass


def test_mistakes_at_the_command_are_told(tmp_path, capsys):
    from debate.cli import main

    assert run(tmp_path, "--cells", "3") == 2
    assert "4 joint plans, more than 3" in capsys.readouterr().err
    assert run(tmp_path, "--repeats", "0") == 2
    quickstart = Path(__file__).parents[2] / "runs" / "quickstart.yaml"
    assert main(["options", str(quickstart), "--out", str(tmp_path / "other")]) == 2
    assert "no plan moves" in capsys.readouterr().err
