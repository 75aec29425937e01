"""The judge without a debate: naive, on the question alone, and expert, with the material that debaters see."""

from __future__ import annotations

import asyncio

import numpy as np

from debate.play import Arena, ask_judge
from debate.tournaments.clustered import Array
from debate.tournaments.pairing import Field
from judges.criteria import Truth
from judges.types import Case, Cost, Record, Verdict

_TRUTH = Truth()


def judge_alone(arena: Arena, field: Field, material: bool) -> tuple[Array | None, Cost]:
    """Hits of the arena's panel on the field's questions, without a debate.

    Args:
        arena: whose judges are asked.
        field: whose questions.
        material: expert, who reads the material, or naive.

    Returns:
        [Q, 2] (hits, count), a tie at the top counting ½; None where no judge decides, no question has a label, or
        there is no material to read. And what the verdicts cost.
    """
    asked = [
        (q, question)
        for q, question in enumerate(field.questions)
        if question.label is not None and question.options and (question.material or not material)
    ]
    if arena.protocol.decision.by != "judge" or not arena.judges or not asked:
        return None, Cost()
    cases = [Case(q.question, q.options, (), q.material if material else "") for _, q in asked]
    panels: list[list[Verdict]] = [[] for _ in asked]
    for judge in arena.judges:
        for panel, verdict in zip(panels, asyncio.run(_ask(judge, cases)), strict=True):
            panel.append(verdict)
    table = np.zeros((len(field.questions), 2))
    cost = Cost()
    for (q, question), case, panel in zip(asked, cases, panels, strict=True):
        for verdict in panel:
            cost += verdict.cost
        value = _TRUTH(Record(case, tuple(panel), question.label, ("judge",), (None,)))[0].value
        if np.isfinite(value):
            table[q] += (value, 1.0)
    return (table if table[:, 1].any() else None), cost


async def _ask(judge: object, cases: list[Case]) -> list[Verdict]:
    return list(await ask_judge(judge, cases))  # type: ignore[arg-type]
