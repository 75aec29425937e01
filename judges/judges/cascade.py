"""Cheap judges first, dear ones where the cheap ones are unsure, a person at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from judges.judges.again import again
from judges.judges.asking import ask_many
from judges.judges.identity import combined_identity
from judges.types import Case, Cost, Judge, Verdict


class CascadeJudge:
    """Asks judges in turn until one is sure enough; what nobody is sure of stays unjudged.

    A stage decides where its verdict is ok and its most probable option reaches the stage's threshold. The last stage
    needs a threshold too if it may abstain; 0 takes its word. Scores of the deciding verdict get "stage" (from 0).
    Trusting a stage above a calibrated threshold is selective classification (Geifman & El-Yaniv 2017; Jung et al.
    2024, "Trust or escalate"): take thresholds from `judges.abstention_threshold`.

    Attributes:
        judges: the stages.
        thresholds: one a stage.
        name: the cascade's name.
    """

    def __init__(self, *judges: Judge, threshold: float | Sequence[float] = 0.8, name: str = "cascade") -> None:
        """Checks stages and thresholds; a single threshold is for all stages but the last, whose word is taken.

        Raises:
            ValueError: no stages, or thresholds that are not one probability a stage.
        """
        if not judges:
            raise ValueError("CascadeJudge: expected at least one judge")
        numbers = (
            (float(threshold),) * (len(judges) - 1) + (0.0,)
            if isinstance(threshold, (int, float))
            else tuple(threshold)
        )
        if len(numbers) != len(judges) or not all(0.0 <= t <= 1.0 for t in numbers):
            raise ValueError(f"CascadeJudge: expected {len(judges)} probabilities as thresholds, got {numbers}")
        self.judges: tuple[Judge, ...] = judges
        self.thresholds = numbers
        self.name = name

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds."""
        return combined_identity("cascade", self.judges, f"thresholds={self.thresholds}")

    def again(self, number: int) -> CascadeJudge:
        """The cascade with every stage asked again (`judges.judges.again`)."""
        stages = [again(judge, number) for judge in self.judges]
        return CascadeJudge(*stages, threshold=self.thresholds, name=self.name)

    async def __call__(self, case: Case) -> Verdict:
        """The verdict of the first stage that is sure enough."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order; the cases that reach a stage go to it as one batch."""
        done: dict[int, Verdict] = {}
        costs = [Cost() for _ in cases]
        reasons: list[list[str]] = [[] for _ in cases]
        failed = [False] * len(cases)
        for stage, (judge, threshold) in enumerate(zip(self.judges, self.thresholds, strict=True)):
            waiting = [i for i in range(len(cases)) if i not in done]
            if not waiting:
                break
            for i, verdict in zip(waiting, await ask_many(judge, [cases[i] for i in waiting]), strict=True):
                costs[i] = costs[i] + verdict.cost
                if verdict.probabilities is not None and max(verdict.probabilities) >= threshold:
                    scores = {**verdict.scores, "stage": float(stage)}
                    done[i] = replace(verdict, judge=self.name, scores=scores, cost=costs[i])
                elif verdict.probabilities is not None:
                    reasons[i].append(f"{judge.name}: {max(verdict.probabilities):.3f} is under {threshold:.3f}")
                    failed[i] = False  # this stage worked: being unsure is an abstention
                else:
                    reasons[i].append(f"{judge.name}: {verdict.rationale}")
                    failed[i] = verdict.status == "error"
        return [done[i] if i in done else self._unjudged(reasons[i], failed[i], costs[i]) for i in range(len(cases))]

    def _unjudged(self, reasons: Sequence[str], failed: bool, cost: Cost) -> Verdict:
        return Verdict.failed(self.name, "; ".join(reasons), "error" if failed else "abstain", cost)
