"""Supervised warm start: which tokens bear loss, where the ids come from, and what TRL does with them."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.agents.scripted import ScriptedSpeaker, greedy_evidence, random_legal
from debate.data import load_questions
from debate.engines.adapters import AdapterPolicies, AdapterSpec
from debate.engines.chat_format import ChatFormat
from debate.engines.hf import completer_over
from debate.engines.shapes import Shapes
from debate.engines.tiny import tiny_model, tiny_tokenizer
from debate.errors import UserError
from debate.learning.adapter_learner import AdapterLearner
from debate.learning.expert_iteration import LIKELIHOOD, imitate
from debate.learning.learner import LearnerConfig
from debate.learning.samples import gather
from debate.learning.trl_trainers import Settings
from debate.learning.warm_start import (
    IGNORED,
    conversation_rows,
    demonstration_rows,
    read_conversations,
    sampled_rows,
    warm_start,
)
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.transcript import Match, Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule
from judges.types import Message

SPEC = AdapterSpec(rank=4, targets="all-linear")
CHAT = ChatFormat(tiny_tokenizer())
TALK = (Message("system", "s"), Message("user", "hi"), Message("assistant", "yes"), Message("user", "why"))


def arena(name, questions, judge, **parameters):
    protocol = load_protocol(name, parameters)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("arena", protocol, {q.id: q for q in questions}, (judge,), rules)


def words(row):
    return CHAT.decode([label for label in row["labels"] if label != IGNORED])


def test_the_assistants_words_and_their_ends_bear_the_loss_in_the_engines_own_format():
    (row,) = conversation_rows([*TALK, Message("assistant", "so")], CHAT)
    spoken = [*CHAT.continuation("yes"), *CHAT.continuation("so")]
    assert [label for label in row["labels"] if label != IGNORED] == spoken
    assert all(label in (IGNORED, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))
    said = Message("assistant", "yes", CHAT.continuation("yes"))
    asked = CHAT.encode([*TALK[:2], said, TALK[3]])
    assert row["input_ids"] == [*asked, *CHAT.continuation("so")]


def test_a_template_that_renders_anew_gives_a_row_for_each_message():
    counting = "{{ messages | length }}" + tiny_tokenizer().chat_template
    chat = ChatFormat(tiny_tokenizer(counting))
    assert not chat.prefix_preserving
    rows = conversation_rows([*TALK, Message("assistant", "so")], chat)
    assert [sum(label != IGNORED for label in row["labels"]) for row in rows] == [4, 3]


def test_demonstrations_of_scripts_are_rendered_as_a_model_would_have_read_them():
    questions = load_questions({"adapter": "evidence", "n": 4, "split": "test", "limit": 2}, 0)
    game = arena("evidence_debate", questions, NaiveEvidenceJudge(), k=1)
    cast = {"s-v0": Agent(Policy("s", 0, "scripted"), ScriptedSpeaker(greedy_evidence))}
    matches = [Match(q.id, "arena", q.id, {"A": "s-v0", "B": "s-v0"}) for q in questions]
    episodes = asyncio.run(play(game, matches, cast, 0))
    rows = demonstration_rows(game, episodes, ["B"], CHAT)
    assert len(rows) == 2
    for row, episode in zip(rows, episodes, strict=True):
        assert words(row) == episode.transcript.turns[1].public
        text = CHAT.decode(row["input_ids"])
        assert f"A (pick):\n{episode.transcript.turns[0].public}" in text or episode.transcript.turns[0].public in text


def spoken_samples():
    """Two plays of a tiny model that speaks freely."""
    model = tiny_model(len(tiny_tokenizer()), context=2048)
    engine = completer_over(model, tiny_tokenizer(), SPEC, Shapes(2, 1, False))
    engine.publish("a-v0", engine.policies.first_state(0))
    question = Question("q", "1+1?", gold="2")
    game = arena("critique_refine", [question], ScriptedJudge(0), critics=1)
    cast = {"a-v0": Agent(Policy("a", 0, "tiny"), LanguageSpeaker(engine, "chat", max_tokens=3))}
    cast["s-v0"] = Agent(Policy("s", 0, "scripted"), ScriptedSpeaker(random_legal))
    matches = [Match(f"m{i}", "arena", "q", {"writer": "a-v0", "critic": "s-v0"}, group="q") for i in range(2)]
    game = replace(game, protocol=short(game.protocol))
    samples, excluded = gather(asyncio.run(play(game, matches, cast, 0)), "a-v0")
    assert len(samples) == 2, excluded
    return samples


def short(protocol):
    return protocol.with_slots(lambda slot: replace(slot, tokens=3))


def test_recorded_plays_are_imitated_with_the_ids_that_were_sampled():
    samples = spoken_samples()
    rows = sampled_rows(samples)
    for sample, row in zip(samples, rows, strict=True):
        assert [t for t in row["labels"] if t != IGNORED] == [i for turn in sample.turns for i in turn.tokens]


def test_trls_step_is_the_step_of_our_own_likelihood_learner():
    """One AdamW step on the same tokens from the same adapter; TRL's loss is the mean negative log-likelihood."""
    samples = spoken_samples()
    base = tiny_model(len(tiny_tokenizer()), context=2048)
    start = AdapterPolicies(tiny_model(len(tiny_tokenizer())), SPEC).first_state(1)
    trained = warm_start(base, tiny_tokenizer(), sampled_rows(samples), SPEC, start, Settings(1e-3, steps=1, rows=2))
    host = AdapterPolicies(base, SPEC)
    learner = AdapterLearner(host, Policy("a", 0, "tiny"), LearnerConfig(lr=1e-3, loss=LIKELIHOOD), start)
    metrics = imitate(learner, samples)
    assert trained.log[0]["loss"] == pytest.approx(metrics["loss"], abs=2e-3)
    assert metrics["loss"] == pytest.approx(
        -np.mean([x for s in samples for t in s.turns for x in t.logprobs]), abs=1e-3
    )
    moved = 0.0
    for name, weight in learner.weights().items():
        torch.testing.assert_close(trained.state[name], weight, atol=2e-5, rtol=0)
        moved = max(moved, float((weight - start[name]).abs().max()))
    assert moved > 5e-4


def test_a_warm_start_makes_the_engine_say_it():
    model = tiny_model(len(tiny_tokenizer()))
    rows = conversation_rows([*TALK[:2], Message("assistant", "yes")], CHAT)
    settings = Settings(lr=2e-2, steps=15, rows=1)
    trained = warm_start(model, tiny_tokenizer(), rows, SPEC, settings=settings)
    losses = [row["loss"] for row in trained.log if "loss" in row]
    assert losses[-1] < losses[0] / 2
    engine = completer_over(tiny_model(len(tiny_tokenizer())), tiny_tokenizer(), SPEC, Shapes(2, 1, False))
    engine.publish("alice-v1", trained.state)
    from judges.types import Request

    asks = [Request(TALK[:2], choices=("yes",), policy=policy) for policy in ("", "alice-v1")]
    bare, warm = (c.choices[0].logprob for c in asyncio.run(engine(asks)))
    assert warm > bare + 1 and math.isfinite(warm)


def test_conversations_are_read_from_jsonl_and_what_is_wrong_is_said(tmp_path):
    path = tmp_path / "talk.jsonl"
    given = [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]},
        {"prompt": "why", "completion": "so"},
    ]
    path.write_text("".join(json.dumps(row) + "\n\n" for row in given))
    first, second = read_conversations(path)
    assert first == (Message("user", "hi"), Message("assistant", "yes"))
    assert second == (Message("user", "why"), Message("assistant", "so"))
    for line, message in (
        ("{", "not JSON"),
        ('{"text": "x"}', "expected"),
        ('{"messages": [{"role": "judge", "content": "x"}]}', "role"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "nothing to imitate"),
        ("", "no conversations"),
    ):
        path.write_text(line + "\n")
        with pytest.raises(UserError, match=message):
            read_conversations(path)
    with pytest.raises(UserError, match="no such file"):
        read_conversations(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="row 0 has no token"):
        warm_start(None, None, [{"input_ids": [1], "labels": [IGNORED]}], SPEC)
