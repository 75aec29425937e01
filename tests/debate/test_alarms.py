"""Alarms of degenerate play: each sign raises its own alarm, once, and healthy play none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from debate.league.alarms import RULES, Alarm, Limits, Vital, Watch, copied_share


def healthy(k: int) -> Vital:
    rng = np.random.default_rng(k)
    noise = rng.uniform(0.9, 1.1, 8)
    return Vital(k, "alice", "A", *(noise * [0.5, 1.2, 40.0, 2.0, 0.01, 0.1, 0.5, 0.2]).tolist(), truth=0.7)


def run(change: Callable[[int, Vital], Vital], updates: int = 60, limits: Limits | None = None) -> list[Alarm]:
    watch = Watch(limits or Limits())
    return [alarm for k in range(updates) for alarm in watch.observe(change(k, healthy(k)))]


def test_healthy_play_raises_nothing() -> None:
    assert run(lambda k, v: v) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("spread", lambda k, v: replace(v, spread=0.5 * 0.8**k)),
        ("entropy", lambda k, v: replace(v, entropy=1.2 if k < 20 else 0.01)),
        ("length", lambda k, v: replace(v, length=40.0 if k < 20 else 1.0)),
        ("grad_norm", lambda k, v: replace(v, grad_norm=100.0 if k == 30 else 2.0)),
        ("copied", lambda k, v: replace(v, copied=0.9 if k > 20 else 0.0)),
        ("one_sided", lambda k, v: replace(v, win=1.0 if k > 20 else 0.5)),
        ("one_sided", lambda k, v: replace(v, win=0.0 if k > 20 else 0.5)),
        ("hack", lambda k, v: replace(v, reward=0.02 * k, truth=0.7 - 0.002 * k)),
        ("kl", lambda k, v: replace(v, kl=0.02 * k)),
    ],
)
def test_each_sign_raises_its_alarm_once(name: str, change: Callable[[int, Vital], Vital]) -> None:
    alarms = run(change, limits=Limits(kl=0.5))
    assert [alarm.name for alarm in alarms] == [name]
    assert "alice in seat A" in alarms[0].words()


def test_a_reward_that_rises_with_truth_is_no_hack() -> None:
    assert run(lambda k, v: replace(v, reward=0.02 * k, truth=0.5 + 0.005 * k)) == []


def test_an_alarm_returns_after_its_sign_has_gone() -> None:
    norms = {30: 100.0, 50: 100.0}
    alarms = run(lambda k, v: replace(v, grad_norm=norms.get(k, 2.0)))
    assert [alarm.update for alarm in alarms] == [30, 50]


def test_unknown_numbers_raise_nothing() -> None:
    assert run(lambda k, v: Vital(k, "alice", "A")) == []


def test_a_resumed_watch_raises_the_same() -> None:
    def vital(k: int) -> Vital:
        return replace(healthy(k), spread=0.5 * 0.9**k, entropy=float("nan"))

    whole, first, second = Watch(), Watch(), Watch()
    expected = [whole.observe(vital(k)) for k in range(60)]
    got = [first.observe(vital(k)) for k in range(33)]
    second.load(json.loads(json.dumps(first.state())))
    got += [second.observe(vital(k)) for k in range(33, 60)]
    assert got == expected and any(expected)


def test_history_stays_small() -> None:
    watch = Watch(Limits(window=5))
    for k in range(1_000):
        watch.observe(healthy(k))
    assert len(watch.state()["history"]) == 15


def test_copied_speeches() -> None:
    original = "the river rose and flooded the lower town in spring"
    speeches = [
        ("A", original),
        ("B", "so you say: " + original),
        ("A", "that is short"),
        ("B", "I claim the opposite of what was said here today"),
    ]
    assert copied_share(speeches) == {"A": 0.0, "B": 0.0}
    speeches[1] = ("B", original + " indeed")
    assert copied_share(speeches) == {"A": 0.0, "B": 0.5}


def test_limits_are_checked() -> None:
    for wrong in ({"window": 1}, {"collapse": 0.0}, {"one_sided": 0.4}, {"kl": -1.0}):
        with pytest.raises(ValueError, match="expected"):
            Limits(**wrong)
    assert len(RULES) == 8
