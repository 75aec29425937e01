"""A judge that keeps to its certificate: below the confidence that it was blessed for, it abstains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from judges.judges.again import again
from judges.judges.asking import ask_many
from judges.types import Case, Judge, Verdict


@dataclass(frozen=True)
class AbstainingJudge:
    """A certified judge with its certificate's abstention threshold (`Certificate.abstention`).

    A verdict whose largest probability is under the threshold becomes an abstention; its probabilities are gone, what
    it measured is kept, with the confidence among its scores. It is the same judge: name and identity are the judge's.

    Attributes:
        judge: the judge.
        threshold: least confidence of a verdict that counts.
    """

    judge: Judge
    threshold: float

    def __post_init__(self) -> None:
        """Refuses a threshold that is no probability.

        Raises:
            ValueError: what was given.
        """
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"AbstainingJudge.threshold: expected a number between 0 and 1, got {self.threshold}")

    @property
    def name(self) -> str:
        """The judge's name."""
        return self.judge.name

    @property
    def identity(self) -> Any:
        """What a certificate binds: the judge itself."""
        return getattr(self.judge, "identity", None)

    def again(self, number: int) -> AbstainingJudge:
        """The judge asked again (`judges.judges.again`), under the same threshold."""
        return replace(self, judge=again(self.judge, number))

    async def __call__(self, case: Case) -> Verdict:
        """The verdict on one case."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order, in one batch."""
        return [self._held_to(verdict) for verdict in await ask_many(self.judge, cases)]

    def _held_to(self, verdict: Verdict) -> Verdict:
        if verdict.probabilities is None:
            return verdict
        confidence = min(1.0, max(verdict.probabilities))
        if confidence >= self.threshold:
            return verdict
        reason = f"confidence {confidence:.3f} is under the certificate's {self.threshold:.3f}"
        return replace(
            verdict,
            probabilities=None,
            status="abstain",
            rationale="; ".join(filter(None, (reason, verdict.rationale))),
            scores={**verdict.scores, "confidence": confidence},
        )
