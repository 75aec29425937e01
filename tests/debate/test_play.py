"""The turn loop: what it records, what it does with failures, and that company changes nothing."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from debate.agents.agent import Agent, Reply
from debate.agents.human import HumanSpeaker
from debate.agents.language import LanguageSpeaker, draw, softmax
from debate.agents.scripted import ScriptedSpeaker, greedy_evidence, random_legal
from debate.data import load_questions
from debate.play import Arena, assign, play
from debate.protocol.kernel import Move
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.transcript import Failure, Match, Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule
from judges.types import Choice, Completion

CLAIM = Question("c", "Do whales breathe air?", ("yes", "no"), 0, "They surface to breathe air.")


def arena(name, questions, judge, **parameters):
    protocol = load_protocol(name, parameters)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("arena", protocol, {q.id: q for q in questions}, (judge,), rules)


def cast(**speakers):
    return {f"{n}-v0": Agent(Policy(n, 0, "scripted"), speaker) for n, speaker in speakers.items()}


def evidence(script, count, n=12, **parameters):
    questions = load_questions({"adapter": "evidence", "n": n, "split": "test", "limit": count}, 0)
    game = arena("evidence_debate", questions, NaiveEvidenceJudge(), **parameters)
    matches = [Match(f"m/{q.id}", "arena", q.id, {"A": "s-v0", "B": "s-v0"}) for q in questions]
    return asyncio.run(play(game, matches, cast(s=ScriptedSpeaker(script)), 0))


def test_accuracy_of_optimal_and_of_random_play_of_the_evidence_debate():
    """Known values for n = 12, k = 2, weights ±{1, 2, 4, 8, 16}: optimal .841, random legal .698, 19.5 % ties."""
    count = 4000
    optimal = evidence(greedy_evidence, count)
    assert sum(e.rewards.values[0, 1] for e in optimal) / count == pytest.approx(0.841, abs=0.02)
    assert sum(e.verdicts[0].answer is None for e in optimal) / count == pytest.approx(0.195, abs=0.025)
    random = evidence(random_legal, count)
    assert sum(e.rewards.values[0, 1] for e in random) / count == pytest.approx(0.698, abs=0.025)


def test_win_is_zero_sum_as_declared():
    for episode in evidence(random_legal, 200):
        assert episode.rewards.values[0, 0] + episode.rewards.values[1, 0] == 0.0


def test_an_illegal_reveal_is_worth_nothing_and_counts_against_validity():
    question = Question("q", "?", ("positive", "negative"), 0, items=("+8", "-2", "+4", "-1"))
    first = ScriptedSpeaker(lambda state, seat, seed: Move(option=0))
    game = arena("evidence_debate", [question], NaiveEvidenceJudge())
    match = Match("m", "arena", "q", {"A": "s-v0", "B": "s-v0"})
    (episode,) = asyncio.run(play(game, [match], cast(s=first), 0))
    assert [turn.legal for turn in episode.transcript.turns] == [True, False, False, False]
    shown = float(episode.transcript.turns[0].public)
    assert episode.verdicts[0].scores["evidence"] == shown
    assert episode.rewards.values[:, 2].tolist() == [0.5, 0.0]


def test_simultaneous_speakers_cannot_see_each_other():
    seen = {}

    def speak(state, seat, seed):
        from debate.views import conversation

        seen[state.slot, seat] = "\n".join(m.text for m in conversation(state, seat, "chat"))
        return Move(f"secret{state.slot}{seat}")

    game = arena("debate_simultaneous", [CLAIM], ScriptedJudge(0))
    match = Match("m", "arena", "c", {"A": "s-v0", "B": "s-v0"})
    asyncio.run(play(game, [match], cast(s=ScriptedSpeaker(speak)), 0))
    for (slot, seat), text in seen.items():
        other = "B" if seat == "A" else "A"
        assert f"secret{slot}{other}" not in text
        assert all(f"secret{earlier}{other}" in text for earlier in range(slot))


def test_results_do_not_depend_on_what_is_played_beside():
    together = {e.match.id: e.transcript for e in evidence(random_legal, 20)}
    questions = load_questions({"adapter": "evidence", "n": 12, "split": "test", "limit": 20}, 0)
    game = arena("evidence_debate", questions, NaiveEvidenceJudge())
    for q in questions[::-3]:
        match = Match(f"m/{q.id}", "arena", q.id, {"A": "s-v0", "B": "s-v0"})
        (alone,) = asyncio.run(play(game, [match], cast(s=ScriptedSpeaker(random_legal)), 0))
        assert alone.transcript == together[match.id]


class Broken:
    """Fails on every second ask."""

    style = "compact"

    async def __call__(self, asks):
        return [
            Reply(stop_reason="error", failure=Failure("timeout", ask.seat, "no answer")) if i % 2 else Reply(option=0)
            for i, ask in enumerate(asks)
        ]


def test_a_failed_turn_ends_its_match_and_no_other_and_becomes_no_reward():
    questions = load_questions({"adapter": "evidence", "n": 12, "split": "test", "limit": 4}, 0)
    game = arena("evidence_debate", questions, NaiveEvidenceJudge(), k=1)
    matches = [Match(f"m{i}", "arena", q.id, {"A": "bad-v0", "B": "ok-v0"}) for i, q in enumerate(questions)]
    episodes = asyncio.run(play(game, matches, cast(bad=Broken(), ok=ScriptedSpeaker(greedy_evidence)), 0))
    assert [e.failure is None for e in episodes] == [True, False, True, False]
    for episode in episodes[1::2]:
        assert episode.rewards is None and episode.failure.kind == "timeout"
        assert len(episode.transcript.turns) == 1 and episode.transcript.released == ()


def test_a_judge_that_fails_leaves_rewards_unknown():
    game = arena("debate_simultaneous", [CLAIM], ScriptedJudge(lambda case: 1 / 0), rounds=1)
    match = Match("m", "arena", "c", {"A": "s-v0", "B": "s-v0"})
    (episode,) = asyncio.run(play(game, [match], cast(s=ScriptedSpeaker(random_legal)), 0))
    assert episode.failure.kind == "verdict"
    status = dict(zip(episode.rewards.criteria, episode.rewards.status[0], strict=True))
    assert status["win"] == "error" and status["format"] == "ok"
    assert math.isnan(episode.rewards.values[0, 0])


def test_a_drawn_answer_is_fair_and_fixed_by_the_match():
    protocol, question = load_protocol("evidence_consultancy"), CLAIM
    drawn = [assign(protocol, question, Match(f"m{i}", "a", "c", {}), 0)["consultant"] for i in range(400)]
    assert drawn == [assign(protocol, question, Match(f"m{i}", "a", "c", {}), 0)["consultant"] for i in range(400)]
    assert 150 < sum(drawn) < 250
    assert assign(protocol, question, Match("m0", "a", "c", {}, {"consultant": 1}), 0) == {"consultant": 1}


class Scores:
    """Scores choices 0, −1, −2, … and keeps the requests."""

    def __init__(self):
        self.requests = []

    async def __call__(self, requests):
        self.requests += requests
        return [
            Completion(
                prompt_tokens=tuple(range(len(r.messages))),
                choices=tuple(Choice(text, (100 + i,), -float(i)) for i, text in enumerate(r.choices)),
            )
            for r in requests
        ]


def test_a_pick_is_drawn_from_the_scores_and_recorded_with_its_probability():
    questions = load_questions({"adapter": "evidence", "n": 12, "split": "test", "limit": 300}, 0)
    game = arena("evidence_debate", questions, NaiveEvidenceJudge(), k=1)
    engine = Scores()
    matches = [Match(f"m{i}", "arena", q.id, {"A": "a-v0", "B": "a-v0"}) for i, q in enumerate(questions)]
    episodes = asyncio.run(play(game, matches, cast(a=LanguageSpeaker(engine, "compact")), 0))
    first = [e.transcript.turns[0] for e in episodes]
    for turn, question in zip(first, questions, strict=True):
        p = softmax([-float(i) for i in range(len(set(question.items)))])
        assert turn.logprobs == (math.log(p[turn.option]),)
        assert turn.tokens == (100 + turn.option,) and len(turn.choices) == len(p)
    share = sum(turn.option == 0 for turn in first) / len(first)
    assert share == pytest.approx(1 - math.exp(-1), abs=0.1)
    assert {r.policy for r in engine.requests} == {"a-v0"}
    assert len({r.seed for r in engine.requests}) == len(engine.requests)


class Talks:
    """Says one word; a prompt grows by what was read, or is rendered anew every second time."""

    def __init__(self, fresh):
        self.fresh, self.calls = fresh, 0

    async def __call__(self, requests):
        answers = []
        for r in requests:
            self.calls += 1
            ids = [m.tokens or tuple(m.text.encode()) for m in r.messages]
            prompt = [t for part in ids for t in part]
            if self.fresh and self.calls % 2 == 0:
                prompt = [7, *prompt]
            answers.append(Completion("word", (1, 2), (-0.5, -0.25), tuple(prompt)))
        return answers


@pytest.mark.parametrize("fresh", [False, True])
def test_rows_concatenate_to_the_prompt_that_was_read(fresh):
    game = arena("critique_refine", [Question("s", "1+1?", gold="2")], ScriptedJudge(0), critics=1)
    match = Match("m", "arena", "s", {"writer": "a-v0", "critic": "s-v0"})
    seated = cast(a=LanguageSpeaker(Talks(fresh)), s=ScriptedSpeaker(random_legal))
    (episode,) = asyncio.run(play(game, [match], seated, 0))
    turns, row = [turn for turn in episode.transcript.turns if turn.seat == "writer"], []
    for turn in turns:
        if turn.fresh:
            row = []
        row += [*turn.prompt_tokens, *turn.tokens]
    assert [turn.fresh for turn in turns] == ([False, True, True] if fresh else [False] * 3)
    assert row[-2:] == [1, 2] and row.count(1) >= 3


def test_a_person_is_asked_again_until_the_answer_is_a_choice():
    questions = load_questions({"adapter": "evidence", "n": 4, "split": "test", "limit": 1}, 0)
    lines, told = iter(["x", "99", "1", "2"]), []
    game = arena("evidence_debate", questions, NaiveEvidenceJudge(), k=1)
    match = Match("m", "arena", questions[0].id, {"A": "me-v0", "B": "me-v0"})
    speaker = HumanSpeaker(ask=lambda prompt: next(lines), tell=told.append)
    (episode,) = asyncio.run(play(game, [match], cast(me=speaker), 0))
    assert [turn.option for turn in episode.transcript.turns] == [0, 1]
    assert any("is not a number from 1" in line for line in told)


def test_the_end_of_input_is_a_failure_of_the_match():
    def closed(prompt):
        raise EOFError

    questions = load_questions({"adapter": "evidence", "n": 4, "split": "test", "limit": 1}, 0)
    game = arena("evidence_debate", questions, NaiveEvidenceJudge(), k=1)
    match = Match("m", "arena", questions[0].id, {"A": "me-v0", "B": "me-v0"})
    (episode,) = asyncio.run(play(game, [match], cast(me=HumanSpeaker(closed, lambda line: None)), 0))
    assert episode.failure.kind == "human"


def test_draw_covers_rounding():
    assert draw((0.5, 0.5), (1 << 63) - 1) == 1
    assert draw((1.0, 0.0), (1 << 63) - 1) == 0
    assert replace(CLAIM, label=None).label is None
