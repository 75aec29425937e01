"""Plays OpenSpiel games between agents; the text-game part of the turn loop.

All live games advance together, and the seats to move are asked in one batch for each speaker, as in `debate.play`.
A move's randomness is named by (run seed, match, move number, seat); chance's by (run seed, question, draw number), so
that matches on one question are dealt the same cards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from debate.agents.agent import Agent, Ask, Reply
from debate.protocol.spec import CHANCE
from debate.seeds import derive, draw
from debate.text_games.protocol import CRITERION, ROLE, Decided, GameProtocol, position
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from debate.views import news, opening
from games.extensive.tree import TERMINAL
from games.interop import load_openspiel
from judges.rewards import measure_rewards
from judges.types import Case, Message, Record

if TYPE_CHECKING:
    from debate.play import Arena


@dataclass
class _Live:
    """One game in progress. `moves` holds each seat's own decisions, `rows` the ids of its training row."""

    match: Match
    state: Any
    messages: dict[str, list[Message]]
    moves: dict[str, list[Decided]]
    rows: dict[str, list[int]]
    turns: list[Turn] = field(default_factory=list)
    draws: int = 0
    failure: Failure | None = None


async def play_games(arena: Arena, matches: Sequence[Match], cast: Mapping[str, Agent], seed: int) -> list[Episode]:
    """Plays matches of one OpenSpiel game.

    Args:
        arena: the game.
        matches: what to play; episodes come back in this order.
        cast: policy id → agent.
        seed: the run's seed.

    Raises:
        KeyError: a match names a question or a policy that is not there.
    """
    protocol = arena.protocol
    assert isinstance(protocol, GameProtocol)
    root = load_openspiel(protocol.game).root
    live = []
    for match in matches:
        question = arena.questions[match.question_id]
        empty = position(protocol, question, "", ())
        first = {s: [opening(empty.setup, s, cast[match.seats[s]].speaker.style)] for s in protocol.seats}
        moves: dict[str, list[Decided]] = {s: [] for s in protocol.seats}
        live.append(_Live(match, root, first, moves, {s: [] for s in protocol.seats}))
    while waiting := [one for one in live if one.failure is None and _deal(one, seed) != TERMINAL]:
        await _advance(protocol, arena, waiting, cast, seed)
    return [_episode(protocol, arena, one, seed) for one in live]


def _deal(one: _Live, seed: int) -> int:
    """Draws what chance decides now; returns who moves then, or `TERMINAL`."""
    while (mover := one.state.player()) is None:
        names, weights = zip(*one.state.chance(), strict=True)
        option = draw(weights, derive(seed, one.match.question_id, "chance", one.draws))
        one.state = one.state.child(option)
        one.draws += 1
        one.turns.append(
            Turn(
                seat=CHANCE,
                role=CHANCE,
                phase="deal",
                slot=len(one.turns),
                policy="",
                public="",
                private=names[option],
                option=option,
                probabilities=tuple(weights),
                stop_reason="choice",
            )
        )
    return int(mover)


async def _advance(
    protocol: GameProtocol, arena: Arena, waiting: Sequence[_Live], cast: Mapping[str, Agent], seed: int
) -> None:
    """One move of every waiting game."""
    queues: dict[int, tuple[Agent, list[tuple[_Live, Ask]]]] = {}
    for one in waiting:
        seat = protocol.seats[one.state.player()]
        agent = cast[one.match.seats[seat]]
        own = one.moves[seat]
        own.append(Decided(one.state.information_state(), tuple(one.state.actions())))
        here = position(protocol, arena.questions[one.match.question_id], seat, own)
        one.messages[seat] += news(here, seat, len(own) - 1, agent.speaker.style)
        move_seed = derive(seed, one.match.id, len(one.turns), seat)
        ask = Ask(here, seat, agent.policy.id, tuple(one.messages[seat]), move_seed)
        queues.setdefault(id(agent.speaker), (agent, []))[1].append((one, ask))
    answered = await asyncio.gather(*(agent.speaker([ask for _, ask in queue]) for agent, queue in queues.values()))
    for (_, queue), replies in zip(queues.values(), answered, strict=True):
        for (one, ask), reply in zip(queue, replies, strict=True):
            _apply(protocol, one, ask, reply)


def _apply(protocol: GameProtocol, one: _Live, ask: Ask, reply: Reply) -> None:
    from debate.play import _row

    seat, own = ask.seat, one.moves[ask.seat]
    legal = own[-1].actions
    failure = reply.failure
    if failure is None and (reply.option is None or not 0 <= reply.option < len(legal)):
        failure = Failure("move", seat, f"expected a pick 0…{len(legal) - 1}, got {reply.option}")
    one.failure = failure
    text = "" if reply.option is None or failure else legal[reply.option]
    read, fresh = _row(one.rows[seat], reply)
    shown = protocol.manual.open_moves
    one.turns.append(
        Turn(
            seat=seat,
            role=ROLE,
            phase="move",
            slot=len(one.turns),
            policy=one.match.seats[seat],
            public=text if shown else "",
            private="" if shown else text,
            option=reply.option,
            legal=True if failure is None else None,
            prompt_tokens=read,
            tokens=reply.tokens,
            logprobs=reply.logprobs,
            choices=reply.choices,
            fresh=fresh,
            stop_reason=reply.stop_reason,
            cost=reply.cost,
        )
    )
    if failure is None:
        assert reply.option is not None
        own[-1] = Decided(own[-1].told, legal, reply.option)
        one.messages[seat].append(Message("assistant", text, reply.tokens))
        one.state = one.state.child(reply.option)


def _episode(protocol: GameProtocol, arena: Arena, one: _Live, seed: int) -> Episode:
    from debate.play import measures

    question, seats = arena.questions[one.match.question_id], protocol.seats
    nothing: dict[str, int | None] = dict.fromkeys(seats)
    transcript = Transcript(
        one.match.id,
        protocol.name,
        question.id,
        seed,
        one.match.seats,
        nothing,
        question.question,
        question.options,
        tuple(one.turns),
        error=one.failure,
    )
    if one.failure is not None:
        return Episode(one.match, transcript, (), None)
    won = np.asarray(one.state.returns())[:, 0]
    known = {**measures(protocol, transcript.turns), CRITERION: tuple(map(float, won))}
    record = Record(
        Case(question.question, question.options, ()), (), None, seats, (None,) * len(seats), known, None,
        (None,) * len(seats),
    )  # fmt: skip
    return Episode(one.match, transcript, (), measure_rewards(arena.rules, record))
