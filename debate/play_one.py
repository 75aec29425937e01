"""One match, for the terminal: any seat may be a script, a model or a person, and so may the judge."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from debate.agents.agent import Agent, Speaker
from debate.agents.scripted import SCRIPTS, ScriptedSpeaker
from debate.data import load_questions
from debate.errors import Failed, UserError
from debate.examples import Example, find_example
from debate.play import Arena, play
from debate.protocol.load import load_protocol
from debate.protocol.spec import DebateProtocol
from debate.questions import Question, read_questions
from debate.render import printable, render
from debate.terminal import ask_line
from debate.text_games.protocol import GameProtocol, deal
from debate.transcript import Episode, Match, Policy
from judges.rules import make_rule


def play_one(
    name: str,
    settings: Sequence[str],
    agent: str,
    seats: Sequence[str],
    judge: str,
    data: str,
    question: str,
    seed: int,
) -> Iterator[str]:
    """Plays a protocol once and yields the match as text.

    Args:
        name: of the protocol, or its file.
        settings: `key=value` parameters of the protocol.
        agent: who sits in every seat; "" is the protocol's example where it ships one, else "random_legal".
        seats: `SEAT=AGENT` exceptions.
        judge: "naive_evidence", "constant", "human", a model; "" chooses the naive judge where evidence is revealed,
            else the verdict of the protocol's example.
        data: question JSONL; "" draws evidence where the protocol reveals items, else takes the example's question.
        question: id; "" takes the first.
        seed: of everything random.

    Raises:
        UserError: anything of it does not exist or does not fit.
        Failed: the match was not played to its end.
    """
    protocol = load_protocol(name, dict(_pair(setting, "--set", yaml.safe_load) for setting in settings))
    reveals = any(slot.reveal for slot in protocol.slots)
    example = None if reveals else find_example(protocol.name)
    dealt = isinstance(protocol, GameProtocol)
    chosen = deal(seed) if dealt else _question(data, question, reveals, seed, example)
    agent = agent or ("random_legal" if example is None else "example")
    sitting = dict.fromkeys(protocol.seats, agent) | dict(_pair(seat, "--seat", str) for seat in seats)
    for seat in sitting:
        if seat not in protocol.seats:
            raise UserError(
                f"--seat {seat}: protocol {protocol.name} has no such seat; it has {', '.join(protocol.seats)}"
            )
    cast = {f"{who}-v0": Agent(Policy(who, 0, who), _speaker(who, example)) for who in sorted(set(sitting.values()))}
    kind = judge or ("naive_evidence" if reveals else "")
    judges = _judges(kind, protocol, example)
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("play", protocol, {chosen.id: chosen}, judges, rules)
    match = Match("play/0", "play", chosen.id, {seat: f"{who}-v0" for seat, who in sitting.items()})
    if not sys.stdout.isatty():
        (episode,) = asyncio.run(play(arena, [match], cast, seed))
        yield from render(episode)
    else:
        episode = _live(arena, match, cast, seed, "human" if kind == "human" else "")
        yield from (line for line in render(episode) if line.startswith(("verdict", "rewards", "failed")))
    if episode.failure is not None:
        raise Failed(f"the match was not finished: {printable(episode.failure.message)}")


def _live(arena: Arena, match: Match, cast: Mapping[str, Agent], seed: int, judge: str) -> Episode:
    """Plays on the terminal, every speech shown when it is released to whoever watches."""
    from rich.console import Console

    from debate.learning.stored import restate
    from debate.live import Screen, Watched

    people = tuple(seat for seat, policy in match.seats.items() if cast[policy].policy.base == "human")
    screen = Screen(Console(highlight=False), arena.protocol, people, judge == "human")
    watched = {
        policy: Agent(agent.policy, Watched(agent.speaker, screen, agent.policy.base == "human"))
        for policy, agent in cast.items()
    }
    question = arena.questions[match.question_id]
    screen.opening(question.question, question.options, {s: cast[p].policy.base for s, p in match.seats.items()})
    (episode,) = asyncio.run(play(arena, [match], watched, seed))
    if episode.transcript.error is None:
        screen.show(restate(arena, episode.transcript), over=True)
        screen.reveal()
    screen.console.print()
    return episode


def _pair(text: str, flag: str, read: Any) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"{flag} {text}: expected {'SEAT=AGENT' if flag == '--seat' else 'KEY=VALUE'}")
    return key, read(value)


def _question(data: str, wanted: str, reveals: bool, seed: int, example: Example | None) -> Question:
    if data:
        found = read_questions(Path(data))
    elif reveals:
        found = load_questions({"adapter": "evidence", "n": 12, "limit": 8}, seed)
    elif example is not None:
        found = [example.question]
    else:
        raise UserError("--data FILE.jsonl is needed: this protocol does not draw its own questions")
    for question in found:
        if not wanted or question.id == wanted:
            return question
    raise UserError(f"--question {wanted}: no such id; there are {', '.join(q.id for q in found[:5])}, …")


def _speaker(who: str, example: Example | None) -> Speaker:
    if who == "example":
        if example is None:
            raise UserError("agent example: only shipped protocols have an example")
        return ScriptedSpeaker(example)
    if who in SCRIPTS:
        return ScriptedSpeaker(SCRIPTS[who])
    if who == "human":
        from debate.agents.human import HumanSpeaker

        return HumanSpeaker(ask_line)
    from debate.agents.language import LanguageSpeaker

    if who == "nano":
        from debate.engines.nano.engine import nano_completer
        from debate.engines.nano.model import load_model, state_of

        completer = nano_completer()
        completer.publish("nano-v0", state_of(load_model()))
        return LanguageSpeaker(completer, "compact")
    return LanguageSpeaker(_Base(_completer(who)))


class _Base:
    """A completer that always asks the bare base model, whatever policy is named."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, requests: Sequence[Any]) -> Any:
        from dataclasses import replace

        return await self.inner([replace(request, policy="") for request in requests])


def _completer(model: str) -> Any:
    from debate.engines.hf import hf_completer

    return hf_completer(model)


def _judges(kind: str, protocol: DebateProtocol, example: Example | None) -> tuple[Any, ...]:
    if protocol.decision.by != "judge":
        return ()
    if not kind and example is not None and example.verdict is not None:
        from judges.judges.scripted import ScriptedJudge

        return (ScriptedJudge(example.verdict, "example"),)
    if kind == "naive_evidence":
        from judges.judges.evidence import NaiveEvidenceJudge

        return (NaiveEvidenceJudge(),)
    if kind == "constant":
        from judges.judges.scripted import constant_judge

        return (constant_judge(),)
    if kind == "human":
        from debate.judging_tools.named import named_judge

        return (named_judge("human"),)
    if not kind:
        raise UserError(f"--judge is needed: protocol {protocol.name} is decided by a judge")
    from judges.judges.llm import LLMJudge

    return (LLMJudge(_completer(kind)),)
