"""The contract of a speaker, as a check that anyone can run on theirs.

broken = asyncio.run(check_agent(Agent(Policy("mine", 0, "mine"), MySpeaker())))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from debate.agents.agent import Agent, Ask, Reply
from debate.protocol.kernel import Move, Setup, State, choices, step, to_move
from debate.protocol.load import parse_protocol
from debate.questions import Question
from debate.reader import parse_yaml
from debate.seeds import derive
from debate.transcript import Failure
from debate.views import conversation

_PROTOCOL = """\
name: conformance
roles:
  A: {sees: [question, options, items], prompt: {chat: "You are {seat}. {question} {items}", compact: "{items}0"}}
  B: {sees: [question, options, items], prompt: {chat: "You are {seat}. {question} {items}", compact: "{items}1"}}
schedule:
  - {roles: [A, B], phase: opening, tokens: 8, instruction: Say something.}
  - {roles: [A, B], phase: reveal, kind: choice, choices: items, reveal: true, instruction: "Which one?"}
  - {roles: [A, B], phase: pick, kind: choice, choices: {from: opening}, instruction: "Which speech?"}
  - {roles: [A, B], phase: verdict, kind: decision, instruction: "Which answer?"}
decision: {by: nobody}
rewards: {format: {rule: format}}
"""
_QUESTION = Question("conformance", "Is the sum positive?", ("+1", "-1"), 0, "", ("+4", "-2", "+1", "-1"))
_STOPS = ("stop", "length", "choice", "error")


async def check_agent(agent: Agent, asks: Sequence[Ask] | None = None) -> list[str]:
    """Holds an agent's speaker to the contract of `debate.agents.agent.Speaker`.

    Rules: `style`; `raises` (failures are values); `order` and `count` (one reply an ask, in order, each depending on
    its ask alone: the same alone, in a batch and in a reversed batch); `seed` (the same ask, the same reply); `choice`
    (a pick in range where there are choices, none for a speech); `probabilities` (a distribution over the choices);
    `tokens` (as many log-probabilities as tokens, one for a pick; none above 0; the pick's tokens are those of its
    choice); `stop`; `failure` (a failed reply carries no move).

    Args:
        agent: it is asked each ask four times.
        asks: what to ask; by default a short protocol with a speech, three kinds of picks and a decision.

    Returns:
        What it breaks, one message a rule and ask; empty for an agent that keeps the contract.
    """
    broken: dict[str, None] = {}
    style = getattr(agent.speaker, "style", None)
    if style not in ("chat", "compact"):
        return [f"style: expected 'chat' or 'compact', got {style!r}"]
    given = list(asks) if asks is not None else default_asks(agent)
    together = await _ask(agent, given, "a batch", broken)
    backwards = await _ask(agent, given[::-1], "a reversed batch", broken)
    again = await _ask(agent, given, "the same batch again", broken)
    for i, ask in enumerate(given):
        where = f"{ask.seat} in {ask.state.current.phase}" if ask.state.current else ask.seat
        alone = await _ask(agent, [ask], f"one ask ({where})", broken)
        if together is not None:
            for rule, message in _reply(ask, together[i]):
                broken[f"{rule}: {where}: {message}"] = None
        if together is None or alone is None or backwards is None or again is None:
            continue
        if not _same(together[i], again[i]):
            broken[f"seed: {where}: the same ask twice got different replies"] = None
        elif not _same(together[i], alone[0]):
            broken[f"order: {where}: the reply alone differs from the reply in a batch"] = None
        elif not _same(together[i], backwards[-1 - i]):
            broken[f"order: {where}: the reply depends on the order of the batch"] = None
    return list(broken)


def default_asks(agent: Agent) -> list[Ask]:
    """The asks of a short protocol: positions after scripted moves, each seat to move."""
    protocol = parse_protocol(parse_yaml(_PROTOCOL, "conformance"), {})
    state = State(Setup(protocol, _QUESTION, dict.fromkeys(protocol.seats)))
    asks = []
    while to_move(state):
        for seat in to_move(state):
            messages = conversation(state, seat, agent.speaker.style)
            asks.append(Ask(state, seat, agent.policy.id, messages, derive(7, state.slot, seat)))
        moves = {
            seat: Move(option=number) if choices(state) else Move(f"+{number + 1}")
            for number, seat in enumerate(to_move(state))
        }
        state = step(state, moves)
    return asks


async def _ask(agent: Agent, asks: Sequence[Ask], what: str, broken: dict[str, None]) -> list[Reply] | None:
    try:
        replies: Any = list(await agent.speaker(asks))
    except Exception as error:  # the rule is that speakers do not raise
        broken[f"raises: {what} raised {type(error).__name__}: {error}"] = None
        return None
    if len(replies) != len(asks):
        broken[f"count: {what}: expected {len(asks)} replies, got {len(replies)}"] = None
        return None
    odd = next((reply for reply in replies if not isinstance(reply, Reply)), None)
    if odd is not None:
        broken[f"count: {what}: expected a Reply for each ask, got {type(odd).__name__}"] = None
        return None
    return list(replies)


def _reply(ask: Ask, reply: Reply) -> list[tuple[str, str]]:
    """(rule, message) of everything that is wrong with one reply."""
    if reply.failure is not None or reply.stop_reason == "error":
        if not isinstance(reply.failure, Failure) or reply.stop_reason != "error":
            return [("failure", "a failed reply has stop_reason 'error' and a Failure that says why")]
        return [("failure", "a failed reply carries no move")] if reply.text or reply.option is not None else []
    found = []
    offered = choices(ask.state)
    if reply.stop_reason not in _STOPS:
        found.append(("stop", f"expected one of {', '.join(_STOPS)}, got {reply.stop_reason!r}"))
    if not offered and reply.option is not None:
        found.append(("choice", f"a speech has no option, got {reply.option}"))
    if offered and (not isinstance(reply.option, int) or not 0 <= reply.option < len(offered)):
        found.append(("choice", f"expected an option 0…{len(offered) - 1}, got {reply.option!r}"))
        return found
    p = reply.probabilities
    if offered and p and (len(p) != len(offered) or not _distribution(p)):
        found.append(("probabilities", f"expected {len(offered)} that sum to 1, got {p}"))
    return found + _tokens(reply)


def _distribution(p: Sequence[float]) -> bool:
    return all(math.isfinite(x) and x >= 0 for x in p) and abs(math.fsum(p) - 1.0) < 1e-6


def _tokens(reply: Reply) -> list[tuple[str, str]]:
    found = []
    tokens, logprobs, ids = reply.tokens, reply.logprobs, reply.choices
    if logprobs is not None:
        expected = 1 if reply.option is not None else len(tokens or ())
        if len(logprobs) != expected:
            found.append(("tokens", f"expected {expected} log-probabilities, got {len(logprobs)}"))
        if any(not math.isfinite(x) or x > 1e-6 for x in logprobs):
            found.append(("tokens", f"log-probabilities must be finite and at most 0, got {max(logprobs)}"))
        if tokens is None:
            found.append(("tokens", "log-probabilities without the tokens they belong to"))
    if (
        ids is not None
        and reply.option is not None
        and tokens is not None
        and (reply.option >= len(ids) or tuple(ids[reply.option]) != tuple(tokens))
    ):
        found.append(("tokens", "the pick's tokens are not those of its choice"))
    return found


def _same(one: Reply, other: Reply) -> bool:
    """Whether two replies are the same move; log-probabilities to what batching changes in floating point."""
    if (one.text, one.option, one.tokens, one.failure) != (other.text, other.option, other.tokens, other.failure):
        return False
    pairs = zip((one.logprobs or ()), (other.logprobs or ()), strict=False)
    return all(math.isclose(a, b, abs_tol=1e-3) for a, b in pairs)
