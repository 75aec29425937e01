"""Reward rules by name, as protocols write them: `RULES["brevity"](budget=200)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from judges.criteria import (
    Agree,
    Brevity,
    Brier,
    Correct,
    Honest,
    JudgeLogScore,
    LogScore,
    Margin,
    Measure,
    Truth,
    Win,
)
from judges.payoffs.critiques import Approval, CorrectAt, Discerned, Flaw, Flip, Improvement
from judges.payoffs.forecasts import BeliefChange, EstimateGap, Forecast
from judges.payoffs.proofs import Accepted, AcceptScore, Convincing, Decided, Persuaded
from judges.payoffs.sides import Ladder, VoteGain, WhenWrong
from judges.payoffs.words import Stepwise, Taboo, Turns
from judges.rewards import RewardRule


@dataclass(frozen=True, slots=True)
class RuleFactory:
    """Makes rules of one kind from named parameters."""

    name: str
    make: Callable[..., RewardRule]
    params: tuple[str, ...]
    required: tuple[str, ...] = ()

    def __call__(self, **params: object) -> RewardRule:
        """The rule.

        Raises:
            ValueError: a parameter that is unknown, missing or out of range.
        """
        unknown = sorted(set(params) - set(self.params))
        if unknown:
            known = ", ".join(self.params) or "none"
            raise ValueError(f"reward rule {self.name!r}: unknown parameter {', '.join(unknown)}; it has {known}")
        missing = [p for p in self.required if p not in params]
        if missing:
            raise ValueError(f"reward rule {self.name!r}: parameter {', '.join(missing)} is required")
        try:
            return self.make(**params)
        except (TypeError, ValueError) as error:
            raise ValueError(f"reward rule {self.name!r}: {error}") from error


class UnknownRule(ValueError, KeyError):
    """A reward rule of that name does not exist."""

    def __str__(self) -> str:
        return str(self.args[0])


class RuleTable(Mapping[str, RuleFactory]):
    """Reward rules by name."""

    def __init__(self, factories: Sequence[RuleFactory]) -> None:
        self._factories = {f.name: f for f in factories}

    def __getitem__(self, name: str) -> RuleFactory:
        if name not in self._factories:
            raise UnknownRule(f"unknown reward rule {name!r}: expected one of {', '.join(sorted(self._factories))}")
        return self._factories[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __len__(self) -> int:
        return len(self._factories)


def _factory(name: str, kind: Callable[..., RewardRule], required: tuple[str, ...] = ()) -> RuleFactory:
    return RuleFactory(name, kind, tuple(f.name for f in fields(kind)), required)  # type: ignore[arg-type]


def _named(measure: str) -> RuleFactory:
    def make(scale: float = 1.0) -> RewardRule:
        return Measure(measure, scale)

    return RuleFactory(measure, make, ("scale",))


RULES = RuleTable(
    [
        _factory("win", Win),
        _factory("margin", Margin),
        _factory("log_score", LogScore),
        _factory("brier", Brier),
        _factory("judge_log_score", JudgeLogScore),
        _factory("agree", Agree),
        _factory("truth", Truth),
        _factory("honest", Honest),
        _factory("correct", Correct),
        _named("validity"),
        _factory("brevity", Brevity, ("budget",)),
        _named("format"),
        _named("forged"),
        _factory("measure", Measure, ("name",)),
        _factory("ladder", Ladder),
        _factory("vote_gain", VoteGain),
        _factory("when_wrong", WhenWrong, ("role",)),
        _factory("accepted", Accepted),
        _factory("decided", Decided),
        _factory("persuaded", Persuaded),
        _factory("convincing", Convincing),
        _factory("accept_score", AcceptScore),
        _factory("approval", Approval),
        _factory("flaw", Flaw),
        _factory("correct_at", CorrectAt, ("phase",)),
        _factory("improvement", Improvement),
        _factory("flip", Flip, ("change",)),
        _factory("discerned", Discerned),
        _factory("forecast", Forecast),
        _factory("belief_change", BeliefChange, ("role",)),
        _factory("estimate_gap", EstimateGap),
        _factory("taboo", Taboo),
        _factory("stepwise", Stepwise),
        _factory("turns", Turns),
    ]
)


# Rules that are known to read no verdict, whatever the judges say: they pay on when a judge may not pay any more. Every
# other rule counts as paid by the judges, so that a rule which nobody thought of here is frozen with them.
VERDICT_FREE = frozenset(
    ("honest", "correct", "correct_at", "validity", "brevity", "format", "forged", "measure", "taboo", "turns")
)


def reads_verdicts(name: str) -> bool:
    """Whether a reward rule may pay what judges say.

    Raises:
        ValueError: an unknown name.
    """
    return RULES[name].name not in VERDICT_FREE


def make_rule(name: str, /, **params: object) -> RewardRule:
    """The reward rule of that name.

    Raises:
        ValueError: an unknown name, or a parameter that is unknown, missing or out of range.
    """
    return RULES[name](**params)
