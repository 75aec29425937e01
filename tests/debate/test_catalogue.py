"""The whole catalogue: what ships is what the table promises, pays what it declares, and hides what it must."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from debate.agents.agent import Agent
from debate.agents.language import LanguageSpeaker
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.bridge import as_game
from debate.cli import main
from debate.engines.nano.engine import nano_completer
from debate.engines.nano.model import load_model, state_of
from debate.examples import find_example
from debate.play import Arena, play
from debate.protocol.kernel import Move, choices
from debate.protocol.load import load_protocol, shipped
from debate.seeds import derive
from debate.transcript import Match, Policy
from judges.judges.evidence import NaiveEvidenceJudge
from judges.judges.scripted import ScriptedJudge
from judges.rules import RULES, make_rule
from judges.types import Verdict

TABLE = [
    "direct",
    "propaganda",
    "consultancy",
    "open_consultancy",
    "double_consultancy",
    "debate_simultaneous",
    "debate_sequential",
    "debate_interactive",
    "debate_open",
    "debate_proposer",
    "proposal_critique",
    "self_critique",
    "best_of_n",
    "critique_refine",
    "consensus",
    "moderated",
    "jury",
    "prover_verifier",
    "interactive_proof",
    "multi_prover",
    "merlin_arthur",
    "legibility",
    "cross_examination",
    "recursive_debate",
    "prover_estimator",
    "doubly_efficient",
    "taboo",
    "market",
    "evidence_debate",
]
SMALL = {
    "rounds": 1,
    "rebuttals": 1,
    "questions": 1,
    "exchanges": 1,
    "depth": 1,
    "n": 2,
    "critics": 1,
    "refinements": 1,
    "agents": 2,
    "jurors": 2,
    "turns": 1,
    "steps": 2,
    "k": 1,
}
ZERO_SUM = [(n, c.name) for n in shipped() for c in load_protocol(n).rewards if c.utility == "zero_sum"]


def small(name, **changes):
    parameters = load_protocol(name).parameters
    return load_protocol(name, {k: v for k, v in {**SMALL, **changes}.items() if k in parameters})


def arena_of(name, protocol=None, judge=None):
    protocol, question = protocol or load_protocol(name), find_example(name).question
    judge = judge or (NaiveEvidenceJudge() if question.items else ScriptedJudge((0.75, 0.25)))
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return Arena("a", protocol, {question.id: question}, (judge,), rules)


def run(arena, speaker, ids=("m",), policy="s", seed=0):
    (question,) = arena.questions
    matches = [Match(i, "a", question, dict.fromkeys(arena.protocol.seats, f"{policy}-v0")) for i in ids]
    return asyncio.run(play(arena, matches, {f"{policy}-v0": Agent(Policy(policy, 0, "x"), speaker)}, seed))


def improvise(state, seat, seed):
    """Random legal picks, with random certainty where a seat decides; speeches that now and then say what counts."""
    rng = np.random.Generator(np.random.PCG64(seed))
    offered = choices(state)
    if offered:
        pick = random_legal(state, seat, seed)
        shares = rng.dirichlet(np.ones(len(offered)))
        return replace(pick, probabilities=tuple(shares)) if state.current.kind == "decision" else pick
    lines = ["It is a boat.\n#### 32", "No.\nNever.\n#### 5", "yes", "A long story\nabout eggs", ""]
    return Move(lines[rng.integers(len(lines))])


def whim(case):
    """A judge of its own mind: a random belief for each case."""
    rng = np.random.default_rng(derive(0, *(s.text for s in case.statements)))
    return tuple(rng.dirichlet(np.ones(len(case.options)))) if rng.random() < 0.8 else (0.5, 0.5)


def episodes(name, number=40):
    judge = NaiveEvidenceJudge() if find_example(name).question.items else ScriptedJudge(whim)
    arena = arena_of(name, judge=judge)
    return run(arena, ScriptedSpeaker(improvise), tuple(f"m{i}" for i in range(number)))


@pytest.fixture(scope="module")
def improvised():
    return {name: episodes(name) for name in shipped()}


def test_every_protocol_of_the_table_ships():
    assert set(TABLE) <= set(shipped())


def test_what_ships_is_in_the_docs():
    text = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert [name for name in shipped() if f"`{name}`" not in text] == []
    assert [name for name in RULES if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", shipped())
def test_what_ships_says_what_it_is(name):
    protocol = load_protocol(name)
    assert protocol.title and protocol.summary and protocol.source
    assert find_example(name) is not None
    for role in protocol.roles:
        assert role.prompt.chat and role.prompt.compact, f"{role.name} cannot be played by every engine"
    questioners = [r for r in protocol.roles if r.name == "judge" and protocol.decision.by == "judge"]
    assert not any(role.trained for role in questioners)


@pytest.mark.parametrize("name", shipped())
def test_the_published_word_limit(name):
    """100 words are asked for and up to 150 accepted, wherever a protocol has a limit."""
    for slot in load_protocol(name).slots:
        if slot.words:
            assert (slot.words, slot.most_words) == (100, 150)


def test_random_play_never_fails(improvised):
    for name, played in improvised.items():
        assert [e.failure for e in played] == [None] * len(played), name


@pytest.mark.parametrize(("name", "criterion"), ZERO_SUM)
def test_zero_sum_means_zero_sum(name, criterion, improvised):
    paid = 0
    for episode in improvised[name]:
        column = episode.rewards.criteria.index(criterion)
        values = [row[column] for row in episode.rewards.values if math.isfinite(row[column])]
        assert math.fsum(values) == pytest.approx(0.0, abs=1e-12)
        paid += bool(values)
    assert paid > 0


@pytest.mark.parametrize("name", shipped())
def test_every_criterion_is_paid_to_somebody(name, improvised):
    met = {c: False for c in load_protocol(name).criteria}
    for episode in improvised[name]:
        for row in episode.rewards.status:
            for criterion, status in zip(episode.rewards.criteria, row, strict=True):
                met[criterion] |= status == "ok"
    unknown = {criterion for criterion, paid in met.items() if not paid}
    assert unknown <= {"brevity"}  # scripts have no tokens to count


@pytest.mark.parametrize("name", [n for n in shipped() if load_protocol(n).decision.by == "judge"])
def test_a_judge_that_fails_pays_nobody(name):
    sure = run(arena_of(name, judge=ScriptedJudge((1.0, 0.0))), ScriptedSpeaker(find_example(name)))[0]
    lost = run(arena_of(name, judge=ScriptedJudge(Verdict.failed("j", "x"))), ScriptedSpeaker(find_example(name)))[0]
    other = run(arena_of(name, judge=ScriptedJudge((0.0, 1.0))), ScriptedSpeaker(find_example(name)))[0]
    assert lost.failure is not None
    moved = sure.rewards.values != other.rewards.values  # what the judge's word decides
    moved &= np.isfinite(sure.rewards.values)
    assert moved.any()
    assert np.isnan(lost.rewards.values[moved]).all()


@pytest.mark.parametrize("name", shipped())
def test_play_shows_it(name, capsys):
    assert main(["play", name]) == 0
    shown = capsys.readouterr().out
    assert f"protocol  {name}" in shown and "rewards" in shown and "failed" not in shown


def test_nano_plays_everything():
    completer = nano_completer(rows=16)
    completer.publish("nano-v0", state_of(load_model()))
    for name in shipped():
        protocol = small(name)
        protocol = protocol.with_slots(lambda slot: replace(slot, tokens=4 if slot.tokens or slot.words else 0))
        (episode,) = run(arena_of(name, protocol), LanguageSpeaker(completer, "compact", 4), policy="nano")
        assert episode.failure is None, name
        own = [turn for turn in episode.transcript.turns if turn.seat != "chance"]
        assert own and all(turn.tokens for turn in own), name
        assert any("ok" in row for row in episode.rewards.status), name


# --- what must stay hidden -------------------------------------------------------------------------------------


class Listener:
    """Plays the example (or improvises) and keeps what every seat was told."""

    style = "chat"

    def __init__(self, script):
        self.inner, self.heard = ScriptedSpeaker(script), []

    async def __call__(self, asks):
        self.heard += [(a.seat, a.state.current.phase, "\n".join(m.text for m in a.messages)) for a in asks]
        return await self.inner(asks)

    def told(self, seat, phase=None):
        return [text for who, where, text in self.heard if who == seat and phase in (None, where)]


def listen(name, script=None, ids=("m",), **parameters):
    listener = Listener(script or find_example(name))
    return listener, run(arena_of(name, load_protocol(name, parameters)), listener, ids)


def test_consultants_and_provers_in_their_rooms_never_hear_each_other():
    heard, _ = listen("double_consultancy")
    assert not any("In the last one." in text for text in heard.told("A"))
    assert not any("In its second sentence." in text for text in heard.told("B"))
    assert all(line in heard.told("judge")[-1] for line in ("In the last one.", "In its second sentence."))
    heard, _ = listen("multi_prover")
    assert not any("surface?" in text or "To breathe." in text for text in heard.told("prover_a"))
    assert not any("blowhole for?" in text or "For breathing." in text for text in heard.told("prover_b"))


def test_the_judge_of_a_double_consultancy_reads_both_rooms():
    cases = []
    arena = arena_of("double_consultancy", judge=ScriptedJudge(lambda case: cases.append(case) or (0.5, 0.5)))
    run(arena, ScriptedSpeaker(find_example("double_consultancy")))
    assert {s.seat for s in cases[0].statements} == {"A", "B", "judge"}


def test_who_is_cross_examined_remembers_the_openings_alone():
    heard, _ = listen("cross_examination")
    (answer,) = heard.told("B", "answer")
    assert "Where does the text say" in answer and "They are mammals" in answer
    assert "My opponent quotes what is not there." not in answer
    (closing,) = heard.told("B", "closing")
    assert "My opponent quotes what is not there." in closing and "It does not." in closing


def test_arthur_cannot_tell_merlin_from_morgana():
    def same(state, seat, seed):
        return random_legal(state, seat, seed) if choices(state) else Move("Trust me.")

    heard, played = listen("merlin_arthur", same, tuple(f"m{i}" for i in range(12)))
    spoke = {turn.seat for e in played for turn in e.transcript.turns if turn.phase == "proof"}
    assert spoke == {"merlin", "morgana"}
    assert len(set(heard.told("arthur"))) == 1
    assert "organa" not in heard.told("arthur")[0] and "prover" in heard.told("arthur")[0]
    for name, phase in (("merlin", "truth"), ("morgana", "wrong")):
        for episode in played:
            row = episode.rewards.seats.index(name)
            column = episode.rewards.criteria.index("helped" if phase == "truth" else "misled")
            spoken = any(turn.seat == name for turn in episode.transcript.turns)
            assert (episode.rewards.status[row][column] == "ok") == spoken


def test_the_verifier_does_not_know_which_side_the_prover_is_on():
    heard, played = listen("legibility", ids=tuple(f"m{i}" for i in range(8)))
    assert {e.transcript.turns[0].public for e in played} == {"helpful", "sneaky"}
    assert len(set(heard.told("verifier"))) == 1
    assert {("helpful" in text.split("chance")[-1]) for text in heard.told("prover")} == {True, False}


def test_secrets_votes_drafts_and_forecasts_stay_where_they_belong():
    heard, _ = listen("taboo")
    assert not any("boat" in text for text in heard.told("defender"))
    heard, _ = listen("best_of_n")
    assert not any("less 4" in text for seat in ("writer_1", "writer_3", "writer_4") for text in heard.told(seat))
    heard, _ = listen("jury")
    assert not any("pre_vote" in text for text in heard.told("A") + heard.told("B") + heard.told("juror_3"))
    cases = []
    arena = arena_of("market", judge=ScriptedJudge(lambda case: cases.append(case) or (0.5, 0.5)))
    run(arena, ScriptedSpeaker(find_example("market")))
    assert {s.phase for s in cases[0].statements} == {"argument"}


def test_proposals_are_bound_before_either_is_seen():
    heard, _ = listen("debate_proposer")
    assert not any("(proposal)" in text for text in heard.told("A", "proposal") + heard.told("B", "proposal"))
    assert "B (proposal):\nno" in heard.told("A", "argument")[0]
    assert "argue in a few sentences for: no" in heard.told("B", "argument")[0].lower()


# --- how matches end -------------------------------------------------------------------------------------------


def test_a_verifier_that_never_decides_runs_out_of_time():
    def undecided(state, seat, seed):
        return Move(option=0) if choices(state) else Move("Why?")

    _, (episode,) = listen("interactive_proof", undecided)
    assert episode.failure is None and [v.status for v in episode.verdicts] == ["abstain"]
    values = dict(zip(episode.rewards.seats, episode.rewards.values.tolist(), strict=True))
    accepted, right = (episode.rewards.criteria.index(c) for c in ("accepted", "right"))
    assert values["prover"][accepted] == 0.0 and values["verifier"][right] == -1.0
    assert sum(turn.phase in ("question", "answer") for turn in episode.transcript.turns) == 8


def test_agreement_stops_and_moderators_and_judges_may():
    assert [t.phase for t in listen("consensus")[1][0].transcript.turns].count("vote") == 6
    assert [t.phase for t in listen("moderated")[1][0].transcript.turns].count("stop") == 2
    assert [t.phase for t in listen("debate_interactive")[1][0].transcript.turns].count("question") == 1


def test_a_challenge_is_settled_by_one_step():
    _, (episode,) = listen("doubly_efficient")
    phases = [turn.phase for turn in episode.transcript.turns]
    assert phases[-2:] == ["reply", "ruling"] and phases.count("bit") == 2


def test_the_judge_of_a_recursive_debate_is_asked_about_the_leaf():
    cases = []
    arena = arena_of("recursive_debate", judge=ScriptedJudge(lambda case: cases.append(case) or (0.25, 0.75)))
    (episode,) = run(arena, ScriptedSpeaker(find_example("recursive_debate")))
    assert "Lungs need air." in cases[0].question and cases[0].options == ("holds", "fails")
    assert episode.rewards.values[:, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("name", [n for n in shipped() if load_protocol(n).finite])
def test_what_calls_itself_finite_is_a_game_that_can_be_solved(name):
    protocol = small(name)
    paid = [c for c in protocol.rewards if c.rule not in ("validity", "log_score")]
    game = as_game(arena_of(name, protocol), [c.name for c in paid]).game
    payoffs = game.expected_payoffs(game.uniform_policy())
    assert np.isfinite(payoffs).all()
    for k, criterion in enumerate(paid):
        if criterion.utility == "zero_sum":
            assert payoffs[:, k].sum() == pytest.approx(0.0, abs=1e-12)


def test_the_value_of_a_step_that_is_honest_and_accepted():
    """Alice says 3/4, Bob accepts: the output is 1 three times of four. Vera is paid nothing, at no end."""
    protocol = load_protocol("doubly_efficient", {"steps": 1})
    compiled = as_game(arena_of("doubly_efficient", protocol), ["output"])
    say = {"alice": "0.75", "bob": "accept", "vera": "holds"}
    seats = {name: seat for name, (seat, _) in compiled.positions.items()}
    policy = {s: {a: float(a == say[seats[s]]) for a in choices(state)} for s, (_, state) in compiled.positions.items()}
    assert compiled.game.expected_payoffs(policy)[:, 0].tolist() == [0.5, -0.5, 0.0]


@pytest.mark.slow
def test_a_small_language_model_plays_everything():
    """Every protocol from its YAML with SmolLM2-135M, a few tokens a speech."""
    from debate.engines.hf import hf_completer

    completer = hf_completer("smollm2-135m", dtype="bfloat16")
    completer.publish("hf-v0", completer.policies.first_state(0))
    for name in shipped():
        protocol = small(name)
        protocol = protocol.with_slots(lambda slot: replace(slot, tokens=2 if slot.tokens or slot.words else 0))
        (episode,) = run(arena_of(name, protocol), LanguageSpeaker(completer, "chat", 2), policy="hf")
        assert episode.failure is None, name
        own = [turn for turn in episode.transcript.turns if turn.seat != "chance"]
        assert own and all(turn.tokens for turn in own), name
