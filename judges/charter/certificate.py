"""Step 6 of the charter: a certificate that a person can read and a program checks. Anything missing fails closed.

The digest notices changes made by accident or in passing; it is no signature: who can write the file can forge it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from judges.charter.report import Check, GaugeReport
from judges.judges.identity import JudgeIdentity, identify

FORMAT = 2


@dataclass(frozen=True)
class Certificate:
    """What a judge was blessed for, and on which grounds.

    Attributes:
        format: version of this form.
        judge: the judge's name.
        identity: its seven parts.
        identity_hash: their hash.
        labels: hash of the sealed split; one certificate version touches it once.
        domains: domain → items, agreements, lower bound, the constant judge's agreement.
        checks: every gate with status, value, bound, gate, n and note.
        attacks: the attack report, a row an attack.
        baselines: agreement of the experts themselves and of the best constant judge.
        abstention: confidence under which the judge is to abstain.
        terms: τ, the attack limit, the confidence, the panel agreement, and the audit's rate and floor.
        checkpoints: policy checkpoints [first, last] it is valid for.
        issued, expires: dates, ISO 8601; the last day is included.
        tentative: whether the panel's agreement was only tentative; then audits are twice as frequent.
        simulated: whether anybody on the panel was simulated; training then asks for an admission.
    """

    format: int
    judge: str
    identity: Mapping[str, str]
    identity_hash: str
    labels: str
    domains: Mapping[str, Mapping[str, float]]
    checks: tuple[Mapping[str, Any], ...]
    attacks: tuple[Mapping[str, Any], ...]
    baselines: Mapping[str, float | None]
    abstention: float
    terms: Mapping[str, float]
    checkpoints: tuple[int, int]
    issued: str
    expires: str
    tentative: bool
    simulated: bool

    blessed = True

    @property
    def digest(self) -> str:
        """SHA-256 of everything above."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode()).hexdigest()

    def valid_for(self, judge: Any, checkpoint: int, today: date | None = None) -> bool:
        """Whether the certificate speaks of this judge, as it is now, judging this policy checkpoint, today."""
        return not self.problems(judge, checkpoint, today)

    def problems(self, judge: Any, checkpoint: int, today: date | None = None) -> tuple[str, ...]:
        """Why the certificate is not valid; empty where it is.

        Args:
            judge: the judge in use, or its `JudgeIdentity`.
            checkpoint: the policy checkpoint that it judges.
            today: the date (UTC); None takes today's.
        """
        now = identity_of(judge)
        found = []
        if now.missing:
            found.append(f"the judge's {', '.join(now.missing)} is not known")
        for name, value in self.identity.items():
            if getattr(now, name, "") != value:
                found.append(f"the judge's {name} has changed")
        if now.hash != self.identity_hash and not found:
            found.append("the judge's identity hash has changed")
        first, last = self.checkpoints
        if isinstance(checkpoint, bool) or not isinstance(checkpoint, int):
            found.append(f"the policy checkpoint is not known: {checkpoint!r}")
        elif not first <= checkpoint <= last:
            found.append(f"policy checkpoint {checkpoint} is outside {first} to {last}")
        day = (today or datetime.now(UTC).date()).isoformat()
        if not self.issued <= day <= self.expires:
            found.append(f"it is valid from {self.issued} to {self.expires}, today is {day}")
        return tuple(found)

    def save(self, path: Path) -> None:
        """Writes the certificate as indented JSON with its digest."""
        data = {**asdict(self), "digest": self.digest}
        path.write_text(json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Certificate:
        """Reads a certificate and holds it to its digest and form.

        Raises:
            ValueError: not JSON, a missing, unknown or ill-typed field, a check that did not pass, or a digest that
                does not fit.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: no readable certificate ({error})") from None
        return _read(data, str(path))


@dataclass(frozen=True, slots=True)
class Refusal:
    """No certificate, and why.

    Attributes:
        judge: the judge's name.
        reasons: one a gate that was not passed.
        report: what was measured.
    """

    judge: str
    reasons: tuple[str, ...]
    report: GaugeReport

    @property
    def blessed(self) -> bool:
        """Always false."""
        return False

    def __bool__(self) -> bool:
        """A refusal is not a certificate."""
        return False


def bless(report: GaugeReport, today: date | None = None) -> Certificate | Refusal:
    """A certificate if every gate was passed, otherwise a refusal with every reason.

    Args:
        report: what `gauge` measured.
        today: the date of issue (UTC); None takes today's.
    """
    reasons = [_reason(check) for check in report.checks if check.blocks]
    reasons += [f"{name}: the check was not made" for name in _required(report) - {c.name for c in report.checks}]
    if not math.isfinite(report.abstention):
        reasons.append("abstention: the judge would have to abstain on everything")
    if reasons:
        return Refusal(report.judge, tuple(reasons), report)
    gates = report.gates
    issued = today or datetime.now(UTC).date()
    tentative = any(c.status == "tentative" for c in report.checks)
    return Certificate(
        format=FORMAT,
        judge=report.judge,
        identity=asdict(report.identity),
        identity_hash=report.identity.hash,
        labels=report.labels,
        domains={
            name: {"items": d.items, "agreements": d.agreements, "lower": d.lower, "constant": d.constant}
            for name, d in report.domains.items()
        },
        checks=tuple(_plain(asdict(check)) for check in report.checks),
        attacks=tuple(_plain(asdict(row)) for row in report.attacks),
        baselines={"experts": _known(report.human), "constant": report.constant, "agreement": report.agreement},
        abstention=report.abstention,
        terms={
            "agreement": gates.agreement,
            "attack_rate": gates.attack_rate,
            "confidence": gates.confidence,
            "panel_agreement": gates.panel_agreement,
            "audit_rate": min(1.0, gates.audit_rate * (2 if tentative else 1)),
            "audit_floor": gates.audit_floor,
        },
        checkpoints=gates.checkpoints,
        issued=issued.isoformat(),
        expires=(issued + timedelta(days=gates.days)).isoformat(),
        tentative=tentative,
        simulated=report.simulated,
    )


def identity_of(judge: Any) -> JudgeIdentity:
    """The identity of a judge, or the identity itself."""
    return judge if isinstance(judge, JudgeIdentity) else identify(judge)


ALWAYS = ("identity", "sealed", "panel", "blind", "repeats", "alpha", "coverage", "alt_test", "swap_consistency")
ALSO = ("first_position", "length_bias", "self_preference", "calibration", "abstention")


def _required(report: GaugeReport) -> set[str]:
    from judges.attacks.kinds import ATTACKS

    domains = {f"agreement/{name}" for name in report.domains} or {"agreement"}
    return {*ALWAYS, *ALSO, *domains, *(f"attack/{attack.name}" for attack in ATTACKS)}


def _reason(check: Check) -> str:
    number = "" if math.isnan(check.value) else f" {check.value:.3f}"
    bound = "" if math.isnan(check.bound) else f" (bound {check.bound:.3f})"
    note = f": {check.note}" if check.note else ""
    return f"{check.name}{number}{bound}, asked {check.gate}{note}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without NaN, which JSON does not have: not known is null."""
    return {k: _known(v) if isinstance(v, float) else v for k, v in row.items()}


_KINDS: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "judge": (str,),
    "identity": (dict,),
    "identity_hash": (str,),
    "labels": (str,),
    "domains": (dict,),
    "checks": (list,),
    "attacks": (list,),
    "baselines": (dict,),
    "abstention": (int, float),
    "terms": (dict,),
    "checkpoints": (list,),
    "issued": (str,),
    "expires": (str,),
    "tentative": (bool,),
    "simulated": (bool,),
}
_TERMS = ("agreement", "attack_rate", "confidence", "panel_agreement", "audit_rate", "audit_floor")


def _read(data: Any, where: str) -> Certificate:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: a certificate is a JSON object")
    if "revoked" in data:
        raise ValueError(f"{where}: it was revoked: {json.dumps(data['revoked'], ensure_ascii=False)}")
    names = {f.name for f in fields(Certificate)} | {"digest"}
    missing, unknown = sorted(names - set(data)), sorted(set(data) - names)
    if missing or unknown:
        raise ValueError(f"{where}: missing fields {missing}, unknown fields {unknown}")
    for name, kinds in _KINDS.items():
        value = data[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{where}: {name} is not a {kinds[0].__name__}")
        if value in ("", {}, []):
            raise ValueError(f"{where}: {name} is empty")
    if data["format"] != FORMAT:
        raise ValueError(f"{where}: form {data['format']} is not {FORMAT}")
    if set(data["identity"]) != {f.name for f in fields(JudgeIdentity)}:
        raise ValueError(f"{where}: identity has not the seven parts")
    if any(not isinstance(data["terms"].get(term), (int, float)) for term in _TERMS):
        raise ValueError(f"{where}: terms has not {', '.join(_TERMS)}")
    if len(data["checkpoints"]) != 2 or not all(isinstance(c, int) for c in data["checkpoints"]):
        raise ValueError(f"{where}: checkpoints is not a range [first, last]")
    for day in ("issued", "expires"):
        try:
            date.fromisoformat(data[day])
        except ValueError:
            raise ValueError(f"{where}: {day} is not a date, got {data[day]!r}") from None
    statuses = {c.get("status") if isinstance(c, dict) else None for c in data["checks"]}
    if not statuses <= {"pass", "tentative", "not_applicable"}:
        raise ValueError(f"{where}: a check did not pass")
    digest = data.pop("digest")
    shapes = {
        "checks": tuple(data["checks"]),
        "attacks": tuple(data["attacks"]),
        "checkpoints": tuple(data["checkpoints"]),
    }
    certificate = Certificate(**{**data, **shapes})
    if certificate.digest != digest:
        raise ValueError(f"{where}: the digest does not fit: the file was changed after it was issued")
    return certificate
