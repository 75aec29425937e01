"""From a finished match to rewards: what the rules read, and who is paid for what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from debate.acts import acts_of
from debate.protocol.conditions import accepts, reference
from debate.protocol.kernel import State, answers, claim, finals
from debate.protocol.spec import Criterion, DebateProtocol, Slot
from debate.transcript import Transcript, Turn
from judges.rewards import RewardRule, Rewards, measure_rewards
from judges.types import Record, Verdict


def decided(state: State) -> tuple[str, tuple[str, ...]]:
    """The question and the options that are decided, as the judge's case shows them."""
    question, decision = state.setup.question, state.setup.protocol.decision
    asked = question.question
    if decision.question:
        asked = decision.question.format(question=asked, claim=claim(replace(state, cursor=None)))
    return asked, decision.options or question.options


def record(state: State, transcript: Transcript, verdicts: tuple[Verdict, ...]) -> Record:
    """What the reward rules read of a finished match.

    Where the protocol has options of its own decided, label and answers are about these: the first option is right
    where the claim of the role `about` is; that role answers the first, who opposes it the second. Without `about` they
    are not known.
    """
    question, seats = state.setup.question, state.setup.protocol.seats
    last, held = finals(state), answers(state)
    label = question.label
    if state.setup.protocol.decision.options:
        label, held = _about(state)
    return Record(
        transcript.case(),
        verdicts,
        label,
        seats,
        tuple(held[seat] for seat in seats),
        measures(state.setup.protocol, transcript.turns),
        reference(question),
        tuple(last[seat] for seat in seats),
        roles=tuple(state.setup.protocol.role_of(seat).name for seat in seats),
        acts=acts_of(state),
        options=question.options,
    )


def _about(state: State) -> tuple[int | None, dict[str, int | None]]:
    protocol, question = state.setup.protocol, state.setup.question
    about = protocol.decision.about
    held: dict[str, int | None] = dict.fromkeys(protocol.seats)
    if not about:
        return None, held
    for role in protocol.roles:
        if role.name == about or role.opposes == about:
            held |= dict.fromkeys(role.seats, int(role.name != about))
    seat = next(role.seats[0] for role in protocol.roles if role.name == about)
    own, final = answers(state)[seat], finals(state)[seat]
    if own is not None and question.label is not None:
        return int(own != question.label), held
    if final is not None and reference(question) is not None:
        return int(not accepts(protocol.decision.verifier, final, question)), held
    return None, held


def pay(protocol: DebateProtocol, rules: Mapping[str, RewardRule], found: Record) -> Rewards:
    """The rewards of a record; a criterion that is paid to some roles only is not known for the others."""
    rewards = measure_rewards(rules, found)
    limited = [criterion for criterion in protocol.rewards if criterion.roles and criterion.name in rules]
    if not limited:
        return rewards
    values, status = rewards.values.copy(), [list(row) for row in rewards.status]
    for criterion in limited:
        column = rewards.criteria.index(criterion.name)
        for row in _unpaid(protocol, criterion, rewards.seats):
            values[row, column], status[row][column] = np.nan, "abstain"
    return replace(rewards, values=values, status=tuple(map(tuple, status)))


def _unpaid(protocol: DebateProtocol, criterion: Criterion, seats: Sequence[str]) -> list[int]:
    return [row for row, seat in enumerate(seats) if protocol.role_of(seat).name not in criterion.roles]


def measures(protocol: DebateProtocol, turns: Sequence[Turn]) -> dict[str, tuple[float, ...]]:
    """Name → [S] what can be counted of a match without a judge; NaN where it does not apply.

    `tokens` and `words` said, `validity` (share of picks that were legal), `format` (share of speeches that are not
    empty, ended by themselves and kept the slot's word limit); counts of `forged` marks made inert, of words `cut` off
    and quotes in `excess` of the budget, and of speeches that were `passed` because the budget was used up. Of a speech
    that was drafted first, only what is said in the end is counted.
    """
    columns: dict[str, list[float]] = {
        name: [] for name in ("tokens", "words", "validity", "format", "forged", "cut", "excess", "passed")
    }
    asides = {slot.id for slot in protocol.slots if slot.aside}
    for seat in protocol.seats:
        own = [turn for turn in turns if turn.seat == seat and turn.where not in asides]
        speeches = [turn for turn in own if turn.option is None]
        known = bool(own) and all(turn.tokens is not None for turn in own if turn.stop_reason != "budget")
        columns["tokens"].append(float(sum(len(turn.tokens or ()) for turn in own)) if known else math.nan)
        columns["words"].append(float(sum(_words(turn) for turn in speeches)))
        columns["validity"].append(_mean(turn.legal for turn in own if turn.legal is not None))
        columns["format"].append(_mean(_well_formed(protocol.slots[turn.where], turn) for turn in speeches))
        columns["forged"].append(float(sum(turn.forged for turn in own)))
        columns["cut"].append(float(sum(turn.cut for turn in own)))
        columns["excess"].append(float(sum(turn.excess for turn in own)))
        columns["passed"].append(float(sum(turn.stop_reason == "budget" for turn in own)))
    return {name: tuple(values) for name, values in columns.items()}


def _words(turn: Turn) -> int:
    return len((turn.public or turn.private).split())


def _well_formed(slot: Slot, turn: Turn) -> bool:
    """Within the word limit that was told, or the tolerance where the slot names one."""
    limit = slot.accept or slot.words
    return 0 < _words(turn) <= (limit or math.inf) and not turn.cut and turn.stop_reason == "stop"


def _mean(values: Iterable[bool]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else math.nan
