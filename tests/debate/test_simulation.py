"""Whole tournaments under seeded faults; and that a broken rule is found and told with its faults."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter

import pytest

from debate.engines.retrying import Backoff, RetryingCompleter, Transient
from debate.simulation.__main__ import main
from debate.simulation.clock import VirtualLoop
from debate.simulation.model import rule_model
from debate.simulation.plan import KINDS, FaultPlan
from debate.simulation.run import SimulationFailed, faultless, guarded, simulate
from debate.simulation.wire import Wire, read_reply
from judges.types import Completion, Message, Request

SEEDS, PART = 500, 50


@pytest.mark.parametrize("start", range(0, SEEDS, PART))
def test_every_rule_holds_under_every_seeds_faults(start):
    for seed in range(start, start + PART):
        simulate(seed)


def test_the_seeds_cover_every_fault_deaths_and_doomed_calls():
    plans = [FaultPlan.draw(seed) for seed in range(SEEDS)]
    assert sum(len(plan.deaths) for plan in plans) > 300
    assert sum(plan.doomed > 0 for plan in plans) > 100
    kinds = Counter(plan.fault(f"call {k}", a) for plan in plans for k in range(5) for a in range(2))
    assert all(kinds[kind] > 50 for kind in KINDS)
    assert any(simulate(seed).table["failures"] for seed in (3, 15, 21, 33, 39))


def test_a_seed_gives_the_same_run_every_time():
    plan = FaultPlan(5, rate=0.6, deaths=(4, 31))
    runs = []
    for _ in range(2):
        wires = []

        def guard(wire, wires=wires):
            wires.append(wire)
            return guarded(wire)

        played = simulate(0, plan, guard)
        runs.append(([str(fault) for fault in wires[0].happened], played.table, played.lives))
    assert runs[0] == runs[1]
    assert runs[0][2] == 3
    assert len(runs[0][0]) > 20


# --- planted bugs ----------------------------------------------------------------------------------------------------


def gives_up(wire):
    return RetryingCompleter(wire.ask, Backoff(attempts=2), timeout=30.0)


def swallows(wire):
    inner = gives_up(wire)

    async def complete(requests):
        answers = await inner(requests)
        return [a if a.error is None else Completion("I have nothing to say.") for a in answers]

    return complete


def mixes_up(wire):
    """Gives answers in the order in which they came."""

    async def complete(requests):
        tasks = [asyncio.ensure_future(guarded(wire)([request])) for request in requests]
        return [(await task)[0] for task in asyncio.as_completed(tasks)]

    return complete


def asks_twice(wire):
    async def complete(requests):
        await guarded(wire)(requests)
        return await guarded(wire)(requests)

    return complete


@pytest.mark.parametrize(
    ("bug", "says"),
    [
        (gives_up, "no call was doomed"),
        (
            swallows,
            "another transcript|another verdicts|not the one without faults|scored no choices|were to be played",
        ),
        (mixes_up, "another transcript|another verdicts|Error"),
        (asks_twice, r"was paid \d times"),
    ],
)
def test_a_planted_bug_is_found_and_told_with_its_faults(bug, says):
    plan = FaultPlan(1, rate=0.6)
    with pytest.raises(SimulationFailed, match=says) as told:
        simulate(0, plan, bug)
    text = str(told.value)
    assert text.startswith("seed 0: ")
    assert "python -m debate.simulation 0" in text
    for fault in told.value.happened:
        assert str(fault) in text
    assert len(told.value.happened) > 5


def test_the_command_prints_a_failing_seed(monkeypatch, capsys):
    assert main(["7", "2"]) == 0
    assert "2 seeds: every rule held" in capsys.readouterr().out
    assert main([]) == main(["x"]) == 2
    import debate.simulation.run as module

    expected = faultless("swiss")
    broken = dataclasses.replace(expected, table={**expected.table, "matches": -1})
    monkeypatch.setattr(module, "faultless", lambda kind: broken)
    capsys.readouterr()
    assert main(["1"]) == 1
    assert "seed 1: the table is not the one without faults" in capsys.readouterr().out


# --- the boundary ----------------------------------------------------------------------------------------------------


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(coroutine)
        return result, runner.get_loop().time()


def test_retries_wait_as_long_as_the_server_asks_and_backoff_is_bounded():
    tries = 0

    async def ask(request):
        nonlocal tries
        tries += 1
        if tries < 4:
            raise Transient("429", retry_after=100.0)
        return Completion("done")

    before = time.monotonic()
    (answer,), seconds = run(RetryingCompleter(ask, Backoff(attempts=5))([Request((Message("user", "?"),))]))
    assert answer.text == "done"
    assert 300.0 <= seconds < 310.0
    assert time.monotonic() - before < 5.0, "virtual seconds take no time"
    backoff = Backoff(first=1.0, factor=2.0, most=10.0)
    waits = [[backoff.seconds(attempt, seed) for seed in range(200)] for attempt in range(8)]
    for attempt, row in enumerate(waits):
        assert 0 <= min(row) < max(row) <= min(10.0, 2.0**attempt)
        assert max(row) > 0.9 * min(10.0, 2.0**attempt)


@pytest.mark.parametrize(
    ("raised", "tries", "says"),
    [
        (Transient("500"), 3, r"500 \(tried 3 times\)"),
        (ConnectionResetError("by peer"), 3, r"ConnectionResetError: by peer \(tried 3 times\)"),
        (TimeoutError(), 3, "no answer within"),
        (KeyError("model"), 1, "KeyError: 'model'"),
    ],
)
def test_a_call_that_never_succeeds_is_a_value(raised, tries, says):
    asked = 0

    async def ask(request):
        nonlocal asked
        asked += 1
        raise raised

    import re

    (answer,), _ = run(RetryingCompleter(ask, Backoff(attempts=3))([Request((Message("user", "?"),))]))
    assert answer.text == "" and answer.stop_reason == "error"
    assert re.search(says, answer.error)
    assert asked == tries


def test_at_most_so_many_calls_are_in_the_air_and_order_is_kept():
    now = most = 0

    async def ask(request):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(1.0 + request.seed % 3)
        now -= 1
        return Completion(str(request.seed))

    requests = [Request((Message("user", "?"),), seed=k) for k in range(20)]
    answers, _ = run(RetryingCompleter(ask, concurrency=4)(requests))
    assert [a.text for a in answers] == [str(k) for k in range(20)]
    assert most == 4


def test_a_slow_call_is_given_up_and_asked_again():
    wire = Wire(rule_model, FaultPlan(0, rate=1.0, most=3))
    (answer,), seconds = run(guarded(wire)([Request((Message("user", "?"),))]))
    assert answer.error is None
    assert len(wire.happened) == 3
    assert seconds < 3 * (30.0 + 60.0)


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '{"version":1}', "<html>", '{"version":1}{"version":1}'])
def test_a_reply_that_cannot_be_read_is_transient(body):
    with pytest.raises(Transient, match="cannot be read"):
        read_reply(body)


def test_where_nobody_will_ever_wake_the_loop_says_so():
    async def wait():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nobody will ever wake"):
        run(wait())


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"first": 0.0}, {"first": 9.0, "most": 1.0}, {"factor": 0.5}])
def test_backoff_refuses_nonsense(settings):
    with pytest.raises(ValueError, match="Backoff: expected"):
        Backoff(**settings)
