"""Decisions taken by seats: one seat, a jury, a vote. A decision that nobody took is no number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from debate.protocol.events import Event
from debate.protocol.kernel import State
from debate.seeds import derive, unit
from judges.types import Verdict

_TIE = 1e-9


def seat_verdicts(state: State) -> list[Verdict]:
    """The verdicts that the seats of a finished match gave, where the protocol leaves the decision to them.

    `seat`: one for each decision, in order. `jury`: one for each phase with decisions (before and after a debate, say),
    the mean of the jurors' last probabilities in it. `vote`: one, the majority of everyone's last pick in the last such
    phase. An empty decision has status "abstain".
    """
    decision, setup = state.setup.protocol.decision, state.setup
    if decision.by not in ("seat", "jury", "vote"):
        return []
    votes = [
        event
        for event in state.events
        if (event.phase == decision.voters if decision.voters else event.kind == "decision")
    ]
    if not votes:
        return [Verdict.failed(decision.by, "no seat decided anything", "abstain")]
    options = len(decision.options or setup.question.options)
    if not options:
        return [Verdict.failed(decision.by, f"question {setup.question.id!r} has no options to decide on", "abstain")]
    if decision.by == "seat":
        return [Verdict(f"seat {event.seat}", _belief(event, options)) for event in votes]
    phases = list(dict.fromkeys(event.phase for event in votes))
    if decision.by == "vote":
        phases = [votes[-1].phase]
    verdicts = []
    for phase in phases:
        last = {event.seat: event for event in votes if event.phase == phase}
        if decision.by == "vote":
            verdicts.append(Verdict("vote", _majority(state, list(last.values()), options, phase)))
        else:
            beliefs = [_belief(event, options) for event in last.values()]
            mean = tuple(math.fsum(column) / len(beliefs) for column in zip(*beliefs, strict=True))
            name = "jury" if len(phases) == 1 else f"jury {phase}"
            verdicts.append(Verdict(name, _untied(state, mean, mean, phase)))
    return verdicts


def _belief(event: Event, options: int) -> tuple[float, ...]:
    return event.probabilities or tuple(float(k == event.option) for k in range(options))


def _majority(state: State, votes: Sequence[Event], options: int, phase: str) -> tuple[float, ...]:
    counts = [float(sum(event.option == k for event in votes)) for k in range(options)]
    best = max(counts)
    winners = [k for k in range(options) if counts[k] == best]
    return _untied(state, counts, tuple(float(k in winners) / len(winners) for k in range(options)), phase)


def _untied(state: State, scores: Sequence[float], drawn: tuple[float, ...], phase: str) -> tuple[float, ...]:
    """`drawn`, but where several options lead and the protocol breaks ties, certainty in one of them."""
    ties = state.setup.protocol.decision.ties
    winners = [k for k, score in enumerate(scores) if score >= max(scores) - _TIE]
    if ties == "draw" or len(winners) == 1:
        return drawn
    pick = 0 if ties == "first" else int(unit(derive(state.setup.seed, phase, "tie")) * len(winners))
    return tuple(float(k == winners[pick]) for k in range(len(scores)))
