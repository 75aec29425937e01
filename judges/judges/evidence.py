"""The naive judge of the evidence debate: it adds up what was revealed and reads off the sign.

It is the text form of the sparse-evidence judge of Irving, Christiano & Amodei (2018, "AI safety via debate", §3.2):
it believes every verified item, ignores everything else, and knows nothing of the incentives behind the choice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from judges.types import Case, Verdict

_NUMBER = re.compile(r"[+\-\u2212]?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class NaiveEvidenceJudge:
    """Judges whether the hidden weights sum to a positive (option 0) or a negative number (option 1).

    Where the options are called "positive" and "negative", their names count and not their order.

    Only quotes that code has verified count; a revealed sum of 0 is a valid verdict of (½, ½).

    Attributes:
        name: the judge's name.
    """

    name: str = "naive_evidence"

    @property
    def identity(self) -> dict[str, str]:
        """What a certificate binds."""
        parts = ("version", "prompt", "rubric", "decoding", "parser")
        return {"model": "naive_evidence", **dict.fromkeys(parts, "code 2"), "scale": "probabilities over options"}

    async def __call__(self, case: Case) -> Verdict:
        """The verdict on one case; a verified quote that is not a number makes it an error."""
        if len(case.options) != 2:
            return Verdict.failed(self.name, f"expected 2 options (positive, negative), got {len(case.options)}")
        total = Fraction(0)  # exact, so that a tie is a tie
        for statement in case.statements:
            for quote in statement.quotes:
                if quote.verified is not True:
                    continue
                text = quote.text.strip()
                if _NUMBER.fullmatch(text) is None:
                    return Verdict.failed(
                        self.name, f"verified quote {quote.text!r} of seat {statement.seat!r} is not a number"
                    )
                total += Fraction(text.replace("\u2212", "-"))
        positive = (1.0, 0.0) if tuple(case.options) != ("negative", "positive") else (0.0, 1.0)
        probabilities = (0.5, 0.5) if total == 0 else positive if total > 0 else positive[::-1]
        return Verdict(self.name, probabilities, scores={"evidence": float(total)})
