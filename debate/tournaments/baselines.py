"""The judge without a debate: naive, on the question alone, and expert, with the material that debaters see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from debate.play import Arena, ask_judge
from debate.tournaments.clustered import Array
from debate.tournaments.pairing import Field
from judges.criteria import Truth
from judges.judges.again import again
from judges.types import Case, Cost, Judge, Record, Verdict

_TRUTH = Truth()
Asker = Callable[[Arena, int, int, Sequence[Case]], list[Verdict]]


def ask_here(arena: Arena, place: int, number: int, cases: Sequence[Case]) -> list[Verdict]:
    """Asks a judge in this process: the one at this place of the arena's panel, with the randomness of this number."""
    return asyncio.run(_ask(again(arena.judges[place], number), cases))


class JudgeAlone:
    """An arena's panel on a field's questions, without a debate, asked any number of times.

    Attributes:
        questions: places of the questions that are asked, in the field.
        cost: of all verdicts so far.
    """

    def __init__(
        self,
        arena: Arena,
        field: Field,
        material: bool,
        played: NDArray[np.bool_] | None = None,
        asker: Asker = ask_here,
    ) -> None:
        """Nothing is asked yet, and there is nothing to ask where no judge decides.

        Args:
            arena: whose judges are asked.
            field: whose questions: those with a label, and with something to read where it is to be read.
            material: expert, who reads the material, or naive.
            played: [Q] whether a question counts; None for all.
            asker: asks a judge, in this process or on Ray.
        """
        decided = arena.protocol.decision.by == "judge" and bool(arena.judges)
        self.arena, self.count, self._asker = arena, len(field.questions), asker
        asked = [
            (q, question.label, Case(question.question, question.options, (), question.material if material else ""))
            for q, question in enumerate(field.questions)
            if decided and question.label is not None and question.options and (question.material or not material)
            if played is None or played[q]
        ]
        self.questions = [q for q, _, _ in asked]
        self._labels = [label for _, label, _ in asked]
        self._cases = [case for _, _, case in asked]
        self._panels: list[list[Verdict]] = [[] for _ in asked]
        self.cost = Cost()

    def ask(self, numbers: Iterable[int]) -> None:
        """Asks every judge every question once for each number; equal numbers give equal verdicts."""
        for number in numbers:
            for place in range(len(self.arena.judges)):
                verdicts = self._asker(self.arena, place, number, self._cases) if self._cases else []
                for panel, verdict in zip(self._panels, verdicts, strict=True):
                    panel.append(verdict)
                    self.cost += verdict.cost

    def hits(self) -> Array | None:
        """[Q, 2] (hits, count) of the mean belief of all verdicts so far; None where none is known."""
        table = np.zeros((self.count, 2))
        for q, label, case, panel in zip(self.questions, self._labels, self._cases, self._panels, strict=True):
            value = _TRUTH(Record(case, tuple(panel), label, ("judge",), (None,)))[0].value
            if np.isfinite(value):
                table[q] += (value, 1.0)
        return table if table[:, 1].any() else None


def judge_alone(arena: Arena, field: Field, material: bool) -> tuple[Array | None, Cost]:
    """Hits of the arena's panel on the field's questions, without a debate, each asked once.

    Args:
        arena: whose judges are asked.
        field: whose questions.
        material: expert, who reads the material, or naive.

    Returns:
        [Q, 2] (hits, count), a tie at the top counting ½; None where no judge decides, no question has a label, or
        there is no material to read. And what the verdicts cost.
    """
    alone = JudgeAlone(arena, field, material)
    alone.ask([0])
    return alone.hits(), alone.cost


async def _ask(judge: Judge, cases: Sequence[Case]) -> list[Verdict]:
    return list(await ask_judge(judge, cases))
