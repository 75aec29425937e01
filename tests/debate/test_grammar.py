"""The grammar beyond a list of slots: chance, conditions, recursion, bound answers, plan moves, copies, budgets."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from debate.agents.agent import Agent
from debate.agents.scripted import ScriptedSpeaker
from debate.errors import UserError
from debate.play import Arena, play, record
from debate.protocol.decide import seat_verdicts
from debate.protocol.kernel import (
    Move,
    Setup,
    State,
    answers,
    choices,
    claim,
    labels,
    probabilities,
    step,
    to_move,
    view,
)
from debate.protocol.load import parse_protocol
from debate.questions import Question
from debate.reader import parse_yaml
from debate.transcript import Match, Policy
from debate.views import conversation
from judges.judges.scripted import ScriptedJudge
from judges.rules import make_rule

HEAD = """\
name: small
roles:
  red: {sees: [question, options, answer, secret]}
  blue: {sees: [question, options, answer]}
  green: {sees: [question]}
"""
TAIL = """\
decision: {by: nobody}
rewards: {format: {rule: format}}
"""
WORD = Question("q", "Is it so?", ("yes", "no"), 0, "", (), "Maple")


def protocol(schedule, head=HEAD, tail=TAIL):
    text = head + "schedule:\n" + "".join(f"  - {line}\n" for line in schedule) + tail
    return parse_protocol(parse_yaml(text, "small.yaml"), {})


def begin(schedule, question=WORD, **parts):
    spec = protocol(schedule, **parts)
    return State(Setup(spec, question, dict.fromkeys(spec.seats)))


def say(state, *texts):
    """Plays one-seat slots with words, or with the choice of that text."""
    for text in texts:
        (seat,) = to_move(state)
        offered = choices(state)
        state = step(state, {seat: Move(option=offered.index(text)) if offered else Move(text)})
    return state


def phases(state):
    return [event.phase for event in state.events]


# --- the schedule as a tree ------------------------------------------------------------------------------------


def test_until_leaves_the_rest_of_the_block_and_its_further_passes():
    block = """{repeat: 3, until: {phase: stop, is: halt}, slots: [
      {roles: red, phase: talk}, {roles: green, kind: choice, choices: [go, halt], phase: stop},
      {roles: blue, phase: answer}]}"""
    state = begin([block, "{roles: red, phase: end}"])
    done = say(state, "a", "go", "b", "c", "halt", "over")
    assert phases(done) == ["talk", "stop", "answer", "talk", "stop", "end"] and done.current is None
    never = say(state, *["a", "go", "b"] * 3)
    assert never.current.phase == "end"


def test_until_of_an_inner_block_forgets_the_outer_pass_before():
    inner = """{repeat: 2, slots: [{roles: blue, phase: b}, {repeat: 3, until: {phase: stop, is: halt}, slots: [
      {roles: red, phase: talk}, {roles: green, kind: choice, choices: [go, halt], phase: stop}]}]}"""
    done = say(begin([inner]), "b", "a", "halt", "b", "a")
    assert done.current.phase == "stop", "the halt of the first pass does not end the second"


def test_when_skips_a_slot_or_a_block_and_conditions_combine():
    lines = [
        "{roles: red, kind: choice, choices: [left, right], phase: way}",
        "{roles: blue, phase: a, when: {phase: way, is: left}}",
        "{slots: [{roles: blue, phase: b}, {roles: green, phase: c}], when: {not: {phase: way, is: left}}}",
        "{roles: green, phase: d, when: {all: [{played: b}, {anyof: [{played: a}, {played: c}]}]}}",
    ]
    assert phases(say(begin(lines), "left", "x")) == ["way", "a"]
    assert say(begin(lines), "left", "x").current is None
    assert phases(say(begin(lines), "right", "x", "y", "z")) == ["way", "b", "c", "d"]


def test_agreement_of_several_seats():
    lines = [
        "{roles: [red, blue], kind: choice, choices: options, phase: vote}",
        "{roles: green, phase: same, when: {agreed: vote}}",
        "{roles: green, phase: some, when: {phase: vote, any: 'no'}}",
        "{roles: green, phase: every, when: {phase: vote, is: 'no'}}",
    ]
    for picks, expected in (((0, 0), ["same"]), ((0, 1), ["some"]), ((1, 1), ["same", "some", "every"])):
        state = step(begin(lines), {s: Move(option=o) for s, o in zip(("red", "blue"), picks, strict=True)})
        while state.current is not None:
            state = say(state, "x")
        assert phases(state)[2:] == expected


@pytest.mark.parametrize(
    ("speech", "said"),
    [("It is a MAPLE, then.", True), ("maples", False), ("ma ple", False), ("mａple!", True), ("", False)],
)
def test_the_secret_is_heard_as_a_whole_word_whatever_its_case(speech, said):
    block = (
        "{repeat: 2, until: {says: secret, role: blue}, slots: [{roles: red, phase: talk}, {roles: blue, phase: b}]}"
    )
    state = say(begin([block]), "Maple", speech)
    assert (state.current is None) is said, "red may say it: only blue's words count"


def test_a_verifier_ends_a_search_and_its_calls_are_a_budget():
    block = "{repeat: 5, until: {verified: red, verifier: exact}, slots: [{roles: red, phase: try, final: true}]}"
    state = begin([block])
    assert say(state, "oak", "Maple").current is None
    poor = begin([block], tail=TAIL + "budgets: {verifier_calls: 1}\n")
    assert say(poor, "oak", "Maple").current is not None
    assert say(poor, "Maple").current is None


def test_recursion_argues_about_the_part_that_was_picked():
    block = """{recurse: {depth: 3, into: [
      {roles: red, phase: claims, parts: 2, instruction: "Level {level}: support {claim}"},
      {roles: blue, kind: choice, choices: {parts_of: claims}, phase: pick}]}, until: {phase: claims, is: leaf}}"""
    state = begin([block, "{roles: green, phase: end, instruction: 'Judge {claim}'}"])
    assert claim(state) == "Is it so?"
    state = say(state, "1. It rains.\n\n2) It is cold.\n3. Too many.")
    assert choices(state) == ("It rains.", "It is cold.") and labels(state) == ("1", "2")
    state = say(state, "It is cold.")
    assert state.current.level == 1 and claim(state) == "It is cold."
    assert conversation(state, "red", "chat")[-1].text.startswith("Level 1: support It is cold.")
    picking = say(state, "one\ntwo")
    assert claim(picking) == "It is cold.", "the new pick counts for the next level"
    deep = say(picking, "two")
    assert deep.current.level == 2 and claim(deep) == "two"
    end = say(deep, "leaf")
    assert end.current.phase == "end" and conversation(end, "green", "chat")[-1].text == "Judge two"


def test_candidates_are_those_of_the_innermost_pass_that_played_the_phase():
    lines = [
        """{repeat: 2, slots: [{roles: red, phase: draft, repeat: 2},
      {roles: blue, kind: choice, choices: {from: draft}, phase: best}]}""",
        "{roles: green, kind: choice, choices: {from: best}, phase: last}",
        "{roles: green, kind: choice, choices: {from: draft}, phase: any}",
    ]
    state = say(begin(lines), "a", "b")
    assert choices(state) == ("a", "b")
    state = say(state, "b", "c", "c")
    assert choices(state) == ("c",), "equal texts are one candidate, and those of the last pass are gone"
    state = say(state, "c")
    assert choices(state) == ("b", "c")
    assert choices(say(state, "b")) == ("a", "b", "c")
    assert conversation(state, "green", "chat")[-1].text.endswith("by its number:\n1. b\n2. c")


def test_a_choice_with_nothing_to_pick_from_is_not_played():
    lines = [
        "{roles: red, phase: draft, when: {played: never}}",
        "{roles: blue, kind: choice, choices: {from: draft}, phase: best}",
        "{roles: green, phase: never}",
    ]
    assert phases(say(begin(lines), "x")) == ["never"]


# --- chance ----------------------------------------------------------------------------------------------------


def arena(spec, question=WORD, judge=None):
    rules = {c.name: make_rule(c.rule, **c.params) for c in spec.rewards}
    return Arena("small", spec, {question.id: question}, (judge or ScriptedJudge(0),), rules)


def run(spec, script, matches=1, seed=0, question=WORD, judge=None):
    cast = {"s-v0": Agent(Policy("s", 0, "scripted"), ScriptedSpeaker(script))}
    planned = [Match(f"m{i}", "small", question.id, dict.fromkeys(spec.seats, "s-v0")) for i in range(matches)]
    return asyncio.run(play(arena(spec, question, judge), planned, cast, seed))


def talk(state, seat, seed):
    return Move(option=0) if choices(state) else Move(f"{seat}{state.slot}")


def test_chance_is_drawn_with_its_probabilities_by_the_match_and_seen_by_its_readers_only():
    head = HEAD + "channels: {back: {readers: [red], writers: []}}\n"
    spec = protocol(
        ["{kind: chance, choices: [a, b, c], probabilities: [0.5, 0.5, 0], channel: back}", "{roles: [red, green]}"],
        head=head,
    )
    episodes = run(spec, talk, 400)
    drawn = Counter(e.transcript.turns[0].public for e in episodes)
    assert set(drawn) == {"a", "b"} and 160 < drawn["a"] < 240
    assert [e.transcript for e in episodes] == [e.transcript for e in run(spec, talk, 400)]
    assert {t.role for e in episodes for t in e.transcript.turns if t.seat == "chance"} == {"chance"}
    assert all(s.seat != "chance" for e in episodes for s in e.transcript.released)
    state = step(State(Setup(spec, WORD, dict.fromkeys(spec.seats))), {"chance": Move(option=1)})
    assert [e.text for e in view(state, "red")] == ["b"] and view(state, "green") == ()


def test_the_probability_can_be_what_somebody_picked():
    lines = [
        '{roles: red, kind: choice, choices: ["0.0", "0.3", "1"], phase: odds}',
        '{kind: chance, choices: ["1", "0"], probabilities: {from: odds}, phase: bit}',
    ]
    state = say(begin(lines), "0.3")
    assert probabilities(state) == (0.3, 0.7) and to_move(state) == ("chance",)
    with pytest.raises(UserError, match=r"choices must be numbers from 0 to 1 in quotes"):
        begin([lines[0].replace("0.3", "often"), lines[1]])
    spec = protocol(lines)
    for option, expected in ((0, "0"), (2, "1")):
        episodes = run(spec, lambda state, seat, seed, option=option: Move(option=option), 20)
        assert {e.transcript.turns[1].public for e in episodes} == {expected}


# --- answers ---------------------------------------------------------------------------------------------------


def test_an_answer_is_bound_by_a_pick_and_opposed_by_the_other_side():
    head = HEAD.replace("blue: {", "blue: {answers: opposes, opposes: red, ")
    lines = [
        "{roles: red, kind: choice, choices: options, binds: answer, phase: propose}",
        "{roles: [red, blue], phase: argue, instruction: 'You defend {answer} against {other_answer}.'}",
    ]
    state = begin(lines, head=head)
    assert set(answers(state).values()) == {None}
    state = say(state, "no")
    assert answers(state) == {"red": 1, "blue": 0, "green": None}
    assert conversation(state, "blue", "chat")[-1].text == "You defend yes against no."
    wide = Question("w", "?", ("a", "b", "c", "d"))
    spec = protocol(lines, head=head)
    held = []
    for seed in range(300):
        start = State(Setup(spec, wide, {}, seed << 40))
        held.append(answers(step(start, {"red": Move(option=2)}))["blue"])
    assert set(held) == {0, 1, 3} and min(Counter(held).values()) > 60


def test_bound_answers_are_what_the_rewards_are_about():
    head = HEAD.replace("blue: {", "blue: {answers: opposes, opposes: red, ")
    tail = (
        "decision: {by: judge}\nrewards: {win: {rule: win, utility: zero_sum}, honest: {rule: honest, roles: [red]}}\n"
    )
    spec = protocol(["{roles: red, kind: choice, choices: options, binds: answer}"], head=head, tail=tail)
    (episode,) = run(spec, lambda state, seat, seed: Move(option=1), judge=ScriptedJudge((0.2, 0.8)))
    assert dict(episode.transcript.answers) == {"red": 1, "blue": 0, "green": None}
    assert episode.rewards.values[:2, 0].tolist() == [1.0, -1.0]
    assert episode.rewards.values[0, 1] == 0.0
    assert [row[1] for row in episode.rewards.status] == ["ok", "abstain", "abstain"], "not paid is not zero"


# --- decisions -------------------------------------------------------------------------------------------------


def ballots(by, picks, extra="", schedule=("{roles: [red, blue, green], kind: decision, phase: vote}",)):
    tail = f"decision: {{by: {by}{extra}}}\nrewards: {{truth: {{rule: truth}}}}\n"
    state = begin(
        list(schedule), tail=tail, head=HEAD.replace("green: {sees: [question]}", "green: {sees: [question, options]}")
    )
    moves = {seat: Move(option=o, probabilities=p) for seat, (o, p) in picks.items()}
    return step(state, moves)


def test_a_vote_is_the_majority_and_an_equal_one_what_the_protocol_says():
    most = {"red": (0, (0.6, 0.4)), "blue": (1, (0.1, 0.9)), "green": (1, (0.2, 0.8))}
    (verdict,) = seat_verdicts(ballots("vote", most))
    assert verdict.probabilities == (0.0, 1.0) and verdict.judge == "vote"
    two = ("{roles: [red, blue], kind: decision, phase: vote}",)
    tied = {"red": (0, (1.0, 0.0)), "blue": (1, (0.0, 1.0))}
    assert seat_verdicts(ballots("vote", tied, schedule=two))[0].probabilities == (0.5, 0.5)
    assert seat_verdicts(ballots("vote", tied, ", ties: first", two))[0].probabilities == (1.0, 0.0)
    (broken,) = seat_verdicts(ballots("vote", tied, ", ties: random", two))
    assert sorted(broken.probabilities) == [0.0, 1.0]


def test_a_jury_is_the_mean_of_its_members():
    picks = {"red": (0, (0.6, 0.4)), "blue": (1, (0.1, 0.9)), "green": (1, (0.2, 0.8))}
    (verdict,) = seat_verdicts(ballots("jury", picks))
    assert verdict.probabilities == pytest.approx((0.3, 0.7)) and verdict.judge == "jury"


def test_a_decision_that_nobody_took_is_no_number():
    tail = "decision: {by: vote}\nrewards: {truth: {rule: truth}}\n"
    lines = ["{roles: red, phase: talk}", "{roles: blue, kind: decision, when: {phase: talk, is: go}}"]
    state = say(begin(lines, tail=tail), "stop")
    (verdict,) = seat_verdicts(state)
    assert state.current is None and verdict.status == "abstain" and verdict.probabilities is None


def test_a_claim_can_be_what_is_decided():
    tail = """\
decision: {by: seat, options: [accept, reject], about: red, question: "Is the answer to {question} right?"}
rewards: {truth: {rule: truth}, win: {rule: win}}
"""
    lines = ["{roles: red, kind: choice, choices: options, binds: answer}", "{roles: green, kind: decision}"]
    for held, decided in ((0, 0), (0, 1), (1, 0), (1, 1)):
        script = lambda state, seat, seed, h=held, d=decided: Move(option=h if seat == "red" else d)  # noqa: E731
        (episode,) = run(protocol(lines, tail=tail), script)
        case = episode.transcript.case()
        assert case.options == ("accept", "reject") and case.question == "Is the answer to Is it so? right?"
        state = State(Setup(protocol(lines, tail=tail), WORD, {}))
        state = step(state, {"red": Move(option=held)})
        found = record(step(state, {"green": Move(option=decided)}), episode.transcript, episode.verdicts)
        assert found.label == held, "accepting (0) is right where the answer is (0)"
        assert found.answers == (0, None, None), "red wants to be accepted"
        assert episode.rewards.values[0].tolist() == [float(held == decided), 1.0 if decided == 0 else -1.0]
        assert found.options == ("yes", "no") and found.verdicts[0].answer == decided


# --- plan moves and private thought ----------------------------------------------------------------------------

PLANS = HEAD.replace("red: {", 'red: {options: {cite: "Cite {question}", attack: {chat: Attack., compact: "!"}}, ')


def test_a_plan_move_is_an_action_of_its_own_before_the_words():
    state = begin(["{roles: red, phase: talk, options: true, instruction: Speak.}", "{roles: blue}"], head=PLANS)
    asked = conversation(state, "red", "chat")[-1].text
    assert asked == "Before you speak, choose how.\ncite: Cite Is it so?\nattack: Attack.\nPick one of: cite, attack"
    state = say(state, "attack")
    assert state.events[0].phase == "option" and state.events[0].visibility == "private"
    assert conversation(state, "red", "chat")[-1].text == "Speak.\nAttack."
    assert conversation(state, "red", "compact")[-1].text == "!"
    state = say(state, "words")
    assert [e.text for e in view(state, "blue")] == ["words"]
    shown = say(begin(["{roles: red, options: [cite, attack], show_option: true}"], head=PLANS), "cite")
    assert [e.text for e in view(shown, "blue")] == ["cite"]


def test_a_thought_comes_before_the_words_and_nobody_else_reads_it():
    state = begin(["{roles: [red, blue], phase: talk, think_tokens: 7}"])
    assert state.current.phase == "think" and state.current.tokens == 7
    state = step(state, {"red": Move("hm"), "blue": Move("oh")})
    assert state.current.phase == "talk"
    assert [e.text for e in view(state, "red")] == ["hm"] and view(state, "green") == ()


# --- memory-isolated copies ------------------------------------------------------------------------------------


def test_a_copy_knows_what_the_seat_knew_then_and_the_query():
    lines = [
        "{roles: red, phase: first}",
        "{roles: blue, phase: second}",
        "{roles: blue, phase: query}",
        "{roles: red, phase: reply, recall: first, instruction: Answer.}",
        "{roles: red, phase: last}",
    ]
    state = say(begin(lines), "one", "two", "what?")
    copy = [m.text for m in conversation(state, "red", "compact")]
    assert copy == ["", "one", "bluewhat?"] and [e.text for e in view(state, "red")] == ["one", "what?"]
    state = say(state, "so")
    main = [(m.role, m.text) for m in conversation(state, "red", "compact")]
    assert main[1:] == [("assistant", "one"), ("user", "bluetwo"), ("user", "bluewhat?"), ("user", "redso")]


def test_the_loop_gives_a_copy_the_same_conversation():
    lines = [
        "{roles: [red, blue], phase: first, instruction: Begin.}",
        "{roles: blue, phase: query}",
        "{roles: red, phase: reply, recall: first, instruction: Answer.}",
        "{repeat: 2, slots: [{roles: [red, blue], phase: more, options: true}]}",
    ]
    head = HEAD.replace("sees:", 'options: {x: "Do x", y: "Do y"}, sees:')
    seen = []

    class Checks:
        style = "chat"

        async def __call__(self, asks):
            for ask in asks:
                seen.append(ask.seat)
                assert ask.messages == conversation(ask.state, ask.seat, "chat")
            return await ScriptedSpeaker(talk)(asks)

    spec = protocol(lines, head=head)
    match = Match("m", "small", "q", dict.fromkeys(spec.seats, "s-v0"))
    (episode,) = asyncio.run(play(arena(spec), [match], {"s-v0": Agent(Policy("s", 0, "x"), Checks())}, 0))
    assert episode.failure is None and len(seen) == 12


# --- budgets ---------------------------------------------------------------------------------------------------


def test_words_beyond_the_tolerance_are_cut_and_counted():
    state = begin(["{roles: red, words: 4}", "{roles: blue, words: {limit: 2, accept: 5}}"])
    state = say(state, "a b c d e f g h", "a b c d e f")
    assert [(e.text, e.cut) for e in state.events] == [("a b c d e f", 2), ("a b c d e", 1)]


def test_quotes_beyond_the_budget_are_not_verified():
    text = Question("t", "?", material="the cat sat")
    speech = "<quote>the cat</quote> <quote>cat sat</quote> <quote>sat</quote>"
    state = say(begin(["{roles: red, quotes: 2}"], text), speech)
    assert [q.verified for q in state.events[0].quotes] == [True, True, False] and state.events[0].excess == 1
    whole = begin(["{roles: red, repeat: 2}"], text, tail=TAIL + "budgets: {quotes: 4}\n")
    assert [e.excess for e in say(whole, speech, speech).events] == [0, 2]


def test_a_seat_without_tokens_left_passes_and_that_is_counted():
    spec = protocol(["{roles: [red, blue], repeat: 3, phase: talk}"], tail=TAIL + "budgets: {tokens: 3}\n")
    (episode,) = run(spec, lambda state, seat, seed: Move("one two" if seat == "red" else "one"))
    assert episode.failure is None
    stops = {s: [t.stop_reason for t in episode.transcript.turns if t.seat == s] for s in ("red", "blue")}
    assert stops == {"red": ["stop", "stop", "budget"], "blue": ["stop"] * 3}
    assert episode.transcript.turns[4].public == ""


def test_words_of_a_match_are_a_budget_too():
    spec = protocol(["{roles: red, repeat: 3, phase: talk}"], tail=TAIL + "budgets: {words: 3}\n")
    (episode,) = run(spec, lambda state, seat, seed: Move("one two"))
    assert [(t.public, t.cut, t.stop_reason) for t in episode.transcript.turns] == [
        ("one two", 0, "stop"),
        ("one", 1, "stop"),
        ("", 0, "budget"),
    ]


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{roles: red, when: {phase: tlk, is: x}}", r"no slot has phase 'tlk' \(did you mean \"talk\"\?\)"),
        ("{roles: red, kind: choice, choices: {from: secretly}}", r"no slot has phase 'secretly'"),
        ("{roles: green, kind: choice, choices: {from: hush}}", r"choices come from 'hush', which 'green' may not see"),
        ("{roles: red, until: {played: talk}}", r"until: only what is repeated can be left early"),
        ("{roles: red, when: {phase: talk}}", r"when: field 'is' is missing"),
        ("{roles: red, when: {happened: talk}}", r"when: expected one of phase, agreed"),
        ("{roles: red, when: {not: {played: talk}, played: talk}}", r"when: expected one of .*, got not, played"),
        ("{roles: red, when: {says: secret, role: pink}}", r"'pink' is not known"),
        ("{roles: red, when: {phase: talk, is: yes}}", r"is: expected a string, got bool True"),
        ("{kind: chance, choices: [a, b], probabilities: [0.5, 0.6]}", r"2 numbers of at least 0 that sum to 1"),
        ("{kind: chance, choices: [a, b, c], probabilities: {from: talk}}", r"expected two"),
        ("{kind: chance, choices: [a, b], roles: red}", r"roles: unknown field"),
        ("{roles: red, kind: choice, choices: [a, b], binds: answer}", r"binds: only a choice among the options"),
        ("{roles: red, options: true}", r"expected at least two plan moves of red, got \[\]"),
        ("{roles: red, show_option: true}", r"show_option: there is no option to show"),
        ("{roles: red, recall: later}", r"no slot has phase 'later'"),
        ("{roles: blue, instruction: 'It is {secret}'}", r"\{secret\} is shown, but role 'blue' does not see 'secret'"),
        ("{roles: green, words: {limit: 5, accept: 4}}", r"accept: expected at least the limit, 5"),
        ("{roles: green, kind: choice, choices: options, words: 4}", r"words: a choice holds no words"),
        ("{recurse: {depth: 2, into: []}}", r"expected at least one slot"),
        ("{roles: []}", r"roles: expected at least one role or seat"),
    ],
)
def test_a_mistake_in_the_schedule_is_named(line, message):
    with pytest.raises(UserError, match=message):
        protocol(["{roles: [red, blue], phase: talk}", "{roles: red, phase: hush, visibility: private}", line])


def test_a_protocol_about_a_secret_needs_questions_that_have_one():
    spec = protocol(["{roles: blue, when: {says: secret, role: red}}", "{roles: red}"])
    with pytest.raises(UserError, match="question 'n' has none: expected its field 'gold'"):
        run(spec, talk, question=Question("n", "?"))


def test_chance_cannot_be_a_seat():
    with pytest.raises(UserError, match="no role or seat can have that name"):
        protocol(["{roles: chance}"], head=HEAD + "  chance: {}\n")


def test_slots_are_numbered_in_pre_order():
    spec = protocol(
        ["{repeat: 2, slots: [{roles: red, phase: a}, {roles: blue, phase: b}]}", "{roles: green, phase: c}"]
    )
    assert [(s.id, s.phase) for s in spec.slots] == [(0, "a"), (1, "b"), (2, "c")]
    assert [s.phase for s in spec.longest()] == ["a", "b", "a", "b", "c"]
    state = State(Setup(spec, WORD, {}))
    state = say(state, *"vwxyz")
    assert [(e.slot, e.where) for e in state.events] == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 2)]
