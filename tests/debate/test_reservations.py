"""Budgets are reserved: whoever asks for what at the same time, nothing that was promised is exceeded."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debate.agents.agent import Agent
from debate.agents.scripted import SCRIPTS, ScriptedSpeaker
from debate.cli import main
from debate.play import Arena
from debate.progress import Silent
from debate.protocol.load import load_protocol
from debate.questions import Question
from debate.run.cache import CachingCompleter
from debate.run.store import Store
from debate.scale.reservations import Reservations
from debate.tournaments.budget import LOST, BudgetSpent, Meter, MeteredCompleter, metered
from debate.tournaments.pairing import Field
from debate.tournaments.play import play_tournament, spent_before
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan
from debate.transcript import Policy
from judges.judges.llm import LLMJudge
from judges.rules import make_rule
from judges.types import Completion, Cost, Message, Request, Sampling


def batch(count, longest):
    return [Request((Message("user", "?"),), Sampling(longest), seed=k) for k in range(count)]


class Slow:
    """A model whose calls take turns with everybody else's. Counts what is asked and what is sampled."""

    def __init__(self, says):
        self.says, self.calls, self.tokens = says, 0, 0

    async def __call__(self, requests):
        answers = []
        for request in requests:
            self.calls += 1
            self.tokens += self.says(request)
            await asyncio.sleep(0)
            answers.append(Completion("x", cost=Cost(1, 3, self.says(request))))
        return answers


class Streaming(Slow):
    """The same, answering one by one."""

    async def each(self, requests):
        for i, request in enumerate(requests):
            yield i, (await Slow.__call__(self, [request]))[0]


async def taken(completer, requests):
    """Asks as `CachingCompleter` does; what came before a budget was spent, and whether it was."""
    got = []
    try:
        if completer.each is None:
            got += await completer(requests)
        else:
            got += [answer async for _, answer in completer.each(requests)]
    except BudgetSpent:
        return len(got), True
    return len(got), False


@given(
    batches=st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 8)), max_size=4), min_size=1, max_size=4),
    name=st.sampled_from(["calls", "tokens"]),
    limit=st.integers(1, 60),
    model=st.sampled_from([Slow, Streaming]),
    share=st.sampled_from([1, 2, 8]),
)
def test_calls_made_at_once_never_exceed_a_budget_together(batches, name, limit, model, share):
    """Speakers in flight together (each a row of batches, one after the other) share one meter."""
    engine, meter = model(lambda request: max(1, request.sampling.max_tokens // share)), Meter({name: limit})
    completer = MeteredCompleter(engine, meter)
    whole = []

    async def speak(row):
        for count, longest in row:
            before = meter.cost
            got, refused = await taken(completer, batch(count, longest))
            assert got == (0 if refused else count), "a batch is asked whole or not at all"
            if refused:  # nothing was under way: it could not have been made later either
                more = {"calls": count, "tokens": count * longest}[name]
                assert (getattr(before, name) <= meter.spent()[name] and meter.spent()[name] + more > limit) or (
                    meter.spent()[name] >= limit
                )
            whole.append(not refused)

    async def everybody():
        await asyncio.gather(*(speak(row) for row in batches))

    asyncio.run(everybody())
    assert meter.spent()["calls"] == engine.calls and meter.spent()["tokens"] == engine.tokens
    assert getattr(engine, name) <= limit
    total = sum(count * (longest if name == "tokens" else 1) for row in batches for count, longest in row)
    if total <= limit:
        assert all(whole), "what fits in any order is not refused"


def test_a_batch_waits_for_calls_that_may_leave_enough_and_failed_calls_give_back():
    meter = Meter({"tokens": 10})
    engine = Slow(lambda request: 1)
    completer = MeteredCompleter(engine, meter)

    async def both():
        return await asyncio.gather(completer(batch(1, 8)), completer(batch(1, 8)))

    asyncio.run(both())  # 8 + 8 are not there at once, 1 + 8 are
    assert engine.calls == 2 and meter.spent()["tokens"] == 2

    async def failing(requests):
        raise ConnectionError("gone")

    for _ in range(3):
        with pytest.raises(ConnectionError):
            asyncio.run(MeteredCompleter(failing, meter)(batch(1, 8)))
    asyncio.run(completer(batch(1, 8)))
    with pytest.raises(BudgetSpent, match=r"the budget of 10 tokens could be exceeded by the next calls \(3 used\)"):
        asyncio.run(completer(batch(1, 8)))


def test_one_engine_has_one_meter_around_it():
    measure = metered(Meter())
    one, other = Slow(len), Slow(len)
    assert measure(one) is measure(one) and measure(one) is not measure(other)


def test_a_spent_budget_passes_between_processes():
    reason = pickle.loads(pickle.dumps(BudgetSpent("calls", 5, 4)))
    assert (reason.name, reason.limit, reason.spent) == ("calls", 5, 4)
    assert str(reason) == "the budget of 5 calls could be exceeded by the next calls (4 used)"


# --- workers ---------------------------------------------------------------------------------------------------------

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["admit", "settle", "lose"]), st.integers(1, 3), st.integers(1, 4), st.integers(1, 8)),
    max_size=60,
)


@given(actions=ACTIONS, calls=st.integers(1, 30), tokens=st.integers(1, 120))
def test_workers_never_exceed_a_budget_together_and_everyone_gets_an_answer(actions, calls, tokens):
    """A worker asks, is admitted or refused, answers call by call, dies with calls under way, and comes back as new."""
    meter = Meter({"calls": calls, "tokens": tokens})
    book = Reservations(meter)
    asking, under_way = {}, {}  # question → (worker, calls, tokens); worker → [tokens of each call]
    names = {1: 1, 2: 2, 3: 3}
    spent = Cost()

    def hear():
        for number, refused in book.decide().items():
            worker, count, longest = asking.pop(number)
            if refused is None:
                under_way.setdefault(worker, []).extend([longest] * count)
            else:
                name, limit, used = refused
                assert not any(under_way.values()), "nothing is refused that may fit when calls under way have ended"
                more = count if name == "calls" else count * longest
                assert limit == meter.limits[name] and (used >= limit or used + more > limit)

    for number, (what, place, count, longest) in enumerate(actions):
        worker = names[place]
        if what == "admit":
            asking[number] = worker, count, longest
            book.admit(number, worker, count, count * longest)
        elif what == "settle" and under_way.get(worker):
            reserved = under_way[worker].pop()
            cost = Cost(1, 0, min(count, reserved))
            spent += cost
            book.settle(worker, 1, reserved, cost)
        elif what == "lose":
            lost = under_way.pop(worker, [])
            spent += Cost(len(lost), 0, sum(lost))
            assert book.lose(worker) == (len(lost), sum(lost))
            asking = {n: wish for n, wish in asking.items() if wish[0] != worker}
            book.admit(number, worker, 1, 1)  # messages of the dead that come late count for nothing
            book.settle(worker, 1, 1, Cost(1, 0, 1))
            names[place] = 10 + number
        hear()
        held = [longest for row in under_way.values() for longest in row]
        assert meter.cost == spent
        assert spent.calls + len(held) <= calls and spent.tokens + sum(held) <= tokens
    while busy := [worker for worker, row in under_way.items() if row]:
        book.settle(busy[0], 1, under_way[busy[0]].pop(), Cost(1, 0, 1))
        hear()
    assert not asking, "nobody waits when nothing is under way"


@pytest.mark.parametrize("paid", [0.03, float("nan")])
def test_dollars_are_looked_at_before_each_batch(paid):
    """They are known when answers come: what is under way ends, then nobody is admitted; so with an unknown price."""
    book = Reservations(Meter({"usd": 0.02}))
    for worker in (1, 2):
        book.admit(worker, worker, 1, 8)
    assert book.decide() == {1: None, 2: None}
    book.settle(1, 1, 8, Cost(1, 0, 1, paid))
    book.admit(3, 1, 1, 8)
    assert book.decide() == {}, "not before what is under way has ended"
    assert book.lose(2) == (1, 8)
    ((number, (name, limit, _)),) = book.decide().items()
    assert (number, name, limit) == (3, "usd", 0.02)


def test_calls_lost_with_a_worker_count_in_later_sessions(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.log(LOST, {"000000": {"calls": 3, "tokens": 24}, "000001": {"calls": 1, "tokens": 8}})
        meter = spent_before(store, {"calls": 4}, lambda: 0.0)
        assert (meter.cost.calls, meter.cost.tokens) == (4, 32)
        with pytest.raises(BudgetSpent, match="calls is spent"):
            meter.check()


# --- what stops is not a failure -------------------------------------------------------------------------------------


def test_a_budget_spent_on_a_verdict_stops_the_run_and_fails_no_match(tmp_path):
    """A judge takes what its engine raises for a failed verdict; that a budget is spent is none."""
    protocol = load_protocol("debate_simultaneous", {"rounds": 1, "tokens": 5})
    questions = tuple(Question(f"q{i}", f"Is {i} even?", ("yes", "no"), i % 2, "A number.") for i in range(2))
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    speaker = ScriptedSpeaker(SCRIPTS["random_legal"])
    cast = {f"{name}-v0": Agent(Policy(name, 0, "scripted"), speaker) for name in ("a", "b")}
    field = Field("debate", protocol, tuple(cast), ("A", "B"), {}, questions, 0)
    plan = Plan("round_robin", (), 2, 1, 1, 9, 9, 0.0, "win", False, True, 9)

    async def voting(requests):
        said = '{"reason": "so", "answer": "A"}'
        return [Completion(said, stop_reason="stop", cost=Cost(1, 10, 5)) for _ in requests]

    def session(limit):
        with Store(tmp_path / "s.sqlite") as store:
            meter = spent_before(store, {"calls": limit}, lambda: 0.0)
            completer = CachingCompleter(MeteredCompleter(voting, meter), store, "voting")
            judge = LLMJudge(completer, mode="votes", samples=1, sampling=Sampling(8))
            arena = Arena("debate", protocol, {q.id: q for q in questions}, (judge,), rules)
            results = Results(field, "win")
            play_tournament(field, plan, arena, cast, store, results, meter, Silent(), 2)
            return results

    with pytest.raises(BudgetSpent):
        session(3)  # of 4: two orders of two questions (scripts say the same in both seatings)
    with Store(tmp_path / "s.sqlite") as store:
        assert len(store) == 2, "the matches whose verdicts could not be paid for are not stored"
    results = session(4)
    assert results.matches == 4 and not results.failures


# --- the command line ------------------------------------------------------------------------------------------------

RECIPE = """\
name: cup
agents:
  one: {kind: scripted, script: greedy_evidence}
  two: {kind: KIND}
arenas:
  debate:
    protocol: evidence_debate
    judge: naive_evidence
    data: {adapter: evidence, n: 4, limit: 2}
tournament: {format: round_robin, questions: 2, resamples: 10}
"""


def test_where_ray_cannot_be_used_is_told_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cup.yaml").write_text(RECIPE.replace("KIND", "scripted, script: random_legal"))
    (tmp_path / "person.yaml").write_text(RECIPE.replace("KIND", "human"))
    for arguments, message in (
        (["cup.yaml", "--ray", "somewhere"], "expected local, auto or HOST:PORT"),
        (["cup.yaml", "--ray-workers", "2"], "--ray-workers: expected a number above 0 together with --ray"),
        (["cup.yaml", "--ray", "local", "--ray-workers", "-1"], "--ray-workers"),
        (["person.yaml", "--ray", "local"], "agent two is a human"),
    ):
        assert main(["tournament", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
