"""Step 9 of the charter: when a certificate is withdrawn, and what follows from it.

A lower bound on agreement under τ only means that a certificate is not renewed; it would revoke nearly every good
judge. What revokes is an *upper* bound under τ, valid however often one looks, and restarted so that a good past does
not hide a bad present (`judges.statistics.sequential`).
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
        clean_checkpoint: the checkpoint of the last audit that found nothing; None where there was none.
    """

    judge: Any
    checkpoint: int
    agreements: Sequence[bool] = ()
    windows: Sequence[Window] = ()
    panel: Sequence[bool] = ()
    attacks: Sequence[AttackRow] = ()
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
    confidence = float(certificate.terms["confidence"])
    reasons = list(certificate.problems(evidence.judge, evidence.checkpoint, today))
    reasons += _dropped("experts", evidence.agreements, float(certificate.terms["agreement"]), confidence)
    reasons += _dropped(
        "the cross-family panel", evidence.panel, float(certificate.terms["panel_agreement"]), confidence
    )
    reasons += _overpaid(evidence.windows, confidence)
    limit = float(certificate.terms["attack_rate"])
    for row in evidence.attacks:
        if row.flips and not row.withstood(limit):
            reasons.append(
                f"attack {row.attack!r} passes: {row.flips} of {row.cases}, bound {row.upper:.3f} over {limit}"
            )
    if not reasons:
        return None
    # Rewards are clean up to and including the last audit that found nothing.
    first = certificate.checkpoints[0] if evidence.clean_checkpoint is None else evidence.clean_checkpoint + 1
    return Revocation(certificate.judge, tuple(reasons), (first, max(first, evidence.checkpoint)))


def _dropped(whom: str, agreements: Sequence[bool], threshold: float, confidence: float) -> list[str]:
    from judges.statistics.sequential import first_alarm

    if not agreements:
        return []
    alarm = first_alarm([float(a) for a in agreements], threshold, confidence, RESTART)
    if alarm is None:
        return []
    recent = agreements[-RESTART:]
    share = sum(recent) / len(recent)
    return [
        f"agreement with {whom} fell under {threshold} (known after {alarm + 1}; {share:.2f} of the last {len(recent)})"
    ]


def _overpaid(windows: Sequence[Window], confidence: float) -> list[str]:
    """The judge's mean rises while the corrected mean does not: the policy is learning the judge, not the task.

    Window k is compared with the first at level (1 − confidence)·6/(π² k²), which sums to 1 − confidence over all k.
    """
    from scipy.special import ndtri

    reasons = []
    for k, window in enumerate(windows[1:], 1):
        start = windows[0]
        error = math.hypot(start.error, window.error)
        bar = float(ndtri(1.0 - (1.0 - confidence) * 6.0 / (math.pi**2 * k**2))) * error
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
