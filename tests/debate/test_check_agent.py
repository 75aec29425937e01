"""`check_agent`: the project's own speakers keep the contract, and each way to break it is found."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from debate import check_agent, check_judge, check_protocol
from debate.agents.agent import Agent, Reply
from debate.agents.human import HumanSpeaker
from debate.agents.language import LanguageSpeaker
from debate.agents.scripted import ScriptedSpeaker, random_legal
from debate.protocol.kernel import choices
from debate.transcript import Failure, Policy


def check(speaker):
    return asyncio.run(check_agent(Agent(Policy("me", 0, "me"), speaker)))


def test_scripted_speakers_keep_the_contract():
    assert check(ScriptedSpeaker(random_legal)) == []


def test_the_embedded_model_keeps_the_contract():
    from debate.engines.nano.engine import nano_completer
    from debate.engines.nano.model import load_model, state_of

    completer = nano_completer()
    completer.publish("me-v0", state_of(load_model()))
    assert check(LanguageSpeaker(completer, "compact", 8)) == []


def test_a_person_who_hangs_up_is_a_failure_and_no_breach():
    def closed(prompt):
        raise EOFError

    assert check(HumanSpeaker(closed, lambda line: None)) == []


@dataclass
class Spoils:
    """A scripted speaker whose replies are changed."""

    change: object
    style: str = "compact"
    calls: int = 0

    async def __call__(self, asks):
        self.calls += 1
        replies = await ScriptedSpeaker(random_legal)(asks)
        return self.change(self, asks, replies)


def each(edit):
    return lambda self, asks, replies: [edit(ask, reply) for ask, reply in zip(asks, replies, strict=True)]


def raises(self, asks, replies):
    raise TimeoutError("too slow")


def in_order(self, asks, replies):
    """Replies that depend on where in the batch an ask stands, but only in long batches that begin with a pick."""
    turned = bool(choices(asks[0].state)) and len(asks) > 1
    return [replace(r, text=f"{r.text}{i}") if turned else r for i, r in enumerate(replies)]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (raises, "raises: a batch raised TimeoutError: too slow"),
        (lambda self, asks, replies: replies[:-1], "count: a batch: expected 8 replies, got 7"),
        (
            lambda self, asks, replies: [r.text for r in replies],
            "count: a batch: expected a Reply for each ask",
        ),
        (
            each(lambda a, r: replace(r, option=99) if choices(a.state) else r),
            "choice: A in reveal: expected an option",
        ),
        (
            each(lambda a, r: r if choices(a.state) else replace(r, option=0)),
            "choice: A in opening: a speech has no",
        ),
        (
            each(lambda a, r: replace(r, probabilities=(0.7,) * len(choices(a.state)))),
            "probabilities: A in reveal: expected 4 that sum to 1",
        ),
        (each(lambda a, r: replace(r, stop_reason="done")), "stop: A in opening: expected one of stop"),
        (
            each(lambda a, r: replace(r, tokens=(1, 2), logprobs=(-0.1,)) if not choices(a.state) else r),
            "tokens: A in opening: expected 2 log-probabilities, got 1",
        ),
        (
            each(lambda a, r: replace(r, tokens=(1,), logprobs=(0.5,))),
            "tokens: A in opening: log-probabilities must be finite and at most 0, got 0.5",
        ),
        (
            each(lambda a, r: replace(r, tokens=(9,), logprobs=(-1.0,), choices=((1,), (2,), (3,), (4,)))),
            "tokens: A in reveal: the pick's tokens are not those of its choice",
        ),
        (
            each(lambda a, r: Reply("no", stop_reason="error", failure=Failure("x", a.seat, "y"))),
            "failure: A in opening: a failed reply carries no move",
        ),
        (
            each(lambda a, r: Reply(stop_reason="error")),
            "failure: A in opening: a failed reply has stop_reason",
        ),
        (
            lambda self, asks, replies: [replace(r, text=f"{r.text}{self.calls}") for r in replies],
            "seed: A in opening: the same ask twice got different replies",
        ),
        (
            lambda self, asks, replies: [replace(r, text=f"{r.text}{len(asks)}") for r in replies],
            "order: A in opening: the reply alone differs from the reply in a batch",
        ),
        (
            lambda self, asks, replies: [
                replace(r, text=f"{r.text}{i if len(asks) > 1 else 0}") for i, r in enumerate(replies)
            ],
            "order: B in opening: the reply alone differs from the reply in a batch",
        ),
        (in_order, "order: A in opening: the reply depends on the order of the batch"),
    ],
)
def test_every_breach_is_named(change, rule):
    found = check(Spoils(change))
    assert any(line.startswith(rule) for line in found), found


def test_a_style_that_is_none():
    assert check(Spoils(lambda self, asks, replies: replies, style="loud")) == [
        "style: expected 'chat' or 'compact', got 'loud'"
    ]


def test_the_three_checks_are_easy_to_find():
    assert [f.__name__ for f in (check_protocol, check_agent, check_judge)] == [
        "check_protocol",
        "check_agent",
        "check_judge",
    ]
