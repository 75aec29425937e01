"""The bridge to game theory: a finite protocol as an extensive game, and an agent as a policy in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.agents.agent import Agent, Ask
from debate.errors import UserError
from debate.play import Arena, record, transcript_of
from debate.protocol.decide import seat_verdicts
from debate.protocol.kernel import (
    Move,
    Setup,
    State,
    answers,
    choices,
    legal,
    names,
    probabilities,
    step,
    to_move,
    view,
)
from debate.protocol.spec import CHANCE
from debate.questions import Question
from debate.records import pay
from debate.seeds import derive
from debate.text_games.protocol import GameProtocol
from debate.views import conversation
from games.extensive.tree import TERMINAL, ExtensiveGame


@dataclass(frozen=True, eq=False)
class CompiledGame:
    """A finite protocol over a fixed set of questions.

    Attributes:
        game: the tree: chance draws a question (uniformly) and the assigned answers, then the seats pick legal choices.
        positions: information state → (seat, a position in it), from which an agent can be asked for its policy.
    """

    game: ExtensiveGame
    positions: Mapping[str, tuple[str, State]]


@dataclass(frozen=True, eq=False)
class TabularPolicy:
    """How an agent, or one agent a seat, plays a compiled game.

    Attributes:
        probabilities: information state → {legal choice: probability}, renormalised over the legal choices.
        illegal: information state → probability the agent gave to illegal choices before that.
    """

    probabilities: Mapping[str, Mapping[str, float]]
    illegal: Mapping[str, float]

    @property
    def illegal_mass(self) -> float:
        """Mean over information states of the probability given to illegal choices."""
        return float(np.mean(list(self.illegal.values()))) if self.illegal else 0.0


def as_game(arena: Arena, criteria: Sequence[str] | None = None) -> CompiledGame:
    """Compiles a finite protocol, with its questions, judges and rewards, to an extensive game.

    Illegal choices are left out of the tree. Objectives are the arena's criteria (or the given ones), each of which
    must be known at every end of the game. A seat that a criterion pays at no end at all has no stake in it: its payoff
    is 0 throughout.

    Raises:
        UserError: the protocol is not finite, or a criterion is not known at some end.
    """
    protocol = arena.protocol
    if not protocol.finite:
        raise UserError(f"protocol {protocol.name} does not declare finite: true, so it is no finite game")
    if isinstance(protocol, GameProtocol):
        from debate.text_games.compiled import compile_game

        return CompiledGame(*compile_game(protocol))
    _refuse_hidden_draws(arena)
    wanted = tuple(criteria or protocol.criteria)
    positions: dict[str, tuple[str, State]] = {}
    with asyncio.Runner() as runner:  # one event loop for the judges of all ends
        context = _Context(arena, wanted, positions, runner)
        game = ExtensiveGame.from_state(_Root(context), protocol.seats, wanted)
    for (seat, criterion), seen in context.paid.items():
        if seen == {True, False}:
            raise UserError(
                f"criterion {criterion} is paid to {seat} at some ends of {protocol.name} and not at others"
            )
    return CompiledGame(game, positions)


def _refuse_hidden_draws(arena: Arena) -> None:
    """What the rules draw by a match's seed alone is no chance move of the tree, so it cannot be averaged over."""
    protocol = arena.protocol
    if protocol.decision.by in ("jury", "vote") and protocol.decision.ties == "random":
        raise UserError(f"protocol {protocol.name} breaks ties at random, so it is not compiled: expected ties: draw")
    most = max((len(question.options) for question in arena.questions.values()), default=0)
    for role in protocol.roles:
        if role.answers == "opposes" and most > 2:
            raise UserError(
                f"protocol {protocol.name}: role {role.name} opposes one of {most} options by drawing another, so it "
                "is not compiled: expected questions with two options"
            )


async def policy_of(compiled: CompiledGame, agents: Mapping[str, Agent]) -> TabularPolicy:
    """Reads agents' choice probabilities off at every information set of a compiled game.

    Args:
        compiled: the game.
        agents: seat → the agent that plays it.

    Raises:
        RuntimeError: an agent could not answer at some position.
    """
    queues: dict[int, list[tuple[str, Ask]]] = {}
    speakers: dict[int, Agent] = {}
    for name, (seat, state) in compiled.positions.items():
        agent = agents[seat]
        messages = conversation(state, seat, agent.speaker.style)
        ask = Ask(state, seat, agent.policy.id, messages, derive(0, name))
        queues.setdefault(id(agent.speaker), []).append((name, ask))
        speakers[id(agent.speaker)] = agent
    probabilities: dict[str, dict[str, float]] = {}
    illegal: dict[str, float] = {}
    for key, queue in queues.items():
        replies = await speakers[key].speaker([ask for _, ask in queue])
        for (name, ask), reply in zip(queue, replies, strict=True):
            if reply.failure is not None:
                raise RuntimeError(f"{ask.policy} gave no policy at {name!r}: {reply.failure.message}")
            probabilities[name], illegal[name] = _renormalised(ask.state, reply.probabilities)
    return TabularPolicy(probabilities, illegal)


def _renormalised(state: State, given: Sequence[float]) -> tuple[dict[str, float], float]:
    fair = legal(state)
    kept = {text: p for text, p, ok in zip(choices(state), given, fair, strict=True) if ok}
    total = sum(kept.values())
    if total <= 0.0:  # everything was put on illegal choices: nothing distinguishes the legal ones
        return {text: 1.0 / len(kept) for text in kept}, 1.0
    return {text: p / total for text, p in kept.items()}, max(0.0, 1.0 - total)


@dataclass(frozen=True, eq=False)
class _Context:
    arena: Arena
    criteria: tuple[str, ...]
    positions: dict[str, tuple[str, State]]
    runner: asyncio.Runner
    alike: dict[tuple[str, tuple[object, ...]], str] = field(default_factory=dict)
    paid: dict[tuple[str, str], set[bool]] = field(default_factory=dict)  # (seat, criterion) → at some end, or not

    def looks_like(self, question: Question, seat: str, offered: tuple[str, ...]) -> str:
        """The id of the first question that shows the seat's role, and offers it now, just what this one does."""
        role = self.arena.protocol.role_of(seat)
        parts = {
            "question": question.question,
            "options": question.options,
            "answer": question.options,
            "material": question.material,
            "items": question.items,
            "label": question.label,
            "truth": (question.label, question.gold),
            "secret": question.gold,
        }
        shown = (offered, *(parts[sight] for sight in sorted(role.sees)))
        return self.alike.setdefault((role.name, shown), question.id)


@dataclass(frozen=True, eq=False)
class _Root:
    """Chance draws the question and, where a role's answer is random, the answer."""

    context: _Context

    def player(self) -> int | None:
        return None

    def chance(self) -> Sequence[tuple[str, float]]:
        starts = self._starts()
        return [(name, weight) for name, _, weight in starts]

    def child(self, action: int) -> _Position:
        return _Position(self.context, self._starts()[action][1])

    def _starts(self) -> list[tuple[str, State, float]]:
        arena = self.context.arena
        starts = []
        for question in arena.questions.values():
            drawn = [
                _possible_answers(role.answers, i, len(question.options))
                for role in arena.protocol.roles
                for i in range(len(role.seats))
            ]
            deals = list(product(*drawn))
            for deal in deals:
                setup = Setup(arena.protocol, question, dict(zip(arena.protocol.seats, deal, strict=True)))
                label = f"{question.id}:{','.join(map(str, deal))}"
                starts.append((label, State(setup), 1.0 / len(arena.questions) / len(deals)))
        return starts

    def actions(self) -> Sequence[str]:
        raise AssertionError("chance moves at the root")

    def information_state(self) -> str:
        raise AssertionError("chance moves at the root")

    def returns(self) -> Any:
        raise AssertionError("the root is not an end")


def _possible_answers(rule: str, index: int, options: int) -> list[int | None]:
    if rule == "none" or options == 0:
        return [None]
    return [index % options] if rule == "by_seat" else list(range(options))


@dataclass(frozen=True, eq=False)
class _Position:
    """A kernel state; `chosen` are picks already made in the running slot, hidden from the seats still to pick."""

    context: _Context
    state: State
    chosen: tuple[int, ...] = field(default=())

    def player(self) -> int | None:
        seats = to_move(self.state)
        if seats == (CHANCE,):
            return None
        return self.context.arena.protocol.seats.index(seats[len(self.chosen)]) if seats else TERMINAL

    def _legal(self) -> list[int]:
        return [i for i, fair in enumerate(legal(self.state)) if fair]

    def actions(self) -> Sequence[str]:
        offered = choices(self.state)
        return [offered[i] for i in self._legal()]

    def information_state(self) -> str:
        seat = to_move(self.state)[len(self.chosen)]
        setup = self.state.setup
        slot = self.state.current
        assert slot is not None
        # Nothing the seat is not told: no running number (it counts hidden slots), no id of a question that looks
        # the same.
        events = view(self.state, seat)
        seen = " ".join(f"{names(setup.protocol, event)[0]}({event.phase}):{event.text}" for event in events)
        question = self.context.looks_like(setup.question, seat, choices(self.state))
        sees_answer = "answer" in self.state.setup.protocol.role_of(seat).sees
        held = answers(self.state)[seat] if sees_answer else None
        name = f"{seat}|{question}|{held}|{slot.phase}.{slot.id}|{seen}"
        self.context.positions.setdefault(name, (seat, self.state))
        return name

    def child(self, action: int) -> _Position:
        seats = to_move(self.state)
        if seats == (CHANCE,):
            drawn = [option for option, weight in enumerate(probabilities(self.state)) if weight > 0]
            return _Position(self.context, step(self.state, {CHANCE: Move(option=drawn[action])}))
        chosen = (*self.chosen, self._legal()[action])
        if len(chosen) < len(seats):
            return _Position(self.context, self.state, chosen)
        offered = len(choices(self.state))
        moves = {
            seat: Move(option=option, probabilities=tuple(float(i == option) for i in range(offered)))
            for seat, option in zip(seats, chosen, strict=True)
        }
        return _Position(self.context, step(self.state, moves))

    def chance(self) -> Sequence[tuple[str, float]]:
        weights = probabilities(self.state)
        return [(text, weight) for text, weight in zip(choices(self.state), weights, strict=True) if weight > 0]

    def returns(self) -> NDArray[np.float64]:
        arena = self.context.arena
        transcript = transcript_of(self.state)
        verdicts = tuple(seat_verdicts(self.state))
        if arena.protocol.decision.by == "judge":
            verdicts = tuple(self.context.runner.run(judge(transcript.case())) for judge in arena.judges)  # type: ignore[arg-type]
        rules = {name: arena.rules[name] for name in self.context.criteria}
        rewards = pay(arena.protocol, rules, record(self.state, transcript, verdicts))
        for seat, row in zip(rewards.seats, rewards.status, strict=True):
            for criterion, status in zip(rewards.criteria, row, strict=True):
                self.context.paid.setdefault((seat, criterion), set()).add(status == "ok")
        known = np.isfinite(rewards.values)
        if not known.any(axis=0).all() or any("error" in row for row in rewards.status):
            raise UserError(f"criterion not known at the end {self.information()!r}: {rewards.status}")
        return np.where(known, rewards.values, 0.0)

    def information(self) -> str:
        return " ".join(f"{event.seat}:{event.text}" for event in self.state.events)
