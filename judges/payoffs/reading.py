"""What the reward rules read off the acts of a match: picks, numbers, the decision, whether a claim was true."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from judges.criteria import FAILED, VERIFIERS, Correct, Verifier
from judges.rewards import UNKNOWN, Reading
from judges.types import Act, Record

__all__ = ["VERIFIERS", "Verifier"]


def in_phase(record: Record, phase: str, seat: str | None = None) -> list[Act]:
    """The acts of a phase, in order; of one seat where it is given."""
    return [act for act in record.acts if act.phase == phase and seat in (None, act.seat)]


def last(record: Record, phase: str, seat: str | None = None) -> Act | None:
    """The last act of a phase; None where there is none."""
    acts = in_phase(record, phase, seat)
    return acts[-1] if acts else None


def decision(record: Record) -> Act | None:
    """The last act of kind "decision"; None where no seat decided."""
    found = [act for act in record.acts if act.kind == "decision"]
    return found[-1] if found else None


def number(act: Act) -> float:
    """The number that was picked.

    Raises:
        ValueError: the pick is no finite number: a protocol whose choices do not go with its rule.
    """
    try:
        value = float(act.text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"phase {act.phase!r}: {act.seat} picked {act.text!r}, but the rule needs numbers")
    return value


def role_seats(record: Record, role: str) -> list[int]:
    """Places of a role's seats among the record's seats.

    Raises:
        ValueError: the record has roles, but not this one.
    """
    found = [s for s, name in enumerate(record.roles) if name == role]
    if record.roles and not found:
        raise ValueError(f"the match has no role {role!r}; it has {', '.join(dict.fromkeys(record.roles))}")
    return found


def two_sides(record: Record, one: str, other: str, value: float) -> list[Reading]:
    """`value` for the seats of one role, its negative for those of the other, nothing for the rest: zero-sum."""
    ours, theirs = role_seats(record, one), role_seats(record, other)
    gain, loss = Reading(value + 0.0), Reading(0.0 - value)
    return [gain if s in ours else loss if s in theirs else UNKNOWN for s in range(len(record.seats))]


def unknown(record: Record, reading: Reading = UNKNOWN) -> list[Reading]:
    """The same reading for every seat."""
    return [reading] * len(record.seats)


def claim_truth(record: Record, role: str, verifier: Verifier) -> float | Reading:
    """Whether what a role's first seat claims is true: 1.0 or 0.0.

    Its claim is the answer that it defends, where it defends one, and otherwise its final answer, which is verified
    against the reference answer.

    Returns:
        The number, or the reading that rules give without it.
    """
    seats = role_seats(record, role)
    if not seats:
        return UNKNOWN
    own = record.answers[seats[0]]
    if own is not None:
        return UNKNOWN if record.label is None else float(own == record.label)
    final = record.finals[seats[0]] if record.finals else None
    return UNKNOWN if final is None else verified(record, final, verifier)


def verified(record: Record, answer: str, verifier: Verifier) -> float | Reading:
    """1.0 where a verifier finds an answer right, 0.0 where it finds it wrong, else the reading of a rule."""
    reading = Correct(verifier).check(answer, record)
    return reading.value if reading.status == "ok" else reading


def failed_or_unknown(*parts: float | Reading) -> Reading | None:
    """The reading that a missing part leads to ("error" outweighs "abstain"); None where all are numbers."""
    missing = [part for part in parts if isinstance(part, Reading)]
    if not missing:
        return None
    return FAILED if any(part.status == "error" for part in missing) else UNKNOWN


def says(text: str, word: str) -> bool:
    """Whether a word occurs as a whole word, whatever its case.

    >>> says("The CON is on.", "con"), says("concrete", "con")
    (True, False)
    """
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def check_among(name: str, value: object, known: Sequence[str]) -> None:
    """Refuses a setting that is none of the known ones.

    Raises:
        ValueError: what was expected.
    """
    if value not in known:
        raise ValueError(f"{name}: expected {', '.join(known[:-1])} or {known[-1]}, got {value!r}")


def check_texts(rule: object, *names: str) -> None:
    """Refuses settings that are not texts.

    Raises:
        ValueError: which one.
    """
    for name in names:
        value = getattr(rule, name)
        if not isinstance(value, str):
            raise ValueError(f"{name}: expected a text, got {value!r}")


def check_numbers(rule: object, *names: str) -> None:
    """Refuses settings that are not finite numbers.

    Raises:
        ValueError: which one.
    """
    for name in names:
        value = getattr(rule, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number, got {value!r}")
