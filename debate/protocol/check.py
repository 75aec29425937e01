"""Static and played checks of a protocol: what loads but cannot be meant.

    findings = check_protocol(load_protocol("my.yaml"))

`debate protocols check FILE` prints them. There is no list of exemptions: a shipped protocol has no errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from debate.protocol.decide import seat_verdicts
from debate.protocol.kernel import Move, Setup, State, choices, probabilities, step
from debate.protocol.leaks import find_leaks
from debate.protocol.load_text import used_in
from debate.protocol.references import conditions, first_slot, readable, unseen
from debate.protocol.spec import CHANCE, Block, Condition, DebateProtocol, Slot
from debate.questions import Question
from debate.records import pay, record
from debate.seeds import derive, draw, unit
from judges.rewards import Rewards
from judges.rules import make_rule
from judges.types import Verdict

QUESTION = Question(
    "check",
    "Which number is it?",
    ("7", "8"),
    0,
    "They say that it is 7.",
    ("+16", "-8", "+4", "-2", "+1", "-16", "+8", "-4", "+2", "-1", "+16", "-8"),
    "7",
)
MATCHES = 48
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a protocol.

    Attributes:
        level: an "error" is wrong whatever was meant; a "warning" is what a reader should know.
        rule: name of the rule that is broken.
        message: where, and what was expected.
    """

    level: Literal["error", "warning"]
    rule: str
    message: str

    def __str__(self) -> str:
        """`error unreachable: …`."""
        return f"{self.level} {self.rule}: {self.message}"


def error(rule: str, message: str) -> Finding:
    """What is wrong whatever was meant."""
    return Finding("error", rule, message)


def warning(rule: str, message: str) -> Finding:
    """What a reader should know."""
    return Finding("warning", rule, message)


@dataclass(frozen=True, eq=False)
class _Played:
    """A randomly played match: the slots and passes that were reached, and the rewards under a drawn verdict."""

    state: State
    rewards: Rewards | None
    problem: str = ""


def check_protocol(protocol: DebateProtocol, matches: int = MATCHES) -> list[Finding]:
    """What is wrong with a protocol.

    Rules: `leak`, `unreachable`, `order` (a phase that is asked about only comes later), `never_left` (an `until` that
    never holds), `blind_decision`, `unpaid`, `reward` (a rule that fails), `not_zero_sum`, `not_constant_sum`,
    `unbound` (a prompt shows an answer before it is bound), `idle` (a role that never moves).

    Args:
        protocol: as loaded, or made by hand.
        matches: how many random matches the played rules look at; what none of them reached counts as unreachable.

    Returns:
        The findings, errors first; empty for a protocol that passes.
    """
    if not protocol.schedule:
        return []  # its moves are those of a game with rules of its own
    played = [_play(protocol, seed) for seed in range(matches)]
    found = [
        *(error("leak", text) for text in unseen(protocol)),
        *(error("leak", text) for text in find_leaks(protocol)),
        *_order(protocol),
        *_reached(protocol, played),
        *_blind(protocol),
        *_unbound(protocol),
        *_rewards(protocol, played),
    ]
    return sorted(found, key=lambda finding: finding.level)


# --- random matches --------------------------------------------------------------------------------------------


def _play(protocol: DebateProtocol, seed: int) -> _Played:
    question = replace(QUESTION, label=seed % 2, gold=QUESTION.options[seed % 2])
    given: dict[str, int | None] = dict.fromkeys(protocol.seats)
    for role in protocol.roles:
        for index, seat in enumerate(role.seats):
            if role.answers in ("by_seat", "random"):
                given[seat] = (index if role.answers == "by_seat" else derive(seed, seat)) % len(question.options)
    state = State(Setup(protocol, question, given, derive(seed, "rules")))
    asked = {leaf.phase: leaf.text for c, _ in conditions(protocol) for leaf in c.leaves() if leaf.text}
    while (slot := state.current) is not None:
        moves = {}
        for seat in slot.seats:
            fate = derive(seed, state.slot, seat)
            if seat == CHANCE:
                weights = probabilities(state)
                moves[seat] = Move(option=draw(weights, fate), probabilities=weights)
            elif slot.kind in ("speech", "question"):
                said = ["7", "8", f"I am {seat}.", asked.get(slot.phase, "It is 7.\nSo they say.")]
                moves[seat] = Move(said[fate % len(said)])
            else:
                offered = len(choices(state))
                belief = _belief(derive(fate, "belief"), offered)
                moves[seat] = Move(option=draw(belief, derive(fate, "pick")), probabilities=belief)
        state = step(state, moves)
    try:
        return _Played(state, _pay(state, seed))
    except (ValueError, KeyError, ZeroDivisionError, IndexError) as problem:
        return _Played(state, None, f"{type(problem).__name__}: {problem}")


def _belief(seed: int, options: int) -> tuple[float, ...]:
    """A drawn distribution: certain, equal, or anything between."""
    kind = seed % 4
    if kind == 0:
        return tuple(float(k == seed // 4 % options) for k in range(options))
    if kind == 1:
        return (1.0 / options,) * options
    weights = [unit(derive(seed, k)) for k in range(options)]
    return tuple(weight / math.fsum(weights) for weight in weights)


def _pay(state: State, seed: int) -> Rewards:
    """The rewards of a match under a drawn verdict and drawn measures."""
    from debate.play import transcript_of

    protocol = state.setup.protocol
    transcript = transcript_of(state)
    verdicts = tuple(seat_verdicts(state))
    if protocol.decision.by == "judge":
        verdicts = (Verdict("drawn", _belief(derive(seed, "verdict"), len(transcript.case().options))),)
    found = record(state, transcript, verdicts)
    measures = {name: tuple(unit(derive(seed, name, seat)) for seat in protocol.seats) for name in found.measures}
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    return pay(protocol, rules, replace(found, measures=measures))


# --- the rules -------------------------------------------------------------------------------------------------


def _order(protocol: DebateProtocol) -> Iterator[Finding]:
    first = {slot.phase: slot.id for slot in reversed(protocol.slots)}
    texts: dict[str, set[str] | None] = {}
    for slot in protocol.slots:
        known = set(slot.choices) if isinstance(slot.choices, tuple) and slot.choices else None
        before = texts.get(slot.phase, set())
        texts[slot.phase] = None if known is None or before is None else before | known
    for node, repeated in _nodes(protocol.schedule, None):
        start = first_slot(node)
        where = f"slot {start.id} ({start.phase})"
        behind = repeated if repeated is not None else start.id
        for leaf in node.when.leaves() if node.when is not None else ():
            if leaf.phase and first.get(leaf.phase, 0) >= max(behind, start.id):
                yield error("order", f"{where}: when asks about {leaf.phase!r}, which only comes later")
        for leaf in node.until.leaves() if isinstance(node, Block) and node.until is not None else ():
            if leaf.phase and first.get(leaf.phase, 0) > _last(node).id:
                yield error(
                    "order", f"the block from {where} on: until asks about {leaf.phase!r}, which only comes later"
                )
    for condition, place in conditions(protocol):
        for leaf in condition.leaves():
            offered = texts.get(leaf.phase)
            if leaf.test in ("is", "any") and offered is not None and leaf.text not in offered:
                only = f"only {sorted(offered)}"
                yield error("unreachable", f"{place}: {leaf.text!r} cannot be picked in {leaf.phase!r}, {only}")
    for slot in protocol.slots:
        if slot.recall and first[slot.recall] >= slot.id and not _in_repeat(protocol, slot):
            where = f"slot {slot.id} ({slot.phase})"
            yield error("order", f"{where}: recall of {slot.recall!r}, which only comes later")


def _nodes(nodes: Sequence[Slot | Block], end: int | None) -> Iterator[tuple[Slot | Block, int | None]]:
    """(node, id behind the outermost repeat around it): within a repeat, what comes later may have come before."""
    for node in nodes:
        yield node, end
        if isinstance(node, Block):
            yield from _nodes(node.items, end if end is not None else _last(node).id + 1 if node.repeat > 1 else None)


def _last(node: Slot | Block) -> Slot:
    return node if isinstance(node, Slot) else _last(node.items[-1])


def _in_repeat(protocol: DebateProtocol, slot: Slot) -> bool:
    return any(end is not None for node, end in _nodes(protocol.schedule, None) if node is slot or node == slot)


def _reached(protocol: DebateProtocol, played: Sequence[_Played]) -> Iterator[Finding]:
    reached = {event.where for one in played for event in one.state.events}
    for slot in protocol.slots:
        if slot.id not in reached:
            yield error(
                "unreachable",
                f"slot {slot.id} ({slot.phase}): no one of {len(played)} random matches came to it",
            )
    lengths = {len(one.state.events) for one in played}
    if any(_untils(protocol.schedule)) and len(lengths) == 1 and lengths == {_most_events(protocol)}:
        yield warning("never_left", f"no one of {len(played)} random matches left a block early: does until ever hold?")
    for role in protocol.roles:
        if not any(seat in slot.seats for slot in protocol.slots for seat in role.seats):
            yield warning("idle", f"role {role.name!r} never moves")


def _untils(nodes: Sequence[Slot | Block]) -> Iterator[Condition]:
    for node in nodes:
        if isinstance(node, Block):
            if node.until is not None:
                yield node.until
            yield from _untils(node.items)


def _most_events(protocol: DebateProtocol) -> int:
    return sum(len(slot.seats) for slot in protocol.longest())


def _blind(protocol: DebateProtocol) -> Iterator[Finding]:
    for slot in protocol.slots:
        votes = slot.kind == "decision" or slot.phase == protocol.decision.voters
        if not votes and not slot.binds:
            continue
        for seat in slot.seats:
            role = protocol.role_of(seat)
            where = f"slot {slot.id} ({slot.phase}): {seat!r} decides"
            if "question" not in role.sees:
                yield error("blind_decision", f"{where}, but its role does not see the question")
            if "options" not in role.sees and not (protocol.decision.options and slot.kind == "decision"):
                yield error("blind_decision", f"{where}, but its role does not see the options")
            said = [s for s in protocol.slots[: slot.id] if s.kind in ("speech", "question") and seat not in s.seats]
            if votes and said and not any(readable(protocol, seat, s) for s in said) and "material" not in role.sees:
                yield error("blind_decision", f"{where}, but it can read nothing of what is said before")
    spoken = [s for s in protocol.slots if s.visibility == "public" and s.kind != "decision"]
    if protocol.decision.by == "judge" and not any(s.channel in protocol.decision.channels for s in spoken):
        yield error("blind_decision", "the judge decides, but it can read nothing of what is said")


def _unbound(protocol: DebateProtocol) -> Iterator[Finding]:
    late = {protocol.role_of(seat).name for slot in protocol.slots if slot.binds for seat in slot.seats}
    for role in protocol.roles:
        shown = used_in(role.prompt) & {"answer", "answer_index", "other_answer"}
        bound = role.name in late or role.opposes in late
        if shown and bound and role.answers in ("none", "opposes"):
            names = ", ".join(f"{{{name}}}" for name in sorted(shown))
            yield error(
                "unbound",
                f"role {role.name!r}: its prompt shows {names} before the answer is bound; put it "
                "into the instruction of a later slot",
            )


def _rewards(protocol: DebateProtocol, played: Sequence[_Played]) -> Iterator[Finding]:
    problems = dict.fromkeys(one.problem for one in played if one.problem)
    yield from (error("reward", text) for text in problems)
    paid = [one.rewards for one in played if one.rewards is not None]
    if not paid:
        return
    for column, criterion in enumerate(protocol.rewards):
        ok = [np.array([row[column] == "ok" for row in rewards.status]) for rewards in paid]
        if not any(mask.any() for mask in ok):
            yield error(
                "unpaid",
                f"criterion {criterion.name!r}: rule {criterion.rule!r} paid nobody in {len(paid)} random matches",
            )
            continue
        sums = [
            math.fsum(rewards.values[mask, column].tolist())
            for rewards, mask in zip(paid, ok, strict=True)
            if mask.any()
        ]
        least, most = min(sums), max(sums)
        what = f"criterion {criterion.name!r} is declared {criterion.utility}, but its rewards of one match sum to"
        if criterion.utility == "zero_sum" and max(-least, most) > _TOLERANCE:
            yield error("not_zero_sum", f"{what} {max(sums, key=abs):g}")
        if criterion.utility == "constant_sum" and most - least > _TOLERANCE:
            yield error("not_constant_sum", f"{what} anything from {least:g} to {most:g}")
