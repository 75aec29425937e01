"""What a gauge found: one check a row, each with its number, its bound and its gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from judges.attacks.battery import AttackRow, attack_table
from judges.charter.gates import Gates
from judges.judges.identity import JudgeIdentity

CheckStatus = Literal["pass", "tentative", "fail", "not_available", "not_applicable"]


def grade(passed: bool) -> CheckStatus:
    """The status of a check that can only pass or fail."""
    return "pass" if passed else "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One gate.

    Attributes:
        name: which.
        status: "pass", "tentative" (enough for a tentative certificate), "fail", "not_available" (what it takes is
            missing, which is not a pass) or "not_applicable".
        value: the measured number; NaN where there is none.
        bound: its confidence bound; NaN where there is none.
        gate: what was asked for, in words.
        n: items behind the number.
        note: the reason, where it did not pass.
    """

    name: str
    status: CheckStatus
    value: float = math.nan
    bound: float = math.nan
    gate: str = ""
    n: int = 0
    note: str = ""

    @property
    def blocks(self) -> bool:
        """Whether no certificate can be given because of it."""
        return self.status in ("fail", "not_available")


@dataclass(frozen=True, slots=True)
class DomainAgreement:
    """Agreement with the consensus in one domain.

    Attributes:
        items: items judged.
        agreements: how many of the judge's answers are the consensus.
        lower: one-sided lower bound of the rate.
        constant: the best constant judge's agreement on the same items.
        power_90: probability to pass this gate for a judge that truly agrees on 90 % of items.
        power_95: the same for 95 %.
    """

    items: int
    agreements: int
    lower: float
    constant: float
    power_90: float
    power_95: float

    @property
    def rate(self) -> float:
        """Share of agreements; NaN without items."""
        return self.agreements / self.items if self.items else math.nan


@dataclass(frozen=True)
class GaugeReport:
    """All that was measured.

    Attributes:
        judge: its name.
        identity: what was gauged.
        labels: hash of the sealed split.
        items: items in the split.
        checks: one a gate.
        domains: agreement by domain.
        attacks: the attack report.
        agreement: agreement on all judged items.
        agreement_unanimous: agreement where experts are unanimous: flattering, hence never gated; NaN without panel.
        expected_agreement: mean posterior probability of the judge's answers, so soft labels count softly.
        coverage: share of the items that the judge judged.
        human: the experts' own mean agreement with the majority of the others; NaN without panel.
        constant: the best constant judge's agreement.
        abstention: confidence from which on the judge keeps τ; infinite where no threshold does.
        gates: the thresholds.
        simulated: whether anybody on the panel was simulated: such numbers say nothing about people.
    """

    judge: str
    identity: JudgeIdentity
    labels: str
    items: int
    checks: tuple[Check, ...]
    domains: dict[str, DomainAgreement]
    attacks: tuple[AttackRow, ...]
    agreement: float
    agreement_unanimous: float
    expected_agreement: float
    coverage: float
    human: float
    constant: float
    abstention: float
    gates: Gates
    simulated: bool = False

    @property
    def blocking(self) -> tuple[Check, ...]:
        """The checks that stand in the way of a certificate."""
        return tuple(c for c in self.checks if c.blocks)

    def check(self, name: str) -> Check:
        """The check of that name.

        Raises:
            KeyError: there is none.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {name!r}; there are {', '.join(c.name for c in self.checks)}")

    def text(self) -> str:
        """The report as Markdown."""
        lines = [
            f"# Gauge of {self.judge}",
            "",
            f"{self.items} items, {self.coverage:.1%} judged. Agreement {_number(self.agreement)}, beside "
            f"{_number(self.constant)} of the best constant judge and {_number(self.human)} of the experts themselves "
            f"(on unanimous items {_number(self.agreement_unanimous)}, against soft labels "
            f"{_number(self.expected_agreement)}).",
            "",
            "| check | status | value | bound | gate | n | note |",
            "|---|---|---|---|---|---|---|",
        ]
        for c in self.checks:
            status = c.status.replace("_", " ")
            lines.append(
                f"| {c.name} | {status} | {_number(c.value)} | {_number(c.bound)} | {c.gate} | {c.n} | {c.note} |"
            )
        lines += ["", "| domain | items | agreement | lower | constant judge | power at 90 % | at 95 % |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for name, d in self.domains.items():
            numbers = (d.rate, d.lower, d.constant, d.power_90, d.power_95)
            lines.append(f"| {name} | {d.items} | {' | '.join(_number(x) for x in numbers)} |")
        lines += ["", attack_table(self.attacks, self.gates.attack_rate), ""]
        return "\n".join(lines)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
