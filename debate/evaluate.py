"""Held-out evaluation: how often the judge is right, with whom in the seats."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence

from debate.agents.agent import Agent
from debate.agents.scripted import SCRIPTS, ScriptedSpeaker
from debate.play import Arena, ask_judge
from debate.protocol.spec import DebateProtocol
from debate.session import Session, live_seats
from debate.transcript import Episode, Match, Policy
from judges.types import Case


def evaluate(session: Session, when: str) -> dict[str, float]:
    """Arena → judge accuracy of the current policies on held-out questions; `when` names the evaluation for good."""
    matches = {
        spec.name: evaluation_matches(
            session.arenas[spec.name],
            f"eval/{when}",
            session.test_ids[spec.name][: session.recipe.evaluation],
            live_seats(session, spec),
        )
        for spec in session.recipe.arenas
    }
    session.progress.start(f"evaluate {when}", sum(map(len, matches.values())))
    return {name: accuracy(session.play(f"eval/{when}/{name}", planned)) for name, planned in matches.items()}


def evaluation_matches(arena: Arena, prefix: str, questions: Sequence[str], seats: Mapping[str, str]) -> list[Match]:
    """One match a question; where an answer is assigned at random, one for each possible assignment instead.

    With both assignments played, the accuracy of a consultancy is its expectation over the coin, not a draw of it.
    """
    drawn = [seat for role in arena.protocol.roles if role.answers == "random" for seat in role.seats]
    if len(drawn) != 1:
        return [Match(f"{prefix}/{arena.name}/{q}", arena.name, q, dict(seats)) for q in questions]
    return [
        Match(f"{prefix}/{arena.name}/{q}/{answer}", arena.name, q, dict(seats), {drawn[0]: answer})
        for q in questions
        for answer in range(len(arena.questions[q].options))
    ]


def accuracy(episodes: Iterable[Episode]) -> float:
    """Mean of the criterion `truth` where it is known (½ for an undecided judge); NaN where it never is."""
    values = []
    for episode in episodes:
        rewards = episode.rewards
        if rewards is not None and "truth" in rewards.criteria:
            value = float(rewards.values[0, rewards.criteria.index("truth")])
            if math.isfinite(value):
                values.append(value)
    return math.fsum(values) / len(values) if values else math.nan


def scripted_accuracy(session: Session) -> dict[str, float]:
    """Script → judge accuracy in the main arena when that script sits in every seat.

    Only for protocols in which all that is ever done is to reveal evidence: there the scripts know how to play.
    """
    spec = session.recipe.main
    arena = session.arenas[spec.name]
    if not _only_reveals(arena.protocol):
        return {}
    questions = session.test_ids[spec.name][: session.recipe.evaluation]
    session.progress.start("evaluate baselines", len(questions) * len(SCRIPTS))
    result = {}
    for name, script in SCRIPTS.items():
        policy = Policy(f"script:{name}", 0, "scripted")
        session.cast.add(Agent(policy, ScriptedSpeaker(script)))
        seats = dict.fromkeys(arena.protocol.seats, policy.id)
        matches = evaluation_matches(arena, f"eval/{name}", questions, seats)
        result[name] = accuracy(session.play(f"eval/{name}", matches))
    return result


def _only_reveals(protocol: DebateProtocol) -> bool:
    return bool(protocol.slots) and all(slot.reveal for slot in protocol.slots)


def judge_alone(session: Session, show_material: bool) -> float:
    """Accuracy of the main arena's judges without any debate: naive, or expert where the material is shown to them.

    NaN where no judge decides, or where there is no material to show.
    """
    spec = session.recipe.main
    arena = session.arenas[spec.name]
    questions = [arena.questions[q] for q in session.test_ids[spec.name][: session.recipe.evaluation]]
    questions = [q for q in questions if q.label is not None and (q.material or not show_material)]
    if arena.protocol.decision.by != "judge" or not questions:
        return math.nan
    cases = [Case(q.question, q.options, (), q.material if show_material else "") for q in questions]
    scores = []
    for judge in arena.judges:
        verdicts = asyncio.run(ask_judge(judge, cases))
        known = [
            (v.probabilities, q.label) for v, q in zip(verdicts, questions, strict=True) if v.probabilities is not None
        ]
        scores += [_hit(p, label) for p, label in known if label is not None]
    return math.fsum(scores) / len(scores) if scores else math.nan


def _hit(probabilities: Sequence[float], label: int) -> float:
    best = max(probabilities)
    tied = [i for i, p in enumerate(probabilities) if p >= best - 1e-9]
    return 1.0 / len(tied) if label in tied else 0.0
