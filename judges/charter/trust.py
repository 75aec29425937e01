"""The check a training run makes before a judge pays rewards, and again at every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from judges.charter.certificate import Certificate

TrustLevel = Literal["blessed", "simulated", "unblessed"]
LEVELS: tuple[TrustLevel, ...] = ("blessed", "simulated", "unblessed")
NO_PERSON = "its panel was SIMULATED: no person has rated anything"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether a judge may pay rewards.

    Attributes:
        allowed: it may.
        certified: it may because a valid certificate rests on people; false where the recipe admits that none does.
        problems: what is wrong with its certificate, or that there is none.
    """

    allowed: bool
    certified: bool
    problems: tuple[str, ...]


def check_trust(
    judge: Any,
    certificate: Certificate | Path | str | None,
    checkpoint: int,
    trust: TrustLevel = "blessed",
    today: date | None = None,
) -> Trust:
    """Whether a judge may pay rewards at a policy checkpoint.

    Verifiers need no certificate and are not to be asked about. A certificate that cannot be read, or has a field
    missing, is none.

    Args:
        judge: the judge in use.
        certificate: its certificate or the file; None where there is none.
        checkpoint: the policy checkpoint.
        trust: "blessed" asks for a valid certificate that rests on people's ratings; "simulated" also takes one of a
            simulated panel; "unblessed" is the recipe's admission that the judge has none. What is admitted may pay,
            and every report says so.
        today: the date (UTC).

    Raises:
        ValueError: another level of trust.
    """
    if trust not in LEVELS:
        raise ValueError(f"trust: expected {', '.join(LEVELS[:-1])} or {LEVELS[-1]}, got {trust!r}")
    problems: tuple[str, ...] = ("there is no certificate",)
    valid = simulated = False
    if certificate is not None:
        try:
            held = certificate if isinstance(certificate, Certificate) else Certificate.load(Path(certificate))
            problems, simulated = held.problems(judge, checkpoint, today), held.simulated
            valid = not problems
        except ValueError as error:
            problems = (str(error),)
    if simulated:
        problems = (*problems, NO_PERSON)
    allowed = valid and (not simulated or trust == "simulated")
    return Trust(allowed or trust == "unblessed", not problems, problems)


def independence_problem(judge_family: str, policy_families: set[str], admitted: str = "") -> str | None:
    """Why a judge may not grade these policies; None where it may.

    A policy never grades itself, nor is it graded by its own family, unless the recipe admits it in words.

    Args:
        judge_family: model family of the judge; empty where unknown, which is not independence.
        policy_families: families of the policies it grades.
        admitted: the recipe's reason for admitting it.
    """
    if admitted.strip():
        return None
    if not judge_family or "" in policy_families:
        return "the model families of judge and policies are not all known"
    if judge_family in policy_families:
        return f"the judge is of the family {judge_family!r} that it grades"
    return None
