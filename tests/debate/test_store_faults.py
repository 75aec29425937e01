"""The store under faults: killed processes, full disks, failing writes, locks, damage, readers beside the writer."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from debate.errors import UserError
from debate.run.store import Store, StoreError
from debate.transcript import Episode, Match, Transcript, Turn
from judges.rewards import Rewards
from judges.types import Verdict

ROOT = Path(__file__).parents[2]


def make(match_id: str) -> Episode:
    """An episode of some kilobytes, with every table touched."""
    match = Match(match_id, "evidence", "q", {"A": "a-v0", "B": "b-v0"})
    turns = tuple(Turn("AB"[k % 2], "debater", "argue", k, "a-v0", "word " * 40) for k in range(4))
    transcript = Transcript(match_id, "evidence", "q", 1, match.seats, {"A": 0, "B": 1}, "?", ("+", "-"), turns)
    rewards = Rewards(np.array([[1.0], [-1.0]]), ("win",), (("ok",), ("ok",)), ("A", "B"))
    return Episode(match, transcript, (Verdict("j", (0.25, 0.75)), Verdict("j", (0.5, 0.5))), rewards)


def assert_whole(store: Store, match_id: str) -> None:
    found, expected = store.get(match_id), make(match_id)
    assert found is not None, f"{match_id} is gone"
    assert (found.match, found.transcript, found.verdicts) == (expected.match, expected.transcript, expected.verdicts)
    assert found.rewards is not None
    assert found.rewards.values.tolist() == [[1.0], [-1.0]]


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from test_store_faults import *
{body}
"""


def child(body: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs `body` with this module's names."""
    code = CHILD.format(tests=str(Path(__file__).parent), body=body)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


WRITER = """
with Store(sys.argv[1]) as store:
    print("ready", flush=True)
    i = int(sys.argv[2])
    while True:
        ids = [f"m/{k:06d}" for k in range(i, i + 7)]
        store.put_many(map(make, ids))
        print(*ids, flush=True)  # acknowledged
        i += 7
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_loses_nothing_acknowledged_and_stores_nothing_twice(tmp_path: Path, seed: int) -> None:
    path, acknowledged = tmp_path / "store.sqlite", []
    rng = np.random.default_rng(seed)
    for _ in range(2):
        process = child(WRITER, str(path), str(len(acknowledged)))
        assert first_line(process) == "ready"
        time.sleep(float(rng.uniform(0.0, 0.25)))
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        acknowledged += [
            match_id for line in output.splitlines(True) if line.endswith("\n") for match_id in line.split()
        ]
        with Store(path) as store:  # the dead writer's lock is free, its log is replayed
            assert store.check() == []
            stored = list(store.ids())
            assert set(acknowledged) <= set(stored)
            assert len(stored) % 7 == 0, "a commit was kept in part"
            for match_id in stored:
                assert_whole(store, match_id)
            assert store.put_many(map(make, stored)) == 0
            assert len(store) == len(stored)


FULL = """
import resource
path = Path(sys.argv[1])
store = Store(path)
kept, failed = [], 0
limit = 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for k in range(400):
    try:
        store.put(make(f"m/{k:06d}"))
        kept.append(f"m/{k:06d}")
    except StoreError as error:
        failed += 1
        if failed == 3:  # somebody makes room
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert failed == 3, failed
assert len(kept) == 397
store.close()
print(*kept)
"""


def test_a_write_the_file_system_refuses_is_loud_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    process = child(FULL, str(path))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    kept = output.split()
    with Store(path) as store:
        assert store.check() == []
        assert list(store.ids()) == kept
        for match_id in kept:
            assert_whole(store, match_id)


def test_a_full_database_is_told_and_usable_again(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put(make("m1"))
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="full"):
            store.put_many(make(f"n{i}") for i in range(100))
        assert list(store.ids()) == ["m1"]
        store._db.execute("PRAGMA max_page_count=1000000")
        assert store.put_many(make(f"n{i}") for i in range(100)) == 100
        assert store.check() == []


def faults(store: Store) -> Iterator[int]:
    """Makes the n-th write of each following attempt fail, n = 1, 2, …, until an attempt succeeds."""
    n = 0
    while True:
        n += 1
        left = n

        def authorize(action: int, *_: object) -> int:
            nonlocal left
            left -= action == sqlite3.SQLITE_INSERT
            return sqlite3.SQLITE_DENY if left == 0 and action == sqlite3.SQLITE_INSERT else sqlite3.SQLITE_OK

        store._db.set_authorizer(authorize)
        yield n
        store._db.set_authorizer(None)


def test_any_single_write_may_fail_and_nothing_half_remains(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put(make("m0"))
        attempts = 0
        for _ in faults(store):
            attempts += 1
            try:
                store.put_many([make("m1"), make("m2")])
            except StoreError:
                store._db.set_authorizer(None)
                assert list(store.ids()) == ["m0"]
                assert store.match("m1") is None
                assert store.verdicts("m1") == []
                assert store.check() == []
            else:
                store._db.set_authorizer(None)
                break
        assert attempts > 4, "each of the tables was hit"
        assert_whole(store, "m1")
        assert_whole(store, "m2")


def test_an_interruption_anywhere_leaves_all_or_nothing(tmp_path: Path) -> None:
    interrupted = 0
    with Store(tmp_path / "store.sqlite") as store:
        for k in range(1, 60):
            steps = k

            def stop() -> bool:
                nonlocal steps
                steps -= 1
                return steps == 0

            store._db.set_progress_handler(stop, 7)
            try:
                store.put(make(f"m{k}"))
            except StoreError:
                interrupted += 1
                store._db.set_progress_handler(None, 0)
                assert f"m{k}" not in store
                assert store.match(f"m{k}") is None
            else:
                store._db.set_progress_handler(None, 0)
                assert_whole(store, f"m{k}")
        assert store.check() == []
    assert 0 < interrupted < 59


def test_a_file_held_by_a_foreign_program_is_told(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store._db.execute("PRAGMA busy_timeout=20")
        foreign = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.put(make("m1"))
        foreign.execute("ROLLBACK")
        foreign.close()
        assert store.put(make("m1"))


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    process = child(WRITER, str(path), "0")
    try:
        assert first_line(process) == "ready"
        with pytest.raises(UserError, match=rf"another process is writing it \(pid {process.pid} on "):
            Store(path)
    finally:
        process.kill()
        process.communicate()
    with Store(path), pytest.raises(UserError, match=f"pid {os.getpid()}"):
        Store(path)
    Store(path).close()


READER = """
print("ready", flush=True)
seen, rounds, end = 0, 0, time.monotonic() + 1.5
while time.monotonic() < end:
    with Store(sys.argv[1], read_only=True) as store:
        ids = list(store.ids("m/"))
        assert len(ids) >= seen and len(ids) % 5 == 0, (len(ids), seen)
        for match_id in ids[-5:]:
            assert_whole(store, match_id)
        seen, rounds = len(ids), rounds + 1
print(rounds, seen)
"""


def test_four_readers_beside_the_writer_see_whole_commits_and_no_locks(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_many(make(f"m/{k:06d}") for k in range(5))
        readers = [child(READER, str(path)) for _ in range(4)]
        assert [first_line(r) for r in readers] == ["ready"] * 4
        k = 5
        while any(r.poll() is None for r in readers):
            store.put_many(make(f"m/{i:06d}") for i in range(k, k + 5))
            k += 5
            time.sleep(0.005)
    for reader in readers:
        output, _ = reader.communicate()
        assert reader.returncode == 0, output
        rounds, seen = map(int, output.split())
        assert rounds > 1
        assert seen > 5


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such store"):
        Store(tmp_path / "store.sqlite", read_only=True)
    with pytest.raises(UserError, match="no such folder"):
        Store(tmp_path / "nowhere" / "store.sqlite")
    for name, content in (
        ("text", b"hello, I am no database\n" * 100),
        ("empty-but-header", b"SQLite format 3\0" + b"\1" * 984),
    ):
        (tmp_path / name).write_bytes(content)
        for read_only in (True, False):
            with pytest.raises(UserError, match="cannot be opened as a store"):
                Store(tmp_path / name, read_only)
    sqlite3.connect(tmp_path / "other").executescript("CREATE TABLE t (x)").connection.close()
    with pytest.raises(UserError, match=r"cannot be opened as a store \(no such table: meta\)"):
        Store(tmp_path / "other")


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store._db.execute("UPDATE meta SET value = '99'")
    for read_only in (True, False):
        with pytest.raises(UserError, match="store version 99; this program reads version 1"):
            Store(tmp_path / "store.sqlite", read_only)


def test_damage_inside_the_file_is_never_silent(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_many(make(f"m/{k:06d}") for k in range(200))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for page in rng.choice(len(whole) // 4096 - 1, size=20, replace=False) + 1:
        damaged = bytearray(whole)
        damaged[page * 4096 : (page + 1) * 4096] = rng.bytes(4096)
        path.write_bytes(damaged)
        try:
            store = Store(path, read_only=True)
        except UserError:
            continue
        with store:
            assert store.check() != []
            with contextlib.suppress(StoreError, UserError):
                assert {e.match.id for e in store.episodes()} <= {f"m/{k:06d}" for k in range(200)}
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((StoreError, UserError)), Store(path, read_only=True) as store:  # cut in half
        list(store.episodes())


UNPRIVILEGED = """
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere: be nobody
path = Path(sys.argv[1])
with Store(path, read_only=True) as store:
    print(len(store))
    assert_whole(store, "m1")
try:
    Store(path)
except UserError as error:
    print(error)
"""


def test_a_folder_that_may_not_be_written_is_read_and_not_written() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with Store(folder / "store.sqlite") as store:
            store.put(make("m1"))
        (folder / "store.sqlite.lock").unlink()
        folder.chmod(0o555)
        output, _ = child(UNPRIVILEGED, str(folder / "store.sqlite")).communicate(timeout=60)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    count, message = output.splitlines()
    assert count == "1"
    assert "cannot be written (Permission denied)" in message
