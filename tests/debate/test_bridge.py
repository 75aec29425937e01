"""Finite protocols as extensive games: values by exact solution, and agents read into them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import games
from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker, greedy_evidence, random_legal
from debate.bridge import as_game, policy_of
from debate.data import load_questions
from debate.errors import UserError
from debate.play import Arena
from debate.protocol.load import load_protocol, parse_protocol
from debate.questions import Question
from debate.reader import parse_yaml
from debate.transcript import Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule


def arena(name, questions, judge=None, **parameters):
    protocol = load_protocol(name, parameters)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("arena", protocol, {q.id: q for q in questions}, (judge or NaiveEvidenceJudge(),), rules)


def evidence(weights):
    return Question("q", "?", ("positive", "negative"), int(sum(weights) < 0), items=tuple(f"{w:+d}" for w in weights))


def speaks(script):
    return Agent(Policy("s", 0, "scripted"), ScriptedSpeaker(script))


@pytest.mark.parametrize("k", [1, 2])
def test_value_of_the_evidence_debate_is_the_sign_of_top_plus_bottom_k(k):
    """Under optimal play A reveals the k largest and B the k smallest weights, in sign for the ±1 payoff."""
    rng = np.random.default_rng(0)
    for _ in range(6):
        weights = sorted(rng.choice([-16, -8, -4, -2, -1, 1, 2, 4, 8, 16], 4 + (k == 1)).tolist())
        if sum(weights) == 0:
            continue
        compiled = as_game(arena("evidence_debate", [evidence(weights)], k=k), ["win"])
        value = games.sequence_form_lp(compiled.game).value
        assert value == pytest.approx(np.sign(sum(weights[:k]) + sum(weights[-k:])), abs=1e-9)


def test_optimal_play_is_an_equilibrium_and_random_play_is_not():
    questions = load_questions({"adapter": "evidence", "n": 4, "split": "test", "limit": 24}, 0)
    compiled = as_game(arena("evidence_debate", questions, k=1), ["win"])
    best = asyncio.run(policy_of(compiled, dict.fromkeys("AB", speaks(greedy_evidence))))
    assert games.nash_conv(compiled.game, best.probabilities) == pytest.approx(0.0, abs=1e-12)
    other = asyncio.run(policy_of(compiled, dict.fromkeys("AB", speaks(random_legal))))
    assert games.nash_conv(compiled.game, other.probabilities) > 0.5


def test_consultancy_decides_nothing():
    """With both assignments of every question, a consultant who plays well leaves the judge at accuracy ½."""
    questions = load_questions({"adapter": "evidence", "n": 12, "split": "test", "limit": 12}, 0)
    compiled = as_game(arena("evidence_consultancy", questions, k=2), ["win", "truth"])
    best = asyncio.run(policy_of(compiled, {"consultant": speaks(greedy_evidence)}))
    win, truth = compiled.game.expected_payoffs(best.probabilities)[0]
    assert truth == pytest.approx(0.5, abs=0.05)
    alone = compiled.game.scalarise([1.0, 0.0])
    assert games.nash_conv(alone, best.probabilities) == pytest.approx(0.0, abs=1e-12)
    assert win > 0


def test_probability_on_illegal_choices_is_taken_out_and_reported():
    class Half:
        style = "compact"

        async def __call__(self, asks):
            from debate.agents.agent import Reply
            from debate.protocol.kernel import choices

            return [Reply(option=0, probabilities=(1 / len(choices(a.state)),) * len(choices(a.state))) for a in asks]

    compiled = as_game(arena("evidence_debate", [evidence([8, 4, -2, -1])], k=1), ["win"])
    policy = asyncio.run(policy_of(compiled, dict.fromkeys("AB", Agent(Policy("h", 0, "x"), Half()))))
    for name, (seat, _) in compiled.positions.items():
        assert sum(policy.probabilities[name].values()) == pytest.approx(1.0)
        assert policy.illegal[name] == pytest.approx(0.25 if seat == "B" else 0.0)


def test_what_cannot_be_compiled_says_why():
    claim = Question("c", "?", ("yes", "no"), 0)
    with pytest.raises(UserError, match="does not declare finite: true"):
        as_game(arena("debate_simultaneous", [claim], ScriptedJudge(0)))
    failing = arena("evidence_debate", [evidence([8, 4, -2, -1])], ScriptedJudge(None), k=1)
    with pytest.raises(UserError, match="criterion not known at the end"):
        as_game(failing, ["win"])


# --- chance, conditions, what is hidden


def parsed(text, questions, judge=None):
    protocol = parse_protocol(parse_yaml(text, "test.yaml"), {})
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("test", protocol, {q.id: q for q in questions}, (judge,) if judge else (), rules)


COIN = """
name: helper_or_not
roles:
  helper: {sees: [question, options, truth]}
  sneak: {sees: [question, options, truth]}
  verifier: {sees: [question, options]}
channels:
  provers: {readers: [helper, sneak], writers: [helper, sneak]}
schedule:
  - {kind: chance, choices: [helpful, sneaky], probabilities: [%s, %s], phase: coin, channel: provers}
  - {roles: helper, kind: choice, choices: options, phase: proof, when: {phase: coin, is: helpful}}
  - {roles: sneak, kind: choice, choices: options, phase: proof, when: {phase: coin, is: sneaky}}
  - {roles: verifier, kind: decision, phase: verdict}
decision: {by: seat}
rewards: {truth: {rule: truth}}
finite: true
"""
TWINS = [Question(name, "Which?", ("x", "y"), label) for label, name in enumerate(["first", "second"])]


def test_who_cannot_see_the_truth_does_not_know_it():
    """Two questions that look alike to the verifier are one information set to it; to the provers they are two."""
    compiled = as_game(parsed(COIN % (0.7, 0.3), TWINS))
    verifier = [name for name in compiled.game.infoset_names if name.startswith("verifier|")]
    assert len(verifier) == 4  # who spoke, times what was said
    assert compiled.game.num_information_sets == 4 + 4  # each prover knows which of the two questions it is

    def honest(name, actions):
        return {actions["|second|" in name]: 1.0}

    def lying(name, actions):
        return {actions["|first|" in name]: 1.0}

    def trusting(name, actions):
        return {name.rsplit(":", 1)[1]: 1.0}

    players = {"helper": honest, "sneak": lying, "verifier": trusting}
    payoffs = compiled.game.expected_payoffs(lambda name, actions: players[name.partition("|")[0]](name, actions))
    assert payoffs[:, 0] == pytest.approx([0.7] * 3)  # right exactly when the helper spoke


STOP = """
name: stopping
roles:
  debater: {seats: [A, B], sees: [question, options, answer], answers: by_seat}
schedule:
  - repeat: 3
    until: {phase: move, any: stop}
    slots:
      - {roles: A, kind: choice, choices: [go, stop], phase: move}
      - {roles: B, kind: choice, choices: [go, stop], phase: move}
decision: {by: judge, sees: [question, public]}
rewards: {margin: {rule: margin, utility: zero_sum}}
finite: true
"""


@pytest.mark.parametrize("seed", range(5))
def test_a_game_that_either_side_may_stop_has_the_value_of_its_recursion(seed):
    chances = np.random.default_rng(seed).random(7)  # A's probability if the match ends after so many "go"

    def judge(case):
        went = sum(statement.text == "go" for statement in case.statements)
        return [chances[went], 1 - chances[went]]

    question = Question("q", "?", ("a", "b"), 0)
    compiled = as_game(parsed(STOP, [question], ScriptedJudge(judge)))
    value = 2 * chances[6] - 1
    for went in reversed(range(6)):
        stop = 2 * chances[went] - 1
        value = max(value, stop) if went % 2 == 0 else min(value, stop)
    assert games.sequence_form_lp(compiled.game).value == pytest.approx(value, abs=1e-9)
    assert compiled.game.num_information_sets == 6 and len(compiled.game.terminals) == 7


def test_chance_may_be_weighed_by_what_was_picked():
    text = """
name: bet
roles:
  debater: {seats: [A], sees: [question, options, answer], answers: by_seat}
schedule:
  - {roles: A, kind: choice, choices: ["0.2", "0.9"], phase: bold}
  - {kind: chance, choices: [win, lose], probabilities: {from: bold}, phase: coin}
decision: {by: judge, sees: [question, public]}
rewards: {margin: {rule: margin}}
finite: true
"""
    judge = ScriptedJudge(lambda case: [1.0, 0.0] if case.statements[-1].text == "win" else [0.0, 1.0])
    compiled = as_game(parsed(text, [Question("q", "?", ("a", "b"), 0)], judge))
    best = games.best_response(compiled.game, compiled.game.uniform_policy(), 0)
    assert best.value == pytest.approx(2 * 0.9 - 1)


def test_hidden_draws_of_the_rules_are_refused():
    votes = """
name: votes
roles:
  voter: {count: 2, sees: [question, options]}
schedule:
  - {roles: voter, kind: decision, phase: vote}
decision: {by: vote, ties: random}
rewards: {truth: {rule: truth}}
finite: true
"""
    with pytest.raises(UserError, match="breaks ties at random"):
        as_game(parsed(votes, TWINS))
    assert as_game(parsed(votes.replace("random", "draw"), TWINS)).game.num_information_sets == 2
