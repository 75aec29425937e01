"""Learning from stored transcripts: judged again without play, and corrected for who played them."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.data import load_questions
from debate.engines.nano.engine import nano_completer
from debate.engines.nano.model import load_model
from debate.engines.tiny import tiny_model
from debate.learning.baselines import EmaBaseline, GroupBaseline
from debate.learning.batch import TokenBatch
from debate.learning.learner import LearnerConfig, PolicyGradientLearner
from debate.learning.logprobs import to_tensors, unit_logprobs
from debate.learning.losses import Loss
from debate.learning.samples import Sample
from debate.learning.stored import (
    corrected,
    current_logprobs,
    importance,
    rejudge,
    restate,
    stored_batch,
    stored_episodes,
)
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.run.folder import RunFolder
from debate.transcript import Failure, Match, Policy, Turn
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

QUESTIONS = load_questions({"adapter": "evidence", "n": 6, "split": "test", "limit": 3}, 0)


def arena(name, questions, *judges, **parameters):
    protocol = load_protocol(name, parameters)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("arena", protocol, {q.id: q for q in questions}, judges, rules)


def evidence(judge):
    return arena("evidence_debate", QUESTIONS, judge, k=1)


@pytest.fixture(scope="module")
def episodes():
    """Nano against nano, four plays a question."""
    speaker = LanguageSpeaker(nano_completer(rows=16), "compact")
    speaker.completer.publish("alice-v0", load_model().state_dict())
    cast = {"alice-v0": Agent(Policy("alice", 0, "nano"), speaker)}
    matches = [
        Match(f"train/{q.id}/{i}", "arena", q.id, {"A": "alice-v0", "B": "alice-v0"}, group=q.id)
        for q in QUESTIONS
        for i in range(4)
    ]
    return asyncio.run(play(evidence(NaiveEvidenceJudge()), matches, cast, 0))


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("debate_simultaneous", Question("q", "Do whales breathe air?", ("yes", "no"), 0, "They surface to breathe.")),
        (
            "evidence_consultancy",
            Question("q", "Is it positive?", ("yes", "no"), 0, "", ("+2", "-1", "+4")),
        ),
        ("self_critique", Question("q", "1+1?", gold="2")),
    ],
)
def test_a_match_replays_to_where_it_ended_and_is_judged_alike(name, question):
    judge = ScriptedJudge(0)
    game = arena(name, [question], judge)
    match = Match("m", "arena", "q", dict.fromkeys(game.protocol.seats, "s-v0"))
    (played,) = asyncio.run(
        play(game, [match], {"s-v0": Agent(Policy("s", 0, "scripted"), ScriptedSpeaker(random_legal))}, 0)
    )
    state = restate(game, played.transcript)
    assert state.current is None and 0 < len(state.events) == len(played.transcript.turns)
    (again,) = asyncio.run(rejudge(game, [played]))
    assert again.verdicts == played.verdicts and again.rewards.status == played.rewards.status
    np.testing.assert_array_equal(again.rewards.values, played.rewards.values)


def test_another_judge_judges_stored_matches_and_is_asked_once(tmp_path, episodes):
    calls = []

    def contrary(case):
        calls.append(case)
        return 1

    with RunFolder.create(tmp_path / "run", "name: x", 0).store() as store:
        store.put_many(episodes)
        store.put_many([broken := failed(episodes[0])])
        found = list(stored_episodes(tmp_path / "run"))
        assert [e.match.id for e in found] == sorted(e.match.id for e in [*episodes, broken])
        game = evidence(replace_name(ScriptedJudge(contrary), "contrary"))
        once = asyncio.run(rejudge(game, found, store))
        assert len(calls) == len(episodes)
        twice = asyncio.run(rejudge(game, found, store))
        assert len(calls) == len(episodes)
        names = {name for name, _, _ in store.verdicts(episodes[0].match.id)}
        assert names == {"contrary", NaiveEvidenceJudge().name}
    for one, two in zip(once, twice, strict=True):
        assert one.verdicts == two.verdicts
        if one.match.id == broken.match.id:
            assert one.rewards is None and one.failure.kind == "timeout"
        else:
            wins = one.rewards.values[:, one.rewards.criteria.index("win")]
            assert wins[1] > wins[0]  # B defends option 1, which this judge always believes


def replace_name(judge, name):
    return replace(judge, name=name)


def failed(episode):
    match = replace(episode.match, id="train/zz")
    transcript = replace(episode.transcript, id="train/zz", error=Failure("timeout", "A", "no answer"))
    return replace(episode, match=match, transcript=transcript, verdicts=(), rewards=None)


def test_a_transcript_of_something_else_is_refused(episodes):
    transcript = episodes[0].transcript
    with pytest.raises(ValueError, match="does not have"):
        restate(arena("evidence_debate", QUESTIONS[1:], NaiveEvidenceJudge(), k=1), transcript)
    with pytest.raises(ValueError, match="has no turn of"):
        restate(arena("evidence_debate", QUESTIONS, NaiveEvidenceJudge(), k=2), transcript)
    with pytest.raises(ValueError, match="would release now"):
        restate(evidence(NaiveEvidenceJudge()), replace(transcript, released=transcript.released[:-1]))
    with pytest.raises(ValueError, match="not played to its end"):
        restate(evidence(NaiveEvidenceJudge()), failed(episodes[0]).transcript)


def test_under_the_policy_that_played_the_correction_changes_nothing(episodes):
    batch, credit = stored_batch(episodes, "alice", {"win": 1.0}, GroupBaseline())
    assert batch.rows == 2 * len(episodes) and len(credit.advantages) == batch.rows
    for level in ("token", "turn", "row"):
        found = importance(load_model(), batch, level)
        np.testing.assert_allclose(found.weights, 1.0, atol=1e-4)
        assert found.effective == pytest.approx(1, abs=1e-6) and found.truncated == 0 and found.gap < 1e-4
    np.testing.assert_allclose(corrected(batch, found).advantages, batch.advantages, rtol=1e-4)


def test_after_an_update_the_weights_move_and_versions_are_put_together(episodes):
    learner = PolicyGradientLearner(load_model(), Policy("alice", 0, "nano"), LearnerConfig(lr=3e-3))
    batch, _ = stored_batch(episodes, "alice", {"win": 1.0}, GroupBaseline())
    learner.update(batch)
    found = importance(learner.model, batch, "row", cap=1.2)
    assert found.gap > 1e-3 and found.effective < 1 and found.weights.max() <= 1.2 and found.truncated > 0
    later = [
        replace(
            e,
            match=replace(e.match, seats=dict.fromkeys("AB", "alice-v1")),
            transcript=replace(
                e.transcript,
                seats=dict.fromkeys("AB", "alice-v1"),
                turns=tuple(replace(t, policy="alice-v1") for t in e.transcript.turns),
            ),
        )
        for e in episodes[::2]
    ]
    both, _ = stored_batch([*episodes[1::2], *later], "alice", {"win": 1.0}, EmaBaseline())
    assert both.rows == batch.rows
    assert sorted(current_logprobs(learner.model, both)) == pytest.approx(sorted(found.logprobs), abs=1e-5)
    with pytest.raises(ValueError, match="'carol'"):
        stored_batch(episodes, "carol", {"win": 1.0}, GroupBaseline())


CHOICES = tuple((token,) for token in range(10, 16))
REWARDS = np.array([1.0, -0.5, 0.2, 0.0, 2.0, -1.0])


def bandit(behaviour):
    """All picks of one position, each weighted by how often the behaviour policy [K] makes it: an exact expectation."""
    samples = []
    for k, tokens in enumerate(CHOICES):
        turn = Turn("A", "debater", "s", 0, "a-v0", "", prompt_tokens=(1, 2, 3), tokens=tokens, choices=CHOICES)
        turn = replace(turn, option=k, logprobs=(math.log(behaviour[k]),))
        samples.append(Sample(f"e{k}", "p", "debater", "A", 0, "g", "a-v0", (turn,), ("r",), np.ones(1), ("ok",)))
    return TokenBatch.from_samples(samples, behaviour * REWARDS)


def gradient(model, batch):
    """Σ advantage · ∇ log π, flattened."""
    model.requires_grad_(True)
    logprobs, _ = unit_logprobs(model, to_tensors(batch))
    total = (torch.as_tensor(batch.advantages, dtype=torch.float32) * logprobs).sum()
    grads = torch.autograd.grad(total, [p for p in model.parameters() if p.requires_grad])
    return torch.cat([g.flatten() for g in grads])


@pytest.mark.parametrize("level", ["token", "turn", "row"])
def test_the_corrected_gradient_is_the_on_policy_one_and_the_uncorrected_is_not(level):
    """E_μ[π/μ · r ∇log π] = E_π[r ∇log π], summed over every pick, so exactly."""
    model = tiny_model(40, seed=3)
    behaviour = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    stored = bandit(behaviour)
    policy = np.exp(current_logprobs(model, stored))
    assert policy.sum() == pytest.approx(1, abs=1e-5) and np.abs(policy - behaviour).max() > 0.05
    wanted = gradient(model, bandit(policy))
    found = importance(model, stored, level, cap=math.inf)
    np.testing.assert_allclose(found.weights, policy / behaviour, rtol=1e-4)
    assert torch.allclose(gradient(model, corrected(stored, found)), wanted, atol=1e-4)
    raw = gradient(model, stored)
    assert torch.cosine_similarity(raw, wanted, dim=0) < 0.99
    assert not torch.allclose(raw, wanted, atol=1e-2)


def test_the_learners_own_truncation_is_the_token_level():
    """`Loss.truncate` with `compare` and `corrected` at level token make the same step."""
    stored = bandit(np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05]))
    states = []
    for own in (True, False):
        model = tiny_model(40, seed=3).requires_grad_(True)
        loss = Loss(ratio="none", average="tokens", truncate=1.5 if own else 0.0)
        learner = PolicyGradientLearner(model, Policy("a", 0, "tiny"), LearnerConfig(lr=1e-3, loss=loss, compare=own))
        learner.update(stored if own else corrected(stored, importance(model, stored, "token", cap=1.5)))
        states.append(learner.weights())
    for name, weight in states[0].items():
        torch.testing.assert_close(weight, states[1][name], atol=1e-6, rtol=1e-4)


def test_bad_levels_and_caps_are_refused(episodes):
    batch, _ = stored_batch(episodes, "alice", {"win": 1.0}, GroupBaseline())
    for level, cap in (("episode", 2.0), ("token", 0.0)):
        with pytest.raises(ValueError, match="level token, turn or row"):
            importance(load_model(), batch, level, cap)
