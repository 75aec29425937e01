"""The reward rules: from a record to one reading a seat, one criterion a rule.

A rule never guesses. Without the verdict, label, answer or measure that it needs, its reading is "not known"; when the
judge failed, the reading carries the status "error". So no failure ever becomes a number.

Axis letters: S seats, K options.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from judges.rewards import UNKNOWN, Reading
from judges.types import Record, Verdict
from judges.verify.result import Verification

FAILED = Reading(math.nan, "error")
TIE = 1e-9  # probabilities closer than this are equal: averaging verdicts must not turn a tie into a win

Belief = tuple[float, ...]
Use = Literal["mean", "first", "last", "all"]
Verifier = str
VERIFIERS = ("exact", "numeric", "choice", "math", "code")  # `verify_…` of the package, for free answers


def read_belief(record: Record, use: Use = "mean") -> Belief | Reading:
    """The distribution over the options that the verdicts amount to.

    Args:
        record: the record.
        use: "mean" of the verdicts that are ok, the "first" or "last" one alone, or the mean of "all" of them, known
            only if every one is ok.

    Returns:
        [K] probabilities, or the reading that all rules give without them: "error" when a judge failed, else "abstain".
    """
    verdicts = record.verdicts
    chosen = verdicts[:1] if use == "first" else verdicts[-1:] if use == "last" else verdicts
    count = len(record.case.options)
    good = [v.probabilities for v in chosen if v.probabilities is not None and len(v.probabilities) == count]
    if not good or (use == "all" and len(good) < len(chosen)):
        return FAILED if any(_broken(v, count) for v in chosen) else UNKNOWN
    return tuple(math.fsum(p[k] for p in good) / len(good) for k in range(count))


def _broken(verdict: Verdict, count: int) -> bool:
    return verdict.status == "error" or (verdict.probabilities is not None and len(verdict.probabilities) != count)


def _check_answers(record: Record) -> None:
    count = len(record.case.options)
    for seat, answer in zip(record.seats, record.answers, strict=True):
        if answer is not None and not 0 <= answer < count:
            raise ValueError(f"Record.answers: seat {seat!r} defends option {answer} of {count}")


def _lead(record: Record, belief: Belief, own: int) -> float:
    """2p − 1, p the probability of the own answer. Where exactly two answers are defended, p is relative to these two.

    The two sides' leads are then exact negatives of each other, also in floating point.
    """
    defended = sorted({a for a in record.answers if a is not None})
    if len(defended) == 2:
        others = belief[defended[0] if own == defended[1] else defended[1]]
    else:
        others = math.fsum(p for k, p in enumerate(belief) if k != own)
    total = belief[own] + others
    return 0.0 if total == 0.0 else (belief[own] - others) / total


@dataclass(frozen=True, slots=True)
class _Judged(ABC):
    """A rule that reads the verdicts."""

    verdicts: Use = "mean"

    def __post_init__(self) -> None:
        if self.verdicts not in ("mean", "first", "last", "all"):
            raise ValueError(f"verdicts: expected mean, first, last or all, got {self.verdicts!r}")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings."""
        belief = read_belief(record, self.verdicts)
        if isinstance(belief, Reading):
            return [belief] * len(record.seats)
        _check_answers(record)
        return [self._read(record, belief, s) for s in range(len(record.seats))]

    @abstractmethod
    def _read(self, record: Record, belief: Belief, seat: int) -> Reading:
        """One seat's reading."""


@dataclass(frozen=True, slots=True)
class _Defended(_Judged):
    """A rule that scores the answer a seat defends; a seat that defends none has no reading."""

    def _read(self, record: Record, belief: Belief, seat: int) -> Reading:
        own = record.answers[seat]
        return UNKNOWN if own is None else Reading(self._score(record, belief, own))

    @abstractmethod
    def _score(self, record: Record, belief: Belief, own: int) -> float:
        """The score of the option `own`."""


@dataclass(frozen=True, slots=True)
class Win(_Defended):
    """+1 where the judge believes the own answer (p > ½), −1 where it does not, 0 at ½: zero-sum for two sides."""

    def _score(self, record: Record, belief: Belief, own: int) -> float:
        lead = _lead(record, belief, own)
        return 0.0 if abs(lead) <= TIE else math.copysign(1.0, lead)


@dataclass(frozen=True, slots=True)
class Margin(_Defended):
    """2p − 1, p the judge's probability of the own answer: zero-sum for two sides."""

    def _score(self, record: Record, belief: Belief, own: int) -> float:
        return _lead(record, belief, own)


@dataclass(frozen=True, slots=True)
class LogScore(_Defended):
    """log p of the own answer, p floored at `epsilon` so that certainty in the other answer stays finite."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _Judged.__post_init__(self)
        _check_epsilon(self.epsilon)

    def _score(self, record: Record, belief: Belief, own: int) -> float:
        return math.log(max(belief[own], self.epsilon))


@dataclass(frozen=True, slots=True)
class Agree(_Defended):
    """1 where the judge's single most probable option is the own answer, ½ on a tie at the top, 0 otherwise."""

    def _score(self, record: Record, belief: Belief, own: int) -> float:
        return _hit(belief, own)


@dataclass(frozen=True, slots=True)
class Truth(_Judged):
    """1 where the judge's answer is the label, ½ on a tie at the top, 0 where it is wrong; the same for every seat."""

    def _read(self, record: Record, belief: Belief, seat: int) -> Reading:
        return UNKNOWN if record.label is None else Reading(_hit(belief, _label(record)))


@dataclass(frozen=True, slots=True)
class Brier(_Judged):
    """The quadratic proper score −Σ_k (p_k − y_k)² of the verdict against the label (0 is best, −2 worst).

    Read by the seats that defend no option, such as a trained judge; "not known" for the others.
    """

    def _read(self, record: Record, belief: Belief, seat: int) -> Reading:
        if record.label is None or record.answers[seat] is not None:
            return UNKNOWN
        label = _label(record)
        return Reading(0.0 - math.fsum((p - (k == label)) ** 2 for k, p in enumerate(belief)))


@dataclass(frozen=True, slots=True)
class JudgeLogScore(_Judged):
    """The logarithmic proper score log p(label), floored at `epsilon`, for the seats that defend no option."""

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        _Judged.__post_init__(self)
        _check_epsilon(self.epsilon)

    def _read(self, record: Record, belief: Belief, seat: int) -> Reading:
        if record.label is None or record.answers[seat] is not None:
            return UNKNOWN
        return Reading(math.log(max(belief[_label(record)], self.epsilon)))


def _check_epsilon(epsilon: float) -> None:
    if not 0.0 < epsilon < 1.0:
        raise ValueError(f"epsilon: expected a number between 0 and 1, got {epsilon}")


def _label(record: Record) -> int:
    if record.label is None or not 0 <= record.label < len(record.case.options):
        raise ValueError(f"Record.label: option {record.label} of {len(record.case.options)}")
    return record.label


def _hit(belief: Belief, option: int) -> float:
    best = max(belief)
    tied = [k for k, p in enumerate(belief) if p >= best - TIE]
    return 0.0 if option not in tied else 1.0 if len(tied) == 1 else 0.5


@dataclass(frozen=True, slots=True)
class Honest:
    """1 for a seat whose own answer is the label, else 0. Needs no judge."""

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" without a label or an own answer."""
        if record.label is None:
            return [UNKNOWN] * len(record.seats)
        return [UNKNOWN if a is None else Reading(float(a == record.label)) for a in record.answers]


@dataclass(frozen=True, slots=True)
class Correct:
    """1 where a verifier finds the seat's final answer equal to the reference answer, 0 where it finds it different.

    An answer that the verifier cannot read is "not known": reward its form with the rule `format`.

    Attributes:
        verifier: "exact", "numeric", "choice" (among the options), "math" or "code" (the reference holds its tests).
    """

    verifier: Verifier = "exact"

    def __post_init__(self) -> None:
        if self.verifier not in VERIFIERS:
            raise ValueError(
                f"verifier: expected {', '.join(VERIFIERS[:-1])} or {VERIFIERS[-1]}, got {self.verifier!r}"
            )

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings."""
        if record.gold is None or not record.finals:
            return [UNKNOWN] * len(record.seats)
        return [UNKNOWN if final is None else self.check(final, record) for final in record.finals]

    def check(self, answer: str, record: Record) -> Reading:
        """1 where an answer equals the record's reference answer, 0 where it differs."""
        if record.gold is None:
            return UNKNOWN
        options = record.case.options if record.options is None else record.options
        found = self._verify(answer, record.gold, options)
        if found.correct is None:
            return FAILED if found.status == "error" else UNKNOWN
        return Reading(float(found.correct))

    def _verify(self, final: str, gold: str, options: tuple[str, ...]) -> Verification:
        import judges  # a verifier may start a worker process: loaded only where asked for

        verify = getattr(judges, f"verify_{self.verifier}")
        arguments = (final, gold, options or None) if self.verifier == "choice" else (final, gold)
        try:
            found: Verification = verify(*arguments)
        except ValueError as error:  # a reference answer that no answer could equal
            return Verification.error(str(error))
        return found


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of the record as it is, times `scale`. A cost (such as a count of faults) asks for a negative scale.

    Attributes:
        name: which measure.
        scale: factor.
    """

    name: str
    scale: float = 1.0

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings; "not known" where the measure is missing or NaN."""
        values = read_measure(record, self.name)
        return [Reading(v * self.scale) if math.isfinite(v) else UNKNOWN for v in values]


def read_measure(record: Record, name: str) -> tuple[float, ...]:
    """[S] one measure of every seat, NaN where it is not known."""
    seats = len(record.seats)
    values = record.measures.get(name, (math.nan,) * seats)
    if len(values) != seats:
        raise ValueError(f"Record.measures[{name!r}]: expected {seats} numbers, one a seat, got {len(values)}")
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Brevity:
    """1 − min(1, tokens / budget): 1 for silence, 0 from the budget on.

    Attributes:
        budget: tokens, > 0.
    """

    budget: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.budget) and self.budget > 0):
            raise ValueError(f"budget: expected a positive number of tokens, got {self.budget}")

    def __call__(self, record: Record) -> Sequence[Reading]:
        """S readings, from the measure "tokens"."""
        values = read_measure(record, "tokens")
        return [Reading(1.0 - min(1.0, v / self.budget)) if math.isfinite(v) else UNKNOWN for v in values]
