"""Several judges as one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from judges.judges.again import again
from judges.judges.asking import ask_many
from judges.judges.ensemble import pessimistic
from judges.judges.identity import combined_identity
from judges.types import Case, Cost, Judge, Verdict

Rule = Literal["vote", "mean", "dawid_skene", "pessimistic"]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RaterModel:
    """How each member errs (Dawid & Skene 1979).

    Attributes:
        prior: [K] how often each class is the true one.
        confusion: [M, K, K] probability that member m says l where k is true, rows summing to 1.
    """

    prior: Array
    confusion: Array

    def posterior(self, votes: Sequence[int | None]) -> Array:
        """[K] probability of each class given one vote a member; None is a vote not cast."""
        with np.errstate(divide="ignore"):
            log = np.log(self.prior)
            for member, vote in enumerate(votes):
                if vote is not None:
                    log = log + np.log(self.confusion[member, :, vote])
        top = log.max()
        if not math.isfinite(top):
            raise ValueError(f"the rater model gives these votes probability 0: {list(votes)}")
        weights = np.exp(log - top)
        return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class PanelJudge:
    """Asks several judges and combines the verdicts that are ok.

    Rules: "vote" (share of single most probable options, ties split), "mean" (of the distributions), "dawid_skene"
    (posterior given votes and each member's confusion), "pessimistic" (each option's certainty equivalent; what is
    missing to 1 is spread evenly, so disagreement moves the verdict towards "does not know").

    Scores: "spread" (mean total variation distance of the members from their mean), "dissent" (share of members whose
    answer is not the panel's), "members_ok", "members_failed".

    Attributes:
        judges: the members, their names unique.
        rule: how to combine.
        name: the panel's name.
        quorum: how many members must be ok; None asks for more than half.
        beta: risk aversion of the rule "pessimistic".
        model: the members' confusion for "dawid_skene"; None fits it to the cases of each call, so that a verdict then
            depends on the cases judged with it.
        smoothing: Dirichlet smoothing of that fit.
    """

    judges: Sequence[Judge]
    rule: Rule = "mean"
    name: str = "panel"
    quorum: int | None = None
    beta: float = 1.0
    model: RaterModel | None = None
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        """Refuses an empty panel, repeated names, unknown rules and an impossible quorum.

        Raises:
            ValueError: what is wrong.
        """
        names = [judge.name for judge in self.judges]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"PanelJudge.judges: expected members with unique names, got {names}")
        if self.rule not in ("vote", "mean", "dawid_skene", "pessimistic"):
            raise ValueError(f"PanelJudge.rule: expected vote, mean, dawid_skene or pessimistic, got {self.rule!r}")
        if self.quorum is not None and not 1 <= self.quorum <= len(names):
            raise ValueError(f"PanelJudge.quorum: expected 1 to {len(names)}, got {self.quorum}")
        if not self.beta >= 0:
            raise ValueError(f"PanelJudge.beta: expected a number ≥ 0, got {self.beta}")
        if self.model is not None and self.model.confusion.shape[0] != len(names):
            raise ValueError(f"PanelJudge.model: {self.model.confusion.shape[0]} members, the panel has {len(names)}")

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds."""
        fitted = "none" if self.model is None else f"{self.model.prior.tolist()} {self.model.confusion.tolist()}"
        settings = f"{self.rule} quorum={self.quorum} beta={self.beta} smoothing={self.smoothing} model={fitted}"
        return combined_identity("panel", self.judges, settings)

    def again(self, number: int) -> PanelJudge:
        """The panel with every member asked again (`judges.judges.again`)."""
        return replace(self, judges=[again(judge, number) for judge in self.judges])

    async def __call__(self, case: Case) -> Verdict:
        """The panel's verdict on one case."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order; every member gets its cases as one batch."""
        rows = await asyncio.gather(*(ask_many(judge, cases) for judge in self.judges))
        of_case = [[row[i] for row in rows] for i in range(len(cases))]
        model = self.model
        if self.rule == "dawid_skene" and model is None:
            widths = {len(case.options) for case in cases}
            if len(widths) > 1:
                reason = f"one fit needs one number of options, the cases have {sorted(widths)}"
                return [self._failed(verdicts, reason) for verdicts in of_case]
            model = fit_raters(
                [[v.answer for v in verdicts] for verdicts in of_case], max(widths, default=2), self.smoothing
            )
        return [self._combine(verdicts, model) for verdicts in of_case]

    def _failed(self, verdicts: Sequence[Verdict], reason: str) -> Verdict:
        broken = not verdicts or any(v.status == "error" for v in verdicts) or all(v.status == "ok" for v in verdicts)
        return Verdict.failed(self.name, reason, "error" if broken else "abstain", _cost(verdicts))

    def _combine(self, verdicts: Sequence[Verdict], model: RaterModel | None) -> Verdict:
        good = [v for v in verdicts if v.probabilities is not None]
        needed = len(verdicts) // 2 + 1 if self.quorum is None else self.quorum
        if len(good) < needed:
            reasons = "; ".join(f"{v.judge}: {v.rationale}" for v in verdicts if v.probabilities is None)
            return self._failed(
                verdicts, f"{len(good)} of {len(verdicts)} members judged, {needed} are needed ({reasons})"
            )
        beliefs = np.array([v.probabilities for v in good])
        mean = beliefs.mean(axis=0)
        try:
            combined = self._apply(beliefs, [v.answer for v in verdicts], model)
        except ValueError as error:
            return self._failed(verdicts, str(error))
        probabilities = tuple(float(p) for p in combined / combined.sum())
        top = Verdict(self.name, probabilities).answer
        scores = {
            "spread": float(0.5 * np.abs(beliefs - mean).sum(axis=1).mean()),
            "dissent": sum(v.answer != top for v in good) / len(good),
            "members_ok": float(len(good)),
            "members_failed": float(len(verdicts) - len(good)),
        }
        return Verdict(self.name, probabilities, scores, cost=_cost(verdicts))

    def _apply(self, beliefs: Array, votes: Sequence[int | None], model: RaterModel | None) -> Array:
        count = beliefs.shape[1]
        if self.rule == "vote":
            winners = np.isclose(beliefs, beliefs.max(axis=1, keepdims=True), rtol=0, atol=1e-9)
            return np.asarray((winners / winners.sum(axis=1, keepdims=True)).mean(axis=0))
        if self.rule == "dawid_skene":
            if model is None or model.prior.shape[0] != count:
                raise ValueError(f"the rater model is not one of {count} options")
            return model.posterior(votes)
        if self.rule == "pessimistic":
            least = pessimistic(beliefs, self.beta)
            return np.asarray(least + (1.0 - least.sum()) / count)
        return np.asarray(beliefs.mean(axis=0))


def fit_raters(votes: Sequence[Sequence[int | None]], classes: int, smoothing: float = 1.0) -> RaterModel:
    """Each member's confusion from votes alone, by EM.

    Args:
        votes: for each item, one vote a member; None where it cast none.
        classes: K.
        smoothing: Dirichlet smoothing.
    """
    from judges.statistics.latent_class import dawid_skene

    members = len(votes[0]) if votes else 0
    counts = np.zeros((len(votes), members, classes))
    for item, row in enumerate(votes):
        for member, vote in enumerate(row):
            if vote is not None:
                counts[item, member, vote] = 1.0
    fit = dawid_skene(counts, smoothing=smoothing)
    return RaterModel(np.asarray(fit.prior), np.asarray(fit.confusion))


def _cost(verdicts: Sequence[Verdict]) -> Cost:
    return reduce(Cost.__add__, (v.cost for v in verdicts), Cost())
