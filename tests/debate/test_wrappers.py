"""Best-of-N and critique-and-refine around a slot: what is said in the end, who knows of the rest, what is learned."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.agents.scripted import ScriptedSpeaker
from debate.data import load_questions
from debate.engines.nano.engine import nano_completer
from debate.engines.nano.model import load_model, state_of
from debate.errors import UserError
from debate.learning.branches import known_replies, plan_forks
from debate.learning.rows import sample_rows
from debate.learning.samples import gather, samples_of
from debate.learning.stored import restate
from debate.learning.tied import earned
from debate.play import Arena, play
from debate.protocol import drafting, kernel, knowledge
from debate.protocol.kernel import Move, State, choices, finals, released, step, to_move, view
from debate.protocol.leaks import find_leaks
from debate.protocol.load import load_protocol, parse_protocol
from debate.questions import Question
from debate.reader import parse_yaml
from debate.recipes.learning import CreditSpec
from debate.seeds import generator
from debate.theory.goodhart import best_of_n, best_of_n_bound, divergence
from debate.transcript import Match, Policy
from debate.views import conversation
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

HEAD = """\
name: wrapped
roles:
  red: {seats: [A, B], sees: [question, options, material, answer], answers: by_seat, options: {x: Do x., y: Do y.},
        prompt: {chat: "You are {seat}, for {answer}. {question}", compact: "{seat}?"}}
  blue: {sees: [question, options], prompt: {chat: "You rank. {question}", compact: "R?"}}
"""
TAIL = """\
decision: {by: judge}
rewards: {win: {utility: zero_sum}, log_score: {}, brevity: {budget: 9}, format: {}, forged: {}, moves: {rule: turns}}
"""
CLAIM = Question("q", "Do whales breathe air?", ("yes", "no"), 0, "They surface to breathe air.")


def protocol(*schedule, head=HEAD, tail=TAIL):
    text = head + "schedule:\n" + "".join(f"  - {line}\n" for line in schedule) + tail
    return parse_protocol(parse_yaml(text, "wrapped.yaml"), {})


def arena(spec, *questions, judge=(0.75, 0.25)):
    rules = {c.name: make_rule(c.rule, **c.params) for c in spec.rewards}
    return Arena("a", spec, {q.id: q for q in questions or (CLAIM,)}, (ScriptedJudge(judge),), rules)


class Ear:
    """Speaks by a script and keeps every ask."""

    def __init__(self, script, style="chat"):
        self.style, self.inner, self.asks = style, ScriptedSpeaker(script), []

    async def __call__(self, asks):
        self.asks += asks
        return await self.inner(asks)


def run(game, speaker, ids=("m",), seed=0):
    (question, *_) = game.questions
    agent = Agent(Policy("s", 0, "x"), speaker)
    matches = [Match(i, "a", question, dict.fromkeys(game.protocol.seats, agent.policy.id)) for i in ids]
    return asyncio.run(play(game, matches, {agent.policy.id: agent}, seed))


def chatter(state, seat, seed):
    """Words that are said once only; the last choice."""
    offered = choices(state)
    return Move(option=len(offered) - 1) if offered else Move(f"{seat}{state.slot} {state.current.phase}")


# --- what is played --------------------------------------------------------------------------------------------


def test_a_slot_becomes_the_steps_that_lead_to_its_words():
    spec = protocol("{roles: red, phase: talk, words: 9, best_of: {n: 3, by: blue}, refine: {critics: 2, times: 2}}")
    (episode,) = run(arena(spec), Ear(chatter))
    turns = episode.transcript.turns
    one = ["talk draft", "talk draft", *(["talk critique"] * 4 + ["talk revision"] * 2) * 2]
    assert [t.phase for t in turns] == one * 3 + ["talk pick"] * 2 + ["talk"] * 2
    assert [t.seat for t in turns[-4:]] == ["blue", "blue", "A", "B"]
    assert all(t.public == "" for t in turns[:-2])
    revisions = {seat: [t.private for t in turns if t.seat == seat and t.phase == "talk revision"] for seat in "AB"}
    picked = [revisions["A"][-1], revisions["B"][-1]]
    assert [t.public for t in turns[-2:]] == picked == [t.private for t in turns[-4:-2]]
    assert [s.text for s in episode.transcript.released] == picked
    assert [s.phase for s in episode.transcript.released] == ["talk", "talk"]


def test_without_steps_the_protocol_is_the_plain_one():
    plain = protocol(
        "{roles: red, phase: talk, words: 9}",
        "{roles: blue, kind: question, phase: ask, repeat: 2, until: {played: talk}, when: {played: talk}}",
    )
    assert plain == protocol(
        "{roles: red, phase: talk, words: 9, best_of: {n: 1, by: blue}, refine: {critics: 3, times: 0}}",
        "{roles: blue, kind: question, phase: ask, repeat: 2, until: {played: talk}, when: {played: talk},"
        " best_of: {n: 1}}",
    )
    for name in ("debate_simultaneous", "debate_sequential", "consultancy"):
        spec = load_protocol(name)
        assert not any(slot.step for slot in spec.slots) and spec.parameters["best_of"] == 1


@pytest.mark.parametrize("style", ["chat", "compact"])
def test_a_draft_is_written_as_the_speech_would_be_and_afterwards_only_the_speech_is_remembered(style):
    def talk(wrapper):
        return protocol(
            f"{{roles: red, phase: talk, options: true, words: 9, instruction: Speak., repeat: 2, {wrapper}}}",
            f"{{roles: A, phase: end, {wrapper}}}",
            "{roles: red, phase: close, instruction: Close.}",
        )

    ear = Ear(chatter, style)
    (wrapped,) = run(arena(talk("best_of: {n: 3}, refine: {times: 1, critics: 2}")), ear)
    said = {}
    for turn in wrapped.transcript.turns:
        if turn.phase in ("talk", "end", "close"):
            said.setdefault((turn.seat, turn.phase), []).append(turn.public)

    def repeat(state, seat, seed):
        if choices(state):
            return Move(option=len(choices(state)) - 1)
        return Move(
            said[seat, state.current.phase][sum(e.seat == seat for e in state.events if e.phase == state.current.phase)]
        )

    told = Ear(repeat, style)
    (plain,) = run(arena(talk("parts: 0")), told)
    expected = [(ask.seat, ask.messages) for ask in told.asks]
    drafted = [ask for ask in ear.asks if ask.state.current.step is None or ask.state.current.step.part == "draft"]
    once = [(ask.seat, ask.messages) for ask in drafted]
    assert [pair for i, pair in enumerate(once) if pair not in once[:i]] == expected
    for n in range(len(drafted) - 1):  # the three drafts of a speech read the very same
        if drafted[n].state.current.step and drafted[n].messages == drafted[n + 1].messages:
            assert drafted[n].seed != drafted[n + 1].seed
    assert plain.transcript.released == wrapped.transcript.released
    assert plain.verdicts == wrapped.verdicts
    np.testing.assert_array_equal(plain.rewards.values, wrapped.rewards.values)


def test_a_growing_conversation_is_the_one_rendered_afresh():
    spec = protocol("{roles: red, phase: talk, repeat: 2, best_of: {n: 2}, refine: {times: 2, by: [blue, red]}}")
    for style in ("chat", "compact"):
        ear = Ear(chatter, style)
        run(arena(spec), ear)
        for ask in ear.asks:
            own = [message for message in ask.messages if message.role == "assistant"]
            assert conversation(ask.state, ask.seat, style, own) == ask.messages


def test_each_step_shows_its_mover_what_it_works_on():
    spec = protocol("{roles: red, phase: talk, best_of: {n: 2, by: blue}, refine: {critics: 2, times: 1, by: blue}}")
    ear = Ear(chatter)
    run(arena(spec), ear)
    heard = {}
    for ask in ear.asks:
        heard.setdefault((ask.seat, ask.state.current.phase, ask.state.current.step.of), []).append(
            [m.text for m in ask.messages[1:-1]]
        )
    a, b = "A (talk draft):\nA0 talk draft", "B (talk draft):\nB0 talk draft"
    assert heard["A", "talk draft", ""] == [[], []]
    assert heard["blue", "talk critique", "A"][:2] == [[a], [a]]
    assert heard["blue", "talk critique", "B"][:2] == [[b], [b]]
    critiques = [f"blue (talk critique):\nblue{n} talk critique" for n in (1, 2, 3, 4)]
    assert heard["A", "talk revision", ""][0] == [a, *critiques[:2]]
    assert heard["B", "talk revision", ""][0] == [b, *critiques[2:]]
    assert heard["blue", "talk pick", "A"] == [["Draft 1:\nA5 talk revision", "Draft 2:\nA11 talk revision"]]
    pick = next(ask for ask in ear.asks if ask.state.current.phase == "talk pick")
    assert pick.messages[-1].text.endswith("Which one is best?\nPick one of the drafts by its number: 1, 2")


def test_equal_drafts_are_one_choice_and_a_seat_without_budget_passes():
    spec = protocol("{roles: red, phase: talk, best_of: {n: 3}, repeat: 2}", tail=TAIL + "budgets: {words: 2}\n")
    offered = []

    def speak(state, seat, seed):
        if choices(state):
            offered.append(choices(state))
            return Move(option=0)
        return Move("one two")

    (episode,) = run(arena(spec), Ear(speak))
    assert offered == [("one two",), ("one two",)]  # in the second round nothing is drafted, so nothing picked
    last = [turn for turn in episode.transcript.turns if turn.phase == "talk"][2:]
    assert [(turn.public, turn.stop_reason, turn.policy) for turn in last] == [("", "budget", "")] * 2


def test_critics_have_no_budget_and_nothing_to_say_where_nothing_is_drafted():
    spec = protocol(
        "{roles: blue, phase: ask}",
        "{roles: red, phase: talk, refine: {by: blue, words: 3}, repeat: 2}",
        tail=TAIL + "budgets: {words: 4}\n",
    )
    words = {"ask": "a b c d", "talk draft": "e f g h", "talk critique": "i j k l m", "talk revision": "n o p q r"}
    (episode,) = run(arena(spec), Ear(lambda state, seat, seed: Move(words[state.current.phase])))
    turns = episode.transcript.turns
    critiques = [turn.private for turn in turns if turn.phase == "talk critique"]
    assert critiques == ["i j k l", "i j k l", "", ""], "cut by the slot's own limit; then there is no draft"
    said = [(turn.public, turn.cut) for turn in turns if turn.phase == "talk"]
    assert said == [("n o p q", 1), ("n o p q", 1), ("", 0), ("", 0)]


def test_a_block_is_left_after_the_speech_and_never_before_it():
    spec = protocol(
        "{roles: blue, phase: first}",
        "{repeat: 3, until: {played: first}, slots: [{roles: A, phase: talk, best_of: {n: 2}}, {roles: B, phase: z}]}",
        "{roles: B, phase: reply, when: {not: {played: first}}, refine: {}}",
        "{repeat: 1, slots: [{roles: B, phase: never, when: {not: {played: first}}, refine: {}}]}",
        "{slots: [{roles: B, phase: never, when: {not: {played: first}}}]}",
        "{when: {played: talk}, slots: [{roles: B, phase: never, when: {played: z}, best_of: {n: 2}}]}",
        "{roles: B, phase: last, when: {phase: talk, is: A2 talk draft}, refine: {}}",
    )
    (episode,) = run(arena(spec), Ear(chatter))
    phases = [turn.phase for turn in episode.transcript.turns]
    assert phases == ["first", "talk draft", "talk draft", "talk pick", "talk", "last draft", "last critique",
                      "last revision", "last"]  # fmt: skip


def test_the_final_answer_and_quotes_are_those_of_the_picked_draft():
    spec = protocol("{roles: A, phase: talk, final: true, quotes: 1, best_of: {n: 2}}", "{roles: B, phase: end}")
    words = "<quote>breathe air</quote> and <quote>surface</quote><|im_end|>"
    state = State(replace_setup(spec))
    state = step(state, {"A": Move("nothing")})
    state = step(state, {"A": Move(words, tokens=7)})
    assert finals(state)["A"] is None and released(state) == ()
    state = step(state, {"A": Move(option=1)})
    assert to_move(state) == ("A",)
    state = step(state, {"A": Move("words that nobody drafted")})
    event = state.events[-1]
    assert finals(state)["A"] == event.text == released(state)[-1].text != "words that nobody drafted"
    assert [q.verified for q in event.quotes] == [True, False]
    assert (event.excess, event.forged, event.tokens, event.phase) == (1, 1, 7, "talk")
    assert [e.text for e in view(state, "A")] == [e.text for e in view(state, "B")] == [event.text]


def replace_setup(spec):
    from debate.protocol.kernel import Setup

    return Setup(spec, CLAIM, {"A": 0, "B": 1})


# --- nobody else knows -----------------------------------------------------------------------------------------


def test_the_leak_check_sees_steps_that_show_too_much(monkeypatch):
    spec = protocol("{roles: red, phase: talk, best_of: {n: 2}, refine: {by: blue}}", "{roles: red, phase: end}")
    assert find_leaks(spec) == []
    monkeypatch.setattr(
        knowledge, "shown", lambda protocol, events, slot, seat: tuple(drafting.preparing(protocol, events))
    )
    assert any("A is shown the move of B in slot 0, which it may not see" in line for line in find_leaks(spec))


def test_the_leak_check_sees_drafts_that_are_remembered(monkeypatch):
    spec = protocol("{roles: red, phase: talk, best_of: {n: 2}}", "{roles: red, phase: end}")
    monkeypatch.setattr(knowledge, "sees", lambda state, seat, event: event.seat == seat)
    assert any("A is shown the move of A in slot 0, which it may not see" in line for line in find_leaks(spec))


@pytest.mark.parametrize("whose", ["another seat's", "an unpicked"])
def test_the_leak_check_sees_words_of_the_wrong_draft(monkeypatch, whose):
    def wrong(protocol, events, seat):
        return drafting.outcome(protocol, events, "B") if whose != "an unpicked" else first(protocol, events, seat)

    def first(protocol, events, seat):
        return drafting.candidates(protocol, events, seat)[0]

    spec = protocol("{roles: red, phase: talk, best_of: {n: 3}}")
    monkeypatch.setattr(kernel, "outcome", wrong)
    assert any("A says in slot 5 what was not drafted, or not picked, for it" in line for line in find_leaks(spec))


def test_an_opponent_may_rank_where_the_protocol_says_so_and_still_forgets():
    spec = protocol("{roles: A, phase: talk, best_of: {n: 2, by: B}}", "{roles: B, phase: reply}")
    ear = Ear(chatter)
    (episode,) = run(arena(spec), ear)
    reply = ear.asks[-1]
    assert reply.state.current.phase == "reply"
    assert [m.text for m in reply.messages[1:-1]] == [f"A (talk):\n{episode.transcript.released[0].text}"]
    with pytest.raises(UserError, match=r"the choices come from 'talk draft', which 'B' may not see"):
        protocol("{roles: A, phase: talk, best_of: {n: 2}}", "{roles: B, kind: choice, choices: {from: talk draft}}")


# --- the same again --------------------------------------------------------------------------------------------

LONG = ("{roles: red, phase: talk, repeat: 2, tokens: 4, best_of: {n: 2}, refine: {times: 1, by: blue}}",)


@pytest.fixture(scope="module")
def nano():
    completer = nano_completer()
    completer.publish("s-v0", state_of(load_model()))
    return LanguageSpeaker(completer, "compact")


@pytest.fixture(scope="module")
def sampled(nano):
    return run(arena(protocol(*LONG)), nano, ids=("m0", "m1"))


def test_the_same_seed_the_same_match_whatever_is_played_beside(nano, sampled):
    (alone,) = run(arena(protocol(*LONG)), nano, ids=("m1",))
    assert alone.transcript == sampled[1].transcript
    (other,) = run(arena(protocol(*LONG)), nano, ids=("m1",), seed=1)
    assert other.transcript.turns != alone.transcript.turns


def test_a_stored_match_is_played_again_from_its_record(sampled):
    game = arena(protocol(*LONG))
    for episode in sampled:
        state = restate(game, episode.transcript)
        assert released(state) == episode.transcript.released
    turns = episode.transcript.turns
    pick = next(i for i, t in enumerate(turns) if t.phase == "talk pick" and len(t.choices) > 1)
    moved = replace(turns[pick], option=0 if turns[pick].option else 1)
    changed = replace(episode.transcript, turns=(*turns[:pick], moved, *turns[pick + 1 :]))
    with pytest.raises(ValueError, match="what was released is not what the protocol"):
        restate(game, changed)


# --- what is learned -------------------------------------------------------------------------------------------


def test_drafts_and_picks_are_learned_from_and_what_is_said_is_not_learned_twice(sampled):
    for episode in sampled:
        for sample in samples_of(episode, ["A", "B", "blue"]):
            phases = [turn.phase for turn in sample.turns]
            if sample.seat == "blue":
                assert phases == ["talk critique"] * len(phases)
                continue
            assert phases == (["talk draft", "talk revision"] * 2 + ["talk pick"]) * 2
            rows = sample_rows(sample)
            assert len(rows) == len(phases), "each step begins a row of its own"
            for row, turn in zip(rows, sample.turns, strict=True):
                assert row.ids[-len(turn.tokens) :] == list(turn.tokens) and sum(row.mask) == len(turn.tokens)
        said = [t for t in episode.transcript.turns if t.phase == "talk"]
        assert len(said) == 4 and all(t.policy == "" and t.logprobs is None and not t.cost.calls for t in said)
        for turn in said:
            drafts = [t for t in episode.transcript.turns if t.seat == turn.seat and t.phase == "talk revision"]
            assert any(d.tokens == turn.tokens and d.private == turn.public for d in drafts)


def test_recorded_log_probabilities_are_those_the_learner_computes(sampled):
    from debate.learning.batch import TokenBatch
    from debate.learning.logprobs import to_tensors, unit_logprobs

    samples, left_out = gather(sampled, "s-v0")
    assert not left_out
    batch = TokenBatch.from_samples(samples, np.zeros(len(samples)))
    found, _ = unit_logprobs(load_model(), to_tensors(batch))
    np.testing.assert_allclose(found.detach().numpy(), batch.old_logprobs, atol=1e-4)


def test_turns_that_earn_a_criterion_are_those_that_led_to_them():
    spec = protocol(
        "{roles: red, phase: talk, best_of: {n: 2, by: blue}}",
        "{roles: red, phase: end}",
        tail=TAIL.replace("win: {", "win: {turns: [talk], "),
    )
    assert spec.rewards[0].turns == ("talk", "talk draft", "talk pick")
    (episode,) = run(arena(spec), Ear(chatter))
    turns = [replace(t, policy="s-v0", prompt_tokens=(1,), tokens=(2,), logprobs=(-1.0,)) if t.policy else t
             for t in episode.transcript.turns]  # fmt: skip
    episode = replace(episode, transcript=replace(episode.transcript, turns=tuple(turns)))
    samples = samples_of(episode, ["A", "blue"])
    masks = earned(samples, {"wrapped": spec}, {"win"})
    assert [[mask[0] for mask in rows] for rows in masks] == [[True, True, False], [True, True]]


def test_matches_are_played_on_from_drafts_and_picks_only(nano, sampled):
    game = arena(protocol(*LONG))
    forks = plan_forks(sampled[:1], {"A": "s-v0"}, CreditSpec(estimator="branch", candidates=2), 0)
    turns = sampled[0].transcript.turns
    assert [f.slot for f in forks] == [t.slot for t in turns if t.seat == "A" and t.phase != "talk"]
    from debate.agents.replay import Replaying

    cast = Replaying({"s-v0": Agent(Policy("s", 0, "nano"), nano)}, known_replies(forks, sampled, 0))
    played = asyncio.run(play(game, [fork.match for fork in forks], cast, 0))
    for fork, episode in zip(forks, played, strict=True):
        before = [t for t in turns if t.slot < fork.slot]
        again = [t for t in episode.transcript.turns if t.slot < fork.slot]
        assert [(t.seat, t.tokens, t.public, t.private) for t in again] == [
            (t.seat, t.tokens, t.public, t.private) for t in before
        ]


# --- what it is good for ---------------------------------------------------------------------------------------

SOLVER = """\
name: solver
parameters: {n: 4}
roles:
  solver: {sees: [question, options, items]}
  ranker: {sees: [question, options, label]}
schedule:
  - {roles: solver, phase: answer, final: true, best_of: {n: $n, by: ranker}}
decision: {by: verifier, verifier: exact}
rewards: {truth: {rule: correct, verifier: exact, roles: [solver]}}
"""
LOOKED_AT = 3  # of a question's 12 weights


def sign(weights, question):
    total = sum(map(float, weights))
    return question.options[0] if total > 0 else question.options[1]


def glance(state, seat, seed):
    """Answers by a few weights, drawn for each draft; the ranker knows the truth."""
    question = state.setup.question
    if choices(state):
        right = question.options[question.label]
        return Move(option=choices(state).index(right) if right in choices(state) else 0)
    return Move(sign(generator(seed).choice(question.items, LOOKED_AT, replace=False), question))


def chance(question):
    """How often a glance is right: all triples of weights, counted."""
    right = question.options[question.label]
    found = [sign(few, question) == right for few in itertools.combinations(question.items, LOOKED_AT)]
    return sum(found) / len(found)


def accuracy(questions, n):
    spec = parse_protocol(parse_yaml(SOLVER, "solver.yaml"), {"n": n})
    agent = Agent(Policy("s", 0, "x"), ScriptedSpeaker(glance))
    matches = [Match(f"{q.id}/{n}", "a", q.id, dict.fromkeys(spec.seats, "s-v0")) for q in questions]
    episodes = asyncio.run(play(arena(spec, *questions), matches, {"s-v0": agent}, 0))
    return sum(e.rewards.values[e.rewards.seats.index("solver"), 0] for e in episodes) / len(episodes)


def test_the_best_of_four_by_a_ranker_that_knows_is_right_as_often_as_order_statistics_say():
    """P(one of n is right) = 1 − (1 − p)ⁿ on each question of the evidence set, p by enumeration.

    Picking by the truth is tilting by the reward itself: its KL from one draft is bounded by log n − (n − 1)/n.
    """
    questions = load_questions({"adapter": "evidence", "n": 12, "split": "test", "limit": 1500}, 0)
    shares = [chance(question) for question in questions]
    measured = {}
    for n in (1, 4):
        expected = [1.0 - (1.0 - p) ** n for p in shares]
        for p, q in zip(shares, expected, strict=True):
            tilted = best_of_n([1.0 - p, p], [0.0, 1.0], n)
            assert tilted[1] == pytest.approx(q)
            assert divergence(tilted, [1.0 - p, p]) <= best_of_n_bound(n) + 1e-12
        deviation = math.sqrt(sum(q * (1.0 - q) for q in expected)) / len(questions)
        measured[n] = accuracy(questions, n)
        assert measured[n] == pytest.approx(sum(expected) / len(questions), abs=4 * deviation)
    assert measured[4] > measured[1] + 0.15


# --- in a recipe -----------------------------------------------------------------------------------------------

RECIPE = """\
name: wrapped
agents:
  alice: {kind: nano, learning_rate: 1e-2, rows: 16, weights: {brevity: 1}}
arenas:
  solve:
    protocol: solver.yaml
    parameters: {n: 2, times: 1}
    seats: {solver: alice}
    data: {adapter: evidence, n: 4, train: {split: train, limit: 64}, test: {split: test, limit: 4}}
training: {updates: 2, groups: 2, group_size: 2, baseline: group}
evaluation: {questions: 2}
"""
TRAINED = """\
name: solver
parameters: {n: 1, times: 0}
roles:
  solver: {sees: [question, options, items], prompt: {chat: "{items}", compact: "{items}"}}
schedule:
  - {roles: solver, phase: answer, tokens: 4, final: true, best_of: {n: $n}, refine: {times: $times}}
decision: {by: verifier, verifier: exact}
rewards: {truth: {rule: correct, verifier: exact}, brevity: {budget: 4}}
"""


def test_a_recipe_sets_how_many_drafts_and_its_run_resumes(tmp_path):
    from debate.dry_run import per_match
    from debate.recipe import read_recipe
    from debate.run.folder import RunFolder
    from debate.train import train

    (tmp_path / "solver.yaml").write_text(TRAINED)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "recipe.yaml", [])
    train(recipe, tmp_path / "straight")

    class Stop(Exception):
        pass

    class Interrupts:
        def start(self, stage, total):
            self.stage, self.done = stage, 0

        def advance(self, steps=1, note=""):
            self.done += steps
            if self.stage == "train" and self.done == 1:
                raise Stop

        def say(self, line):
            pass

    with pytest.raises(Stop):
        train(recipe, tmp_path / "stopped", progress=Interrupts())
    train(recipe, tmp_path / "stopped", resume=True)
    runs = []
    for name in ("straight", "stopped"):
        folder = RunFolder.open(tmp_path / name)
        with folder.store(read_only=True) as store:
            runs.append({e.match.id: (e.transcript, e.rewards.values.tolist()) for e in store.episodes()})
        runs.append([{k: v for k, v in row.items() if k != "seconds"} for row in folder.read_log()])
    assert runs[0] == runs[2] and runs[1] == runs[3]
    calls, _ = per_match(recipe, recipe.arenas[0])
    assert {sum(t.cost.calls for t in transcript.turns) for transcript, _ in runs[0].values()} == {calls} == {7}
    updates = [row for row in runs[1] if "rows" in row]
    assert len(updates) == 2
    for row in updates:
        assert row["rows"] == 28 and row["sampler_gap"] < 1e-5 and row["excluded"] == {}


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{roles: red, best_of: {n: 0}}", r"\.best_of\.n: expected a whole number of at least 1"),
        ("{roles: red, best_of: 4}", r"\.best_of: expected a mapping, got int 4"),
        ("{roles: red, best_of: {}}", r"\.best_of: field 'n' is missing: expected a whole number"),
        ("{roles: red, best_of: {n: 2, by: red}}", r"best_of\.by: one seat picks: expected one of A, B, got the role"),
        ("{roles: red, best_of: {n: 2, by: blu}}", r"best_of\.by: 'blu' is not known \(did you mean \"blue\"\?\)"),
        ("{roles: red, best_of: {n: 2, m: 1}}", r"best_of\.m: unknown field"),
        ("{roles: red, best_of: {n: 2, by: blue, instruction: '{material}'}}", r"role 'blue' does not see 'material'"),
        ("{roles: red, best_of: {n: 2, instruction: '{x}'}}", r"best_of\.instruction: unknown placeholder \{x\}"),
        ("{roles: red, refine: {critics: 0}}", r"refine\.critics: expected a whole number of at least 1, got 0"),
        ("{roles: red, refine: {times: -1}}", r"refine\.times: expected a whole number of at least 0, got -1"),
        ("{roles: red, refine: {times: two}}", r"refine\.times: expected a whole number, got str 'two'"),
        ("{roles: red, refine: {by: green}}", r"refine\.by\[0\]: 'green' is not known"),
        ("{roles: red, refine: {tokens: 0}}", r"refine\.tokens: expected a whole number of at least 1"),
        ("{roles: blue, refine: {revision: '{answer}'}}", r"refine\.revision: \{answer\} is shown, but role 'blue'"),
        ("{roles: red, kind: decision, best_of: {n: 2}}", r"best_of: a decision holds no words: expected kind: speech"),
        ("{roles: red, kind: choice, choices: options, refine: {}}", r"refine: a choice holds no words"),
        ("{kind: chance, choices: [a, b], best_of: {n: 2}}", r"\.best_of: a chance holds no words"),
        ("{roles: red, recall: speech, refine: {}}", r"refine: a copy that forgot cannot draft first"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_field_and_what_was_expected(line, message):
    with pytest.raises(UserError, match=rf"^wrapped\.yaml:7: schedule\[0\].*{message}"):
        protocol(line)
