"""The store keeps episodes whole, once, in order."""

import asyncio
import math
import sqlite3
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from debate.errors import UserError
from debate.run.cache import CachingCompleter, completion_key
from debate.run.store import Store, StoreError
from debate.transcript import Episode, Failure, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Completion, Cost, Message, Request, Sampling, Verdict


def episode(match_id: str, value: float = 1.0, error: Failure | None = None) -> Episode:
    seats = {"A": "alice-v1", "B": "bob-v1"}
    match = Match(match_id, "evidence", "q1", seats, {"A": 0, "B": 1})
    turns = tuple(
        Turn(s, "debater", "argue", k, seats[s], f"+{k}", tokens=(k, 2), logprobs=(-0.1 * k,), cost=Cost(1, 9, 2))
        for k, s in enumerate("ABAB")
    )
    transcript = Transcript(
        match_id, "evidence", "q1", 7, seats, {"A": 0, "B": 1}, "sign?", ("+", "-"), turns, error=error
    )
    if error is not None:
        return Episode(match, transcript, (), None)
    verdicts = (Verdict("x", (1.0, 0.0)), Verdict("a", (0.25, 0.75)), Verdict("x", None, status="abstain"))
    rewards = Rewards(
        np.array([[value, math.nan], [-value, 0.5]]), ("win", "form"), (("ok", "error"), ("ok", "ok")), ("A", "B")
    )
    return Episode(match, transcript, verdicts, rewards)


def same(a: Episode, b: Episode) -> bool:
    assert (a.match, a.transcript, a.verdicts) == (b.match, b.transcript, b.verdicts)
    if a.rewards is None or b.rewards is None:
        return a.rewards is b.rewards
    return np.array_equal(a.rewards.values, b.rewards.values, equal_nan=True) and a.rewards.status == b.rewards.status


def test_an_episode_comes_back_as_it_was_put(tmp_path: Path) -> None:
    failed = episode("m2", error=Failure("timeout", "A", "no answer in 60 s"))
    with Store(tmp_path / "store.sqlite") as store:
        assert store.put_many([episode("m1"), failed]) == 2
    for read_only in (False, True):
        with Store(tmp_path / "store.sqlite", read_only) as store:
            for expected in (episode("m1"), failed):
                found = store.get(expected.match.id)
                assert found is not None
                assert same(found, expected)
            assert store.get("m3") is None
            assert "m1" in store
            assert "m3" not in store
            assert len(store) == 2
            assert store.failures() == {"timeout": 1}
            assert store.check() == []


def test_a_key_is_stored_once_and_the_first_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        assert store.put(episode("m1", 1.0))
        assert not store.put(episode("m1", 9.0))
        assert store.put_many([episode("m1", 9.0), episode("m2")]) == 1
        found = store.get("m1")
        assert found is not None
        assert same(found, episode("m1", 1.0))
        assert len(store.verdicts("m1")) == 3
        assert store.log("update", {"u1": {"loss": 1.0}, "u2": {"loss": math.nan}}) == 2
        assert store.log("update", {"u1": {"loss": 5.0}}) == 0
        assert list(store.events("update")) == [("u1", {"loss": 1.0}), ("u2", {"loss": None})]


def test_judging_again_adds_repeats_and_leaves_the_panel(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put(episode("m1"))
        assert store.put_verdict("m1", Verdict("x", (0.5, 0.5)), repeat=2)
        assert not store.put_verdict("m1", Verdict("x", (0.0, 1.0)), repeat=0)
        assert [(j, r) for j, r, _ in store.verdicts("m1")] == [("a", 0), ("x", 0), ("x", 1), ("x", 2)]
        found = store.get("m1")
        assert found is not None
        assert found.verdicts == episode("m1").verdicts
        with pytest.raises(UserError, match="no transcript 'm9'"):
            store.put_verdict("m9", Verdict("x", (0.5, 0.5)), repeat=0)


def test_a_stage_is_read_in_the_order_of_ids_whatever_the_order_of_arrival(tmp_path: Path) -> None:
    ids = [f"{stage}/{i:04d}" for stage in ("train/0001", "train/0002", "train%", "test") for i in range(300)]
    order = np.random.default_rng(0).permutation(len(ids))
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many(episode(ids[i]) for i in order)
        assert list(store.ids()) == sorted(ids)
        for prefix in ("train/", "train/0001/", "train%", "t", "nothing"):
            expected = sorted(i for i in ids if i.startswith(prefix))
            assert [e.match.id for e in store.episodes(prefix)] == expected
            assert store.count(prefix) == len(expected)


def test_planned_matches_wait_until_they_are_played(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        assert store.plan(episode(f"t/{i}").match for i in range(5)) == 5
        store.put_many([episode("t/3"), episode("t/1")])
        assert [m.id for m in store.unplayed("t/")] == ["t/0", "t/2", "t/4"]
        assert store.plan([episode("t/1").match]) == 0
        assert store.match("t/0") == episode("t/0").match


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(RuntimeError, match="lamp"), store.batch():
            store.put(episode("m1"))
            store.log("update", {"u1": {}})
            raise RuntimeError("the lamp fell over")
        assert len(store) == 0
        assert list(store.events("update")) == []
        with store.batch():
            store.put(episode("m1"))
            store.log("update", {"u1": {}})
        assert len(store) == 1


def test_a_batch_whose_part_failed_is_not_kept_even_if_the_error_was_caught(tmp_path: Path) -> None:
    wrong = Episode(episode("m2").match, episode("m9").transcript, (), None)
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(StoreError, match="a part of the batch failed"), store.batch():
            store.put(episode("m1"))
            with pytest.raises(ValueError, match="must carry its match's id 'm2'"):
                store.put(wrong)
        assert len(store) == 0
        assert store.put(episode("m1"))


def test_reading_goes_through_any_number_of_episodes_in_the_same_memory(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"store{count}.sqlite"
        with Store(path) as store:
            store.put_many(episode(f"m/{i:06d}") for i in range(count))
        with Store(path, read_only=True) as store:
            tracemalloc.start()
            assert sum(1 for _ in store.episodes()) == count
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    assert peak(4000) < 1.5 * peak(1000)


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put(episode("m1"))
    with Store(tmp_path / "store.sqlite", read_only=True) as store:
        with pytest.raises(UserError, match="opened read-only"):
            store.put(episode("m2"))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            store._db.execute("DELETE FROM matches")


def test_completions_are_kept_under_everything_they_depend_on() -> None:
    message = Message("user", "hello")
    base = Request((message,), Sampling(), None, 1, "alice-v1")
    others = [
        Request((message, message), Sampling(), None, 1, "alice-v1"),
        Request((Message("system", "hello"),), Sampling(), None, 1, "alice-v1"),
        Request((Message("user", "hello", (3,)),), Sampling(), None, 1, "alice-v1"),
        Request((message,), Sampling(max_tokens=9), None, 1, "alice-v1"),
        Request((message,), Sampling(), ("a", "b"), 1, "alice-v1"),
        Request((message,), Sampling(), None, 2, "alice-v1"),
        Request((message,), Sampling(), None, 1, "alice-v2"),
    ]
    keys = [completion_key(r) for r in [base, *others]] + [completion_key(base, "hf:other")]
    assert len(set(keys)) == len(keys)
    assert completion_key(Request((Message("user", "hello"),), Sampling(), None, 1, "alice-v1")) == keys[0]


class Counting:
    """An engine that counts its calls; one word makes it fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, requests: Sequence[Request]) -> Sequence[Completion]:
        texts = [r.messages[0].text for r in requests]
        self.asked += texts
        return [
            Completion(stop_reason="error", error="busy")
            if t == "fail"
            else Completion(t.upper(), cost=Cost(1, 1, 1, 0.5))
            for t in texts
        ]


def test_a_paid_call_is_never_paid_for_twice(tmp_path: Path) -> None:
    def ask(engine: Counting, store: Store, *texts: str) -> list[str]:
        requests = [Request((Message("user", t),)) for t in texts]
        answers = asyncio.run(CachingCompleter(engine, store)(requests))  # type: ignore[arg-type]
        return [a.text if a.error is None else "!" for a in answers]

    engine = Counting()
    with Store(tmp_path / "store.sqlite") as store:
        assert ask(engine, store, "a", "b", "a", "fail") == ["A", "B", "A", "!"]
        assert engine.asked == ["a", "b", "fail"]
    with Store(tmp_path / "store.sqlite") as store:  # after a restart
        assert ask(engine, store, "fail", "c", "b") == ["!", "C", "B"]
        assert engine.asked == ["a", "b", "fail", "fail", "c"]
        found = store.completion(completion_key(Request((Message("user", "a"),))))
        assert found is not None
        assert found.cost.usd == 0.5
