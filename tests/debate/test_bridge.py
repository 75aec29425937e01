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
from debate.protocol.load import load_protocol
from debate.questions import Question
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
