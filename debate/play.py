"""The only turn loop: plays planned matches to judged episodes.

All live episodes advance together; the seats to move in all of them are asked in one batch for each speaker. A move's
randomness is named by (run seed, match, slot, seat), so the result does not depend on what is played beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from debate.agents.agent import Agent, Ask, Reply
from debate.errors import UserError
from debate.protocol.decide import seat_verdicts
from debate.protocol.drafting import outcome
from debate.protocol.kernel import (
    Move,
    Setup,
    State,
    allowance,
    answers,
    probabilities,
    released,
    step,
    to_move,
    view,
)
from debate.protocol.references import needs_secret
from debate.protocol.spec import CHANCE, DebateProtocol
from debate.questions import Question
from debate.records import decided, measures, pay, record
from debate.seeds import derive, draw, unit
from debate.text_games.protocol import GameProtocol
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from debate.views import news, opening, own_words, remembered
from judges.rewards import RewardRule
from judges.types import Case, Cost, Judge, Message, Verdict

__all__ = ["Arena", "Player", "ask_judge", "assign", "measures", "play", "record", "set_up", "total_cost"]


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


Player = Callable[[Arena, Sequence[Match], Mapping[str, Agent], int], list[Episode]]  # `play`, here or elsewhere
PASS = Reply(stop_reason="budget")


@dataclass
class _Live:
    """One match in progress.

    `told`: how many events each seat was told. `rows`: the ids of its current training row. `marks`: (slot, messages,
    told) after each of its moves, from which a memory-isolated copy of it starts.
    """

    match: Match
    state: State
    messages: dict[str, list[Message]]
    told: dict[str, int]
    rows: dict[str, list[int]]
    marks: dict[str, list[tuple[int, int, int]]]
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
    """Seat → index of the option it must defend from the start, by the match's plan, else by the role's rule."""
    given: dict[str, int | None] = {}
    for role in protocol.roles:
        for index, seat in enumerate(role.seats):
            if role.answers in ("none", "opposes") or not question.options:
                given[seat] = None
            elif seat in match.answers:
                given[seat] = match.answers[seat]
            elif role.answers == "by_seat":
                given[seat] = index % len(question.options)
            else:
                given[seat] = int(unit(derive(seed, match.id, seat, "answer")) * len(question.options))
    return given


def set_up(
    protocol: DebateProtocol, question: Question, match_id: str, given: Mapping[str, int | None], seed: int
) -> Setup:
    """What is fixed before the first move of a match of a run with this seed.

    Raises:
        UserError: the question lacks the secret that the protocol is about.
    """
    if needs_secret(protocol) and not (question.gold and question.gold.strip()):
        raise UserError(
            f"protocol {protocol.name} is about a secret, and question {question.id!r} has none: "
            "expected its field 'gold'"
        )
    return Setup(protocol, question, given, derive(seed, match_id, "rules"))


def _start(arena: Arena, match: Match, cast: Mapping[str, Agent], seed: int) -> _Live:
    question = arena.questions[match.question_id]
    protocol = arena.protocol
    setup = set_up(protocol, question, match.id, assign(protocol, question, match, seed), seed)
    seats = protocol.seats
    first = {seat: [opening(setup, seat, cast[match.seats[seat]].speaker.style)] for seat in seats}
    one = _Live(
        match, State(setup), first, dict.fromkeys(seats, 0), {seat: [] for seat in seats}, {seat: [] for seat in seats}
    )
    _draw_chance(one, seed)
    return one


def _draw_chance(one: _Live, seed: int) -> None:
    """Plays chance slots, by the match's seed, up to the next slot that waits for somebody."""
    while one.failure is None and (slot := one.state.current) is not None and slot.kind == "chance":
        before = one.state
        try:
            weights = probabilities(before)
        except ValueError as error:
            one.failure = Failure("chance", CHANCE, str(error))
            return
        option = draw(weights, derive(seed, one.match.id, before.slot, CHANCE))
        one.state = step(before, {CHANCE: Move(option=option, probabilities=weights)})
        event = one.state.events[-1]
        one.turns.append(
            Turn(
                CHANCE,
                CHANCE,
                slot.phase,
                before.slot,
                "",
                event.text,
                option=option,
                probabilities=weights,
                stop_reason="choice",
                where=slot.id,
            )
        )


async def _advance(waiting: Sequence[_Live], cast: Mapping[str, Agent], seed: int) -> None:
    """Plays one slot of every waiting match."""
    queues: dict[int, tuple[Agent, list[tuple[_Live, Ask]]]] = {}
    replies: dict[int, dict[str, Reply]] = {}
    for one in waiting:
        mine = replies.setdefault(id(one), {})
        for seat in to_move(one.state):
            if one.state.current is not None and one.state.current.says:
                mine[seat] = _drafted(one, seat, cast[one.match.seats[seat]])
                continue
            left = allowance(one.state, seat)
            if left == 0:
                mine[seat] = PASS
                continue
            agent = cast[one.match.seats[seat]]
            move_seed = derive(seed, one.match.id, one.state.slot, seat)
            messages = _messages(one, seat, agent)
            ask = Ask(one.state, seat, agent.policy.id, messages, move_seed, left)
            queues.setdefault(id(agent.speaker), (agent, []))[1].append((one, ask))
    answered = await asyncio.gather(*(agent.speaker([ask for _, ask in queue]) for agent, queue in queues.values()))
    for (_, queue), batch in zip(queues.values(), answered, strict=True):
        for (one, ask), reply in zip(queue, batch, strict=True):
            replies[id(one)][ask.seat] = reply
    for one in waiting:
        _apply(one, replies[id(one)])
        _draw_chance(one, seed)


def _drafted(one: _Live, seat: str, agent: Agent) -> Reply:
    """The words that a seat drafted before, with the ids it sampled then; nobody is asked, and nothing is scored."""
    _messages(one, seat, agent)  # its conversation goes on as if it had said them at once
    draft = outcome(one.state.setup.protocol, one.state.events, seat)
    if draft is None:
        return PASS
    turn = next(turn for turn in one.turns if (turn.slot, turn.seat) == (draft.slot, seat))
    return Reply(draft.text, tokens=turn.tokens, stop_reason=turn.stop_reason)


def _messages(one: _Live, seat: str, agent: Agent) -> tuple[Message, ...]:
    """The conversation a seat moves in, brought up to date; that of a copy is made for this slot only."""
    slot, style = one.state.current, agent.speaker.style
    assert slot is not None
    if slot.copies:
        length, told = len(one.messages[seat]), one.told[seat]
        if slot.recall:
            length, told = remembered(one.state, one.marks[seat])
        return (*one.messages[seat][:length], *news(one.state, seat, told, style))
    one.messages[seat] += news(one.state, seat, one.told[seat], style)
    one.told[seat] = len(view(one.state, seat))
    return tuple(one.messages[seat])


def _apply(one: _Live, replies: Mapping[str, Reply]) -> None:
    one.failure = next((reply.failure for reply in replies.values() if reply.failure), None)
    before = one.state
    if one.failure is None:
        one.state = step(before, {seat: _move(reply) for seat, reply in replies.items()})
    events = {event.seat: event for event in one.state.events[len(before.events) :]}
    slot = before.current
    assert slot is not None
    for seat in slot.seats:
        reply, event = replies[seat], events.get(seat)
        read, fresh = _row(one.rows[seat], reply, anew=slot.copies)
        shown = event is not None and event.visibility == "public"
        words = event.text if event else reply.text
        one.turns.append(
            Turn(
                seat,
                before.setup.protocol.role_of(seat).name,
                slot.phase,
                before.slot,
                "" if slot.says else one.match.seats[seat],
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
                event.cut if event else 0,
                event.forged if event else 0,
                event.excess if event else 0,
                slot.id,
            )
        )
        if event is None or event.recalled or event.passed:
            continue
        if event.visibility != "ephemeral":
            own = own_words(before.setup.protocol, event)
            one.messages[seat].append(Message("assistant", own, reply.tokens))
        one.marks[seat].append((before.slot, len(one.messages[seat]), one.told[seat]))


def _move(reply: Reply) -> Move:
    tokens = None if reply.tokens is None else len(reply.tokens)
    return Move(reply.text, reply.option, reply.probabilities, tokens, reply.stop_reason == "budget")


def _row(row: list[int], reply: Reply, anew: bool = False) -> tuple[tuple[int, ...] | None, bool]:
    """What was read since the row's last token, and whether a new row had to begin; the row is brought up to date."""
    prompt = reply.prompt_tokens
    if prompt is None:
        return None, False
    fresh = bool(row) and (anew or tuple(row) != prompt[: len(row)])
    if fresh:
        row.clear()
    read = prompt[len(row) :]
    row.extend(read)
    row.extend(reply.tokens or ())
    return read, fresh


async def _judge(arena: Arena, live: Sequence[_Live], seed: int) -> list[Episode]:
    transcripts = [_transcript(one, seed) for one in live]
    whole = [i for i, one in enumerate(live) if one.failure is None]
    verdicts: dict[int, list[Verdict]] = {i: [] for i in whole}
    if arena.protocol.decision.by == "judge":
        cases = [transcripts[i].case() for i in whole]
        for judge in arena.judges:
            answers = await ask_judge(judge, cases)
            for i, verdict in zip(whole, answers, strict=True):
                verdicts[i].append(verdict)
    else:
        for i in whole:
            verdicts[i] = seat_verdicts(live[i].state)
    episodes = []
    for i, one in enumerate(live):
        given = tuple(verdicts.get(i, ()))
        rewards = None
        if i in verdicts:
            rewards = pay(arena.protocol, arena.rules, record(one.state, transcripts[i], given))
        episodes.append(Episode(one.match, transcripts[i], given, rewards))
    return episodes


async def ask_judge(judge: Judge, cases: Sequence[Case]) -> Sequence[Verdict]:
    """One verdict a case, in order; as one batch where the judge can take one."""
    many = getattr(judge, "judge_many", None)
    if many is not None:
        return await many(cases)  # type: ignore[no-any-return]
    return await asyncio.gather(*(judge(case) for case in cases))


def _transcript(one: _Live, seed: int) -> Transcript:
    return transcript_of(one.state, one.match.id, seed, one.match.seats, tuple(one.turns), one.failure)


def transcript_of(
    state: State,
    match_id: str = "",
    seed: int = 0,
    seats: Mapping[str, str] | None = None,
    turns: tuple[Turn, ...] = (),
    failure: Failure | None = None,
) -> Transcript:
    """What is recorded of a match at a position; by default only what a judge's case is made of."""
    setup, decision = state.setup, state.setup.protocol.decision
    asked, offered = decided(state) if decision.question or decision.options else ("", ())
    return Transcript(
        match_id,
        setup.protocol.name,
        setup.question.id,
        seed,
        seats or {},
        answers(state),
        setup.question.question,
        setup.question.options,
        turns,
        released(state),
        setup.question.material if decision.sees_material else "",
        failure,
        asked=asked,
        offered=offered,
    )


def total_cost(episodes: Iterable[Episode]) -> Cost:
    """What episodes cost, their verdicts included."""
    total = Cost()
    for episode in episodes:
        for turn in episode.transcript.turns:
            total += turn.cost
        for verdict in episode.verdicts:
            total += verdict.cost
    return total
