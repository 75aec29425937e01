"""Step 9 of the charter: when a certificate is withdrawn, and what follows from it.

A lower bound on agreement under τ only means that a certificate is not renewed; it would revoke nearly every good
judge. What revokes is an *upper* bound under τ, valid however often one looks, and restarted so that a good past does
not hide a bad present (`judges.statistics.sequential`).

All alarms together keep the certificate's error: its α is divided among them (`SHARES`, Bonferroni), so a judge that is
exactly as good as its terms ask is revoked with probability at most α, however often and in how many ways one looks. An
attack "passes" when it is shown to succeed more often than the terms allow; a flip or two that merely cannot show the
contrary mean "not renewed", as a lower bound under τ does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from judges.attacks.battery import AttackRow
from judges.charter.certificate import Certificate

RESTART = 50  # audits between restarts of the bound
SHARES = {"experts": 1 / 2, "panel": 1 / 6, "windows": 1 / 6, "attacks": 1 / 6}  # of α; most for what people say


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of training.

    Attributes:
        raw: mean of the judge's rewards.
        corrected: the same mean corrected by audited labels.
        error: standard error of the corrected mean.
    """

    raw: float
    corrected: float
    error: float


@dataclass(frozen=True)
class Evidence:
    """What is known about a certified judge in use.

    Attributes:
        judge: the judge as it is now, or its identity.
        checkpoint: the policy checkpoint that it judges.
        agreements: [N] whether the judge agreed with the expert, for uniformly drawn audits in their order.
        windows: stretches of training in their order.
        panel: [M] whether the judge agreed with a panel of other model families, in order.
        attacks: rows of a repeated attack battery.
        repetition: how often the battery has been repeated under this certificate, this time included.
        clean_checkpoint: the checkpoint of the last audit that found nothing; None where there was none.
    """

    judge: Any
    checkpoint: int
    agreements: Sequence[bool] = ()
    windows: Sequence[Window] = ()
    panel: Sequence[bool] = ()
    attacks: Sequence[AttackRow] = ()
    repetition: int = 1
    clean_checkpoint: int | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate withdrawn.

    Attributes:
        judge: the judge's name.
        reasons: why.
        quarantine: first and last policy checkpoint whose rewards by this judge are not to be used.
        weight: what the judge's criterion weighs from now on: 0. Verifiers keep running.
    """

    judge: str
    reasons: tuple[str, ...]
    quarantine: tuple[int, int]
    weight: float = 0.0

    def quarantined(self, checkpoint: int) -> bool:
        """Whether rewards given at that checkpoint are in quarantine."""
        return self.quarantine[0] <= checkpoint <= self.quarantine[1]


def revoke(certificate: Certificate, evidence: Evidence, today: date | None = None) -> Revocation | None:
    """The revocation that the evidence demands; None where it demands none."""
    terms = certificate.terms
    error = {name: (1.0 - float(terms["confidence"])) * share for name, share in SHARES.items()}
    reasons = list(certificate.problems(evidence.judge, evidence.checkpoint, today))
    reasons += _dropped("experts", evidence.agreements, float(terms["agreement"]), error["experts"])
    reasons += _dropped("the cross-family panel", evidence.panel, float(terms["panel_agreement"]), error["panel"])
    reasons += _overpaid(evidence.windows, error["windows"])
    reasons += _passed(evidence.attacks, float(terms["attack_rate"]), spent(error["attacks"], evidence.repetition))
    if not reasons:
        return None
    # Rewards are clean up to and including the last audit that found nothing.
    first = certificate.checkpoints[0] if evidence.clean_checkpoint is None else evidence.clean_checkpoint + 1
    return Revocation(certificate.judge, tuple(reasons), (first, max(first, evidence.checkpoint)))


def spent(error: float, look: int) -> float:
    """What of an error probability the k-th look may use: error · 6/(π² k²), which sums to it over all looks.

    Raises:
        ValueError: looks are counted from 1.
    """
    if look < 1:
        raise ValueError(f"looks are counted from 1, got {look}")
    return error * 6.0 / (math.pi**2 * look**2)


def _passed(attacks: Sequence[AttackRow], limit: float, error: float) -> list[str]:
    """The attacks whose rate is shown to be above the limit; their number shares the error."""
    from judges.statistics.proportions import clopper_pearson

    reasons = []
    for row in attacks:
        lower = clopper_pearson(row.flips, row.cases, 1.0 - error / len(attacks)) if row.cases else 0.0
        if lower > limit:
            reasons.append(
                f"attack {row.attack!r} passes: {row.flips} of {row.cases}, at least {lower:.3f} over {limit}"
            )
    return reasons


def _dropped(whom: str, agreements: Sequence[bool], threshold: float, error: float) -> list[str]:
    from judges.statistics.sequential import first_alarm

    if not agreements:
        return []
    alarm = first_alarm([float(a) for a in agreements], threshold, 1.0 - error, RESTART)
    if alarm is None:
        return []
    recent = agreements[-RESTART:]
    share = sum(recent) / len(recent)
    return [
        f"agreement with {whom} fell under {threshold} (known after {alarm + 1}; {share:.2f} of the last {len(recent)})"
    ]


def _overpaid(windows: Sequence[Window], error: float) -> list[str]:
    """The judge's mean rises while the corrected mean does not: the policy is learning the judge, not the task.

    Window k is compared with the first at the k-th part of the error (`spent`).
    """
    from scipy.special import ndtri

    reasons = []
    for k, window in enumerate(windows[1:], 1):
        start = windows[0]
        bar = float(ndtri(1.0 - spent(error, k))) * math.hypot(start.error, window.error)
        rise, gain = window.raw - start.raw, window.corrected - start.corrected
        if rise > 0.0 and rise - gain > bar and gain <= bar:
            reasons.append(
                f"the judge's mean rose by {rise:.3f} while the corrected mean moved by {gain:.3f} (± {bar:.3f})"
            )
    return reasons[-1:]


def frozen_weights(weights: Mapping[str, float], judged_by: Mapping[str, str], revoked: set[str]) -> dict[str, float]:
    """Criterion weights with exactly 0 for every criterion that a revoked judge measures; the others are as they were.

    Args:
        weights: criterion → weight.
        judged_by: criterion → name of the judge whose verdicts it reads; criteria of verifiers are not in it.
        revoked: names of revoked judges.
    """
    return {name: 0.0 if judged_by.get(name) in revoked else weight for name, weight in weights.items()}
