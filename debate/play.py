"""The only turn loop: plays planned matches to judged episodes.

All live episodes advance together; the seats to move in all of them are asked in one batch for each speaker. A move's
randomness is named by (run seed, match, slot, seat), so the result does not depend on what is played beside it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from debate.acts import acts_of
from debate.agents.agent import Agent, Ask, Reply
from debate.protocol.kernel import Move, Setup, State, finals, released, step, to_move, view
from debate.protocol.spec import DebateProtocol
from debate.questions import Question
from debate.seeds import derive, unit
from debate.text_games.protocol import GameProtocol
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from debate.views import news, opening
from judges.rewards import RewardRule, measure_rewards
from judges.types import Case, Cost, Judge, Message, Record, Verdict


@dataclass(frozen=True)
class Arena:
    """A game as a recipe sets it up.

    Attributes:
        name: in the recipe.
        protocol: what is played.
        questions: by id.
        judges: who decides, where the protocol leaves it to judges.
        rules: criterion → reward rule.
    """

    name: str
    protocol: DebateProtocol
    questions: Mapping[str, Question]
    judges: tuple[Judge, ...]
    rules: Mapping[str, RewardRule]


@dataclass
class _Live:
    """One match in progress. `rows` holds the ids of each seat's current training row."""

    match: Match
    state: State
    messages: dict[str, list[Message]]
    told: dict[str, int]
    rows: dict[str, list[int]]
    turns: list[Turn] = field(default_factory=list)
    failure: Failure | None = None


async def play(arena: Arena, matches: Sequence[Match], cast: Mapping[str, Agent], seed: int) -> list[Episode]:
    """Plays matches of one arena.

    Args:
        arena: the game.
        matches: what to play; episodes come back in this order.
        cast: policy id → agent.
        seed: the run's seed.

    Raises:
        KeyError: a match names a question or a policy that is not there.
    """
    if isinstance(arena.protocol, GameProtocol):
        from debate.text_games.play import play_games

        return await play_games(arena, matches, cast, seed)
    live = [_start(arena, match, cast, seed) for match in matches]
    waiting = live
    while waiting := [one for one in waiting if one.failure is None and one.state.current is not None]:
        await _advance(waiting, cast, seed)
    return await _judge(arena, live, seed)


def assign(protocol: DebateProtocol, question: Question, match: Match, seed: int) -> dict[str, int | None]:
    """Seat → index of the option it must defend, by the match's plan, else by the role's rule."""
    answers: dict[str, int | None] = {}
    for role in protocol.roles:
        for index, seat in enumerate(role.seats):
            if role.answers == "none" or not question.options:
                answers[seat] = None
            elif seat in match.answers:
                answers[seat] = match.answers[seat]
            elif role.answers == "by_seat":
                answers[seat] = index % len(question.options)
            else:
                answers[seat] = int(unit(derive(seed, match.id, seat, "answer")) * len(question.options))
    return answers


def _start(arena: Arena, match: Match, cast: Mapping[str, Agent], seed: int) -> _Live:
    question = arena.questions[match.question_id]
    protocol = arena.protocol
    setup = Setup(protocol, question, assign(protocol, question, match, seed))
    seats = protocol.seats
    first = {seat: [opening(setup, seat, cast[match.seats[seat]].speaker.style)] for seat in seats}
    return _Live(match, State(setup), first, dict.fromkeys(seats, 0), {seat: [] for seat in seats})


async def _advance(waiting: Sequence[_Live], cast: Mapping[str, Agent], seed: int) -> None:
    """Plays one slot of every waiting match."""
    queues: dict[int, tuple[Agent, list[tuple[_Live, Ask]]]] = {}
    for one in waiting:
        for seat in to_move(one.state):
            agent = cast[one.match.seats[seat]]
            one.messages[seat] += news(one.state, seat, one.told[seat], agent.speaker.style)
            one.told[seat] = len(view(one.state, seat))
            move_seed = derive(seed, one.match.id, one.state.slot, seat)
            ask = Ask(one.state, seat, agent.policy.id, tuple(one.messages[seat]), move_seed)
            queues.setdefault(id(agent.speaker), (agent, []))[1].append((one, ask))
    answered = await asyncio.gather(*(agent.speaker([ask for _, ask in queue]) for agent, queue in queues.values()))
    replies: dict[int, dict[str, Reply]] = {}
    for (_, queue), batch in zip(queues.values(), answered, strict=True):
        for (one, ask), reply in zip(queue, batch, strict=True):
            replies.setdefault(id(one), {})[ask.seat] = reply
    for one in waiting:
        _apply(one, replies[id(one)])


def _apply(one: _Live, replies: Mapping[str, Reply]) -> None:
    one.failure = next((reply.failure for reply in replies.values() if reply.failure), None)
    before = one.state
    if one.failure is None:
        moves = {seat: Move(reply.text, reply.option, reply.probabilities) for seat, reply in replies.items()}
        one.state = step(before, moves)
    events = {event.seat: event for event in one.state.events[len(before.events) :]}
    slot = before.current
    assert slot is not None
    for seat in slot.seats:
        reply, event = replies[seat], events.get(seat)
        read, fresh = _row(one.rows[seat], reply)
        shown = event is not None and event.visibility == "public"
        words = event.text if event else reply.text
        one.turns.append(
            Turn(
                seat,
                before.setup.protocol.role_of(seat).name,
                slot.phase,
                before.slot,
                one.match.seats[seat],
                words if shown else "",
                "" if shown else words,
                event.quotes if event else (),
                reply.option,
                event.legal if event else None,
                read,
                reply.tokens,
                reply.logprobs,
                reply.choices,
                reply.probabilities if slot.kind == "decision" else (),
                fresh,
                reply.stop_reason,
                reply.cost,
            )
        )
        if event is not None and event.visibility != "ephemeral":
            one.messages[seat].append(Message("assistant", event.text, reply.tokens))


def _row(row: list[int], reply: Reply) -> tuple[tuple[int, ...] | None, bool]:
    """What was read since the row's last token, and whether a new row had to begin; the row is brought up to date."""
    prompt = reply.prompt_tokens
    if prompt is None:
        return None, False
    fresh = bool(row) and tuple(row) != prompt[: len(row)]
    if fresh:
        row.clear()
    read = prompt[len(row) :]
    row.extend(read)
    row.extend(reply.tokens or ())
    return read, fresh


async def _judge(arena: Arena, live: Sequence[_Live], seed: int) -> list[Episode]:
    transcripts = [_transcript(arena, one, seed) for one in live]
    whole = [i for i, one in enumerate(live) if one.failure is None]
    verdicts: dict[int, list[Verdict]] = {i: [] for i in whole}
    if arena.protocol.decision.by == "judge":
        cases = [transcripts[i].case() for i in whole]
        for judge in arena.judges:
            answers = await ask_judge(judge, cases)
            for i, verdict in zip(whole, answers, strict=True):
                verdicts[i].append(verdict)
    elif arena.protocol.decision.by == "seat":
        for i in whole:
            verdicts[i] = _decisions(live[i])
    episodes = []
    for i, one in enumerate(live):
        given = tuple(verdicts.get(i, ()))
        rewards = measure_rewards(arena.rules, record(one.state, transcripts[i], given)) if i in verdicts else None
        episodes.append(Episode(one.match, transcripts[i], given, rewards))
    return episodes


async def ask_judge(judge: Judge, cases: Sequence[Case]) -> Sequence[Verdict]:
    """One verdict a case, in order; as one batch where the judge can take one."""
    many = getattr(judge, "judge_many", None)
    if many is not None:
        return await many(cases)  # type: ignore[no-any-return]
    return await asyncio.gather(*(judge(case) for case in cases))


def _decisions(one: _Live) -> list[Verdict]:
    return [
        Verdict(f"seat {event.seat}", event.probabilities) for event in one.state.events if event.kind == "decision"
    ]


def _transcript(arena: Arena, one: _Live, seed: int) -> Transcript:
    setup = one.state.setup
    return Transcript(
        one.match.id,
        setup.protocol.name,
        setup.question.id,
        seed,
        one.match.seats,
        setup.answers,
        setup.question.question,
        setup.question.options,
        tuple(one.turns),
        released(one.state),
        setup.question.material if setup.protocol.decision.sees_material else "",
        one.failure,
    )


def record(state: State, transcript: Transcript, verdicts: tuple[Verdict, ...]) -> Record:
    """What the reward rules read of a finished match."""
    question, seats = state.setup.question, state.setup.protocol.seats
    last = finals(state)
    gold = question.gold
    if gold is None and question.label is not None:
        gold = question.options[question.label]
    return Record(
        transcript.case(),
        verdicts,
        question.label,
        seats,
        tuple(state.setup.answers[seat] for seat in seats),
        measures(state.setup.protocol, transcript.turns),
        gold,
        tuple(last[seat] for seat in seats),
        roles=tuple(state.setup.protocol.role_of(seat).name for seat in seats),
        acts=acts_of(state),
        options=question.options,
    )


def measures(protocol: DebateProtocol, turns: Sequence[Turn]) -> dict[str, tuple[float, ...]]:
    """Name → [S] what can be counted of a match without a judge; NaN where it does not apply.

    `tokens` and `words` said, `validity` (share of picks that were legal), `format` (share of speeches that are not
    empty, ended by themselves and kept the slot's word limit).
    """
    columns: dict[str, list[float]] = {"tokens": [], "words": [], "validity": [], "format": []}
    for seat in protocol.seats:
        own = [turn for turn in turns if turn.seat == seat]
        speeches = [turn for turn in own if turn.option is None]
        known = all(turn.tokens is not None for turn in own)
        columns["tokens"].append(float(sum(len(turn.tokens or ()) for turn in own)) if known else math.nan)
        columns["words"].append(float(sum(_words(turn) for turn in speeches)))
        columns["validity"].append(_mean(turn.legal for turn in own if turn.legal is not None))
        columns["format"].append(_mean(_well_formed(protocol, turn) for turn in speeches))
    return {name: tuple(values) for name, values in columns.items()}


def _words(turn: Turn) -> int:
    return len((turn.public or turn.private).split())


def _well_formed(protocol: DebateProtocol, turn: Turn) -> bool:
    limit = protocol.schedule[turn.slot].words
    return 0 < _words(turn) <= (limit or math.inf) and turn.stop_reason == "stop"


def _mean(values: Iterable[bool]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else math.nan


def total_cost(episodes: Iterable[Episode]) -> Cost:
    """What episodes cost, their verdicts included."""
    total = Cost()
    for episode in episodes:
        for turn in episode.transcript.turns:
            total += turn.cost
        for verdict in episode.verdicts:
            total += verdict.cost
    return total
