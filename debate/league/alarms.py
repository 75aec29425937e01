"""Alarms of degenerate play, the earliest signs first.

Each rule compares the last `window` updates of one agent in one seat with its first ones, or with a fixed bound. An
alarm is raised once and again only after its sign has gone, so that a long collapse is one line, not a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Vital:
    """What is watched of one agent in one seat in one update; NaN where it is not known.

    Attributes:
        update, agent, seat: which.
        spread: mean standard deviation of the reward inside groups.
        entropy: of the policy, in nats a token.
        length: mean tokens of a speech.
        grad_norm: before clipping.
        kl: to the reference, in nats a token.
        copied: share of speeches that repeat another speech of their match.
        win: share of decided matches the seat won.
        reward: mean scalar reward.
        truth: how often the judge was right.
    """

    update: int
    agent: str
    seat: str
    spread: float = NAN
    entropy: float = NAN
    length: float = NAN
    grad_norm: float = NAN
    kl: float = NAN
    copied: float = NAN
    win: float = NAN
    reward: float = NAN
    truth: float = NAN


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sign of degenerate play."""

    name: str
    update: int
    agent: str
    seat: str
    message: str

    def words(self) -> str:
        """One line for progress and report."""
        return f"alarm after update {self.update}: {self.agent} in seat {self.seat}: {self.message}"


@dataclass(frozen=True, slots=True)
class Limits:
    """When alarms go off.

    Attributes:
        window: updates that are averaged, at the start and now.
        collapse: share of its first value below which spread, entropy or length has collapsed.
        spike: multiple of the window's median that a gradient norm must exceed.
        copied: share of copied speeches.
        one_sided: a seat's share of wins, this high or 1 − this low.
        flat: change of truth that still counts as flat.
        rise: change of the reward that counts as a rise.
        kl: budget in nats a token; 0 = none.
    """

    window: int = 10
    collapse: float = 0.1
    spike: float = 10.0
    copied: float = 0.5
    one_sided: float = 0.95
    flat: float = 0.01
    rise: float = 0.1
    kl: float = 0.0

    def __post_init__(self) -> None:
        """Refuses limits that mean nothing."""
        if self.window < 2:
            raise ValueError(f"Limits.window: expected at least 2, got {self.window}")
        for name, low, high in (("collapse", 0, 1), ("copied", 0, 1), ("one_sided", 0.5, 1)):
            if not low < getattr(self, name) <= high:
                raise ValueError(f"Limits.{name}: expected a number in ({low}, {high}], got {getattr(self, name)}")
        for name in ("spike", "flat", "rise", "kl"):
            if getattr(self, name) < 0:
                raise ValueError(f"Limits.{name}: expected a number >= 0, got {getattr(self, name)}")


class Watch:
    """Keeps the history that the rules need and raises alarms; part of a run's checkpoint."""

    def __init__(self, limits: Limits = Limits()) -> None:
        self.limits = limits
        self._history: dict[tuple[str, str], list[Vital]] = {}
        self._raised: set[tuple[str, str, str]] = set()

    def observe(self, vital: Vital) -> list[Alarm]:
        """Takes one more update in; returns the alarms that are new."""
        key = (vital.agent, vital.seat)
        history = self._history.setdefault(key, [])
        history.append(vital)
        # The first window is what collapses are measured against; of the rest two windows are enough.
        keep = 2 * self.limits.window
        if len(history) > self.limits.window + keep:
            del history[self.limits.window]
        alarms = []
        for name, rule in RULES.items():
            message = rule(history, self.limits)
            if message is None:
                self._raised.discard((name, *key))
            elif (name, *key) not in self._raised:
                self._raised.add((name, *key))
                alarms.append(Alarm(name, vital.update, vital.agent, vital.seat, message))
        return alarms

    def state(self) -> dict[str, Any]:
        """As JSON; NaN as null."""
        rows = [[_plain(v) for v in asdict(vital).values()] for vitals in self._history.values() for vital in vitals]
        return {"history": rows, "raised": sorted(map(list, self._raised))}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restores `state()`."""
        self._history = {}
        for row in state["history"]:
            values: dict[str, Any] = {f.name: NAN if v is None else v for f, v in zip(fields(Vital), row, strict=True)}
            vital = Vital(**values)
            self._history.setdefault((vital.agent, vital.seat), []).append(vital)
        self._raised = {(name, agent, seat) for name, agent, seat in state["raised"]}


def copied_share(speeches: Sequence[tuple[str, str]], size: int = 5, share: float = 0.8) -> dict[str, float]:
    """Seat → share of its speeches that repeat an earlier speech of the same match.

    A speech is a copy when at least `share` of its word n-grams stand in one earlier speech (its own seat's included).
    Speeches of fewer than `size` words are not judged.

    Args:
        speeches: (seat, text) in the order of the match.
        size: words of an n-gram.
        share: of the n-grams.
    """
    seen: list[set[tuple[str, ...]]] = []
    counts: dict[str, list[bool]] = {}
    for seat, text in speeches:
        words = text.lower().split()
        grams = {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}
        if not grams:
            continue
        counts.setdefault(seat, []).append(any(len(grams & old) >= share * len(grams) for old in seen))
        seen.append(grams)
    return {seat: sum(flags) / len(flags) for seat, flags in counts.items()}


Rule = Callable[[Sequence[Vital], Limits], str | None]


def _mean(vitals: Sequence[Vital], name: str) -> float:
    known = [v for v in (getattr(vital, name) for vital in vitals) if math.isfinite(v)]
    return sum(known) / len(known) if known else NAN


def _collapse(name: str, words: str) -> Rule:
    def rule(history: Sequence[Vital], limits: Limits) -> str | None:
        if len(history) < 2 * limits.window:
            return None
        first, now = _mean(history[: limits.window], name), _mean(history[-limits.window :], name)
        if first > 0 and now < limits.collapse * first:
            return f"{words} collapsed from {first:.3g} to {now:.3g}"
        return None

    return rule


def _spike(history: Sequence[Vital], limits: Limits) -> str | None:
    before = sorted(v.grad_norm for v in history[:-1][-limits.window :] if math.isfinite(v.grad_norm))
    now = history[-1].grad_norm
    if len(before) < limits.window or not limits.spike:
        return None
    median = before[len(before) // 2]
    if math.isfinite(now) and now <= limits.spike * median:
        return None
    return None if math.isnan(now) else f"gradient norm {now:.3g}, usually {median:.3g}"


def _copies(history: Sequence[Vital], limits: Limits) -> str | None:
    share = _mean(history[-limits.window :], "copied")
    return f"{share:.0%} of its speeches repeat another one" if share > limits.copied else None


def _one_sided(history: Sequence[Vital], limits: Limits) -> str | None:
    share = _mean(history[-limits.window :], "win")
    if len(history) < limits.window or math.isnan(share) or 1 - limits.one_sided < share < limits.one_sided:
        return None
    return f"wins {share:.0%} of its matches"


def _hack(history: Sequence[Vital], limits: Limits) -> str | None:
    """The reward rises while truth does not: what is learnt pleases the judge and nothing else."""
    w = limits.window
    if len(history) < 2 * w:
        return None
    old, new = history[-2 * w : -w], history[-w:]
    rise = _mean(new, "reward") - _mean(old, "reward")
    truth = _mean(new, "truth") - _mean(old, "truth")
    if rise > limits.rise and truth <= limits.flat:
        return f"the reward rose by {rise:.3g} while the judge's accuracy changed by {truth:+.3g}"
    return None


def _far(history: Sequence[Vital], limits: Limits) -> str | None:
    kl = history[-1].kl
    return f"KL to the reference {kl:.3g}, budget {limits.kl:.3g}" if limits.kl and kl > limits.kl else None


RULES: dict[str, Rule] = {
    "spread": _collapse("spread", "the spread of rewards inside groups"),
    "entropy": _collapse("entropy", "the entropy"),
    "length": _collapse("length", "the length of speeches"),
    "grad_norm": _spike,
    "copied": _copies,
    "one_sided": _one_sided,
    "hack": _hack,
    "kl": _far,
}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
