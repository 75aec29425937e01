"""A verifier before a judge: what code can check is not left to opinion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from judges.judges.asking import ask_many
from judges.judges.identity import combined_identity
from judges.types import Case, Cost, Judge, Status, Verdict

Verifier = Callable[[Case], int | None]


@dataclass(frozen=True)
class VerifierJudge:
    """Takes the verifier's answer wherever there is one; asks the judge otherwise.

    Scores: "verified" (1 where the verifier decided, 0 where the judge did), "overruled" (1 where the verifier decided
    against the judge; only with `compare`), "verifier_failed" (1 where it raised: the reason is in the rationale).

    Attributes:
        verifier: index of the option that holds, None where it cannot tell.
        judge: asked where the verifier cannot tell; None abstains.
        name: the judge's name.
        compare: ask the judge on verified cases as well, to see how often it is wrong.
    """

    verifier: Verifier
    judge: Judge | None = None
    name: str = "verifier"
    compare: bool = False

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds; the verifier itself needs none and is known by its name only."""
        members = [] if self.judge is None else [self.judge]
        verifier = getattr(self.verifier, "__qualname__", type(self.verifier).__qualname__)
        return combined_identity("verifier", members, f"{verifier} compare={self.compare}")

    async def __call__(self, case: Case) -> Verdict:
        """The verdict on one case."""
        return (await self.judge_many([case]))[0]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order; the judge gets its cases as one batch."""
        found: list[int | str | None] = [self._verify(case) for case in cases]
        asked = [i for i, f in enumerate(found) if self.compare or not isinstance(f, int)]
        opinions: dict[int, Verdict] = {}
        if self.judge is not None:
            opinions = dict(zip(asked, await ask_many(self.judge, [cases[i] for i in asked]), strict=True))
        return [self._verdict(case, found[i], opinions.get(i)) for i, case in enumerate(cases)]

    def _verify(self, case: Case) -> int | str | None:
        try:
            option = self.verifier(case)
        except Exception as error:  # the boundary: a verifier that breaks has not verified anything
            return f"{type(error).__name__}: {error}"
        if option is not None and not 0 <= option < len(case.options):
            return f"the verifier names option {option} of {len(case.options)}"
        return option

    def _verdict(self, case: Case, found: int | str | None, opinion: Verdict | None) -> Verdict:
        if isinstance(found, int):
            scores = {"verified": 1.0}
            if opinion is not None and opinion.answer is not None:
                scores["overruled"] = float(opinion.answer != found)
            certain = tuple(float(k == found) for k in range(len(case.options)))
            cost = Cost() if opinion is None else opinion.cost
            return Verdict(self.name, certain, scores, "verified by code", cost=cost)
        failure = "" if found is None else f"verifier failed: {found}. "
        scores = {"verified": 0.0, "verifier_failed": float(found is not None)}
        if opinion is None:
            status: Status = "abstain" if found is None else "error"
            return replace(
                Verdict.failed(self.name, failure or "nothing to verify and nobody to ask", status), scores=scores
            )
        return replace(
            opinion, judge=self.name, scores={**opinion.scores, **scores}, rationale=failure + opinion.rationale
        )
