"""A whole tournament whose process is killed, whose disk fails, whose log is cut: the same table, or a loud error.

The work is done by a small server process that imports once and forks a child for each trial.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from debate.agents.agent import Agent
from debate.cli import main
from debate.errors import Failed, UserError
from debate.progress import Silent
from debate.run.cache import CachingCompleter, completion_key
from debate.run.codec import encode_episode
from debate.run.store import Store, StoreError
from debate.simulation.model import rule_model
from debate.simulation.run import scene
from debate.tournaments.budget import Meter
from debate.tournaments.play import play_tournament
from debate.tournaments.results import Results
from debate.tournaments.standings import standings

ROOT = Path(__file__).parents[2]
WAVE = 2
# Where files live in memory a flush costs nothing. What is tested survives the process, not the power cut.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


# --- what a child does -----------------------------------------------------------------------------------------------


class Telling(Silent):
    """Tells the parent what was acknowledged: it survives the child."""

    def __init__(self, handle):
        self.handle = handle

    def advance(self, steps=1, note=""):
        os.write(self.handle, b"a" * steps)


def tournament(path, told=None, paid=None):
    """Plays to the end over the store; the table."""

    async def model(requests):
        if paid is not None:  # written before the answer is given, and never lost
            for request in requests:
                os.write(paid, f"{completion_key(request)}\n".encode())
        return await rule_model(requests)

    with Store(path) as store:
        field, plan, arena, cast = scene("round_robin", CachingCompleter(model, store))
        results = Results(field, plan.criterion)
        progress = Silent() if told is None else Telling(told)
        play_tournament(field, plan, arena, cast, store, results, Meter(clock=lambda: 0.0), progress, WAVE)
        return standings(results)


def content(path):
    """Every stored match, and what the store itself finds wrong."""
    with Store(path) as store:
        return {e.match.id: encode_episode(e) for e in store.episodes()}, store.check()


def fork(work):
    """A child that does some work and exits with its code; (pid, a pipe that it may write to)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        code = 1
        try:
            code = work(write)
        except (Failed, UserError) as error:  # loud and clear
            os.write(write, b"!" + str(error).encode()[:500])
            code = 7
        finally:
            os._exit(code)
    os.close(write)
    return pid, read


def finish(pid, read):
    """What the child wrote, and how it ended (minus the signal)."""
    out = b""
    while piece := os.read(read, 1 << 16):
        out += piece
    os.close(read)
    _, status = os.waitpid(pid, 0)
    return out, os.waitstatus_to_exitcode(status)


def expected():
    folder = Path(mkdtemp(dir=MEMORY))
    table = tournament(folder / "store.sqlite")  # the first one also imports what it needs: the next is timed
    shutil.rmtree(folder)
    folder = Path(mkdtemp(dir=MEMORY))
    start = time.monotonic()
    assert tournament(folder / "store.sqlite") == table
    seconds = time.monotonic() - start
    matches, problems = content(folder / "store.sqlite")
    assert problems == []
    shutil.rmtree(folder)
    return table, matches, seconds


def killed(points, seed):
    """Kills tournaments and their resumptions at random moments; how often, and what went wrong."""
    table, matches, seconds = expected()
    rng = np.random.default_rng(seed)
    kills = trials = 0
    stages = Counter()
    while kills < points:
        trials += 1
        folder = Path(mkdtemp(dir=MEMORY))
        path = folder / "store.sqlite"
        ledger = os.open(folder / "paid", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        here = 0
        while True:
            pid, read = fork(lambda told, path=path, ledger=ledger: tournament(path, told, ledger) is None)
            if here < 3:  # the first life, the resumption, and the resumption of that
                time.sleep(float(rng.uniform(0.0, 1.1 * seconds)))
                os.kill(pid, signal.SIGKILL)
            out, code = finish(pid, read)
            if code == 0:
                break
            assert code == -signal.SIGKILL, (code, out)
            kills += 1
            here += 1
            if path.exists():
                found, problems = content(path)
                assert problems == [], problems
                assert len(found) >= len(out), "an acknowledged match is gone"
                assert len(found) % WAVE == 0, "a commit was kept in part"
                stages[len(found)] += 1
        assert tournament(path) == table
        found, problems = content(path)
        assert problems == [] and found == matches
        os.close(ledger)
        paid = Counter((folder / "paid").read_text().split())
        assert max(paid.values()) <= 1 + here
        assert sum(n - 1 for n in paid.values()) <= here * 4 * WAVE, "more was paid twice than was under way"
        shutil.rmtree(folder)
    return {"kills": kills, "trials": trials, "stages": len(stages)}


def failing_disk(kind):
    """Fails the n-th write or flush of the store's files, for every n, until a tournament gets through unhurt."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    table, matches, _ = expected()
    number = loud = hurt = 0
    while True:
        number += 1
        folder = Path(mkdtemp(dir=MEMORY))
        path = folder / "store.sqlite"

        def work(told, path=path, number=number):
            library.fail_at(number, kind)
            if tournament(path, told) != table:
                return 9
            return 0 if library.failed() else 3

        out, code = finish(*fork(work))
        assert code in (0, 3, 7), (number, code, out)
        loud += code == 7
        hurt += code != 3
        if path.exists() and code == 7:
            assert b"store.sqlite" in out or str(folder).encode() in out, out
        assert tournament(path) == table, number
        found, problems = content(path)
        assert problems == [] and found == matches, number
        shutil.rmtree(folder)
        if code == 3:
            return {"failures": hurt, "loud": loud}


def cut_log():
    """Cuts the log of a killed tournament after every frame, and inside of some."""
    table, matches, _ = expected()
    folder = Path(mkdtemp(dir=MEMORY))
    path = folder / "store.sqlite"

    def work(told):
        tournament_without_close(path)
        return 0

    finish(*fork(work))
    log = (folder / "store.sqlite-wal").read_bytes()
    page = int.from_bytes(log[8:12], "big")
    frame = page + 24
    frames = (len(log) - 32) // frame
    rng = np.random.default_rng(0)
    cuts = [32 + k * frame for k in range(frames + 1)] + [int(n) for n in rng.integers(0, len(log), 20)]
    sizes = set()
    for cut in cuts:
        trial = Path(mkdtemp(dir=MEMORY))
        shutil.copy(path, trial / "store.sqlite")
        (trial / "store.sqlite-wal").write_bytes(log[:cut])
        try:
            found, problems = content(trial / "store.sqlite")
        except UserError:  # cut before the tables were made: refused, and said
            found, problems = {}, []
            (trial / "store.sqlite").unlink()
            (trial / "store.sqlite-wal").unlink(missing_ok=True)
        assert problems == []
        assert found.items() <= matches.items()
        sizes.add(len(found))
        assert tournament(trial / "store.sqlite") == table
        assert content(trial / "store.sqlite") == (matches, [])
        shutil.rmtree(trial)
    shutil.rmtree(folder)
    return {"frames": frames, "sizes": len(sizes)}


def tournament_without_close(path):
    """As when the power fails at the end: nothing is folded back from the log into the file."""
    store = Store(path)
    store._db.execute("PRAGMA wal_autocheckpoint=0")
    field, plan, arena, cast = scene("round_robin", CachingCompleter(rule_model, store))
    results = Results(field, plan.criterion)
    play_tournament(field, plan, arena, cast, store, results, Meter(clock=lambda: 0.0), Silent(), WAVE)
    os._exit(0)


# --- the tests -------------------------------------------------------------------------------------------------------


def serve(call, preload=""):
    """Runs one of the functions above in a process of its own; what it returns."""
    code = (
        f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        f"import test_tournament_faults as t; print(json.dumps(t.{call}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if preload:
        environment["LD_PRELOAD"] = preload
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_at_some_random_points_the_table_is_the_same():
    found = serve("killed(12, 1)")
    assert found["kills"] >= 12


@pytest.mark.slow
def test_killed_at_100_random_points_and_during_the_resume_the_table_is_the_same():
    found = serve("killed(100, 0)")
    assert found["kills"] >= 100
    assert found["stages"] > 3, "kills at different stages"


def test_cut_at_every_frame_of_the_log_the_table_is_the_same():
    found = serve("cut_log()")
    assert found["frames"] > 20
    assert found["sizes"] > 3


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/types.h>
static long left = 0; static int code = 0; static int hit = 0;
void fail_at(long n, int error) { left = n; code = error; hit = 0; }
int failed(void) { return hit; }
static int due(int fd) {
    char link[64], path[4096];
    if (left == 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    if (!strstr(path, "store.sqlite") || strstr(path, ".lock") || strstr(path, "-shm")) return 0;
    if (--left) return 0;
    hit = 1; errno = code; return 1;
}
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { REAL(pwrite); return due(fd) ? -1 : real(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    REAL(pwrite64); return due(fd) ? -1 : real(fd, b, n, o);
}
ssize_t write(int fd, const void *b, size_t n) { REAL(write); return due(fd) ? -1 : real(fd, b, n); }
int fsync(int fd) { REAL(fsync); return due(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return due(fd) ? -1 : real(fd); }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); return due(fd) ? -1 : real(fd, n); }
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make the library of failing system calls with")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(folder / "shim.so"), str(folder / "shim.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return str(folder / "shim.so")


def test_an_answer_that_cannot_be_kept_does_not_become_a_failed_verdict(tmp_path):
    """A judge takes whatever its engine raises for a failed verdict; a full disk beneath it is none."""
    with Store(tmp_path / "store.sqlite") as store:
        store._db.execute("CREATE TRIGGER full BEFORE INSERT ON completions BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        field, plan, arena, cast = scene("round_robin", CachingCompleter(rule_model, store))
        speaker = cast[field.entrants[0]].speaker
        cast = {name: Agent(agent.policy, replace(speaker, completer=rule_model)) for name, agent in cast.items()}
        results = Results(field, plan.criterion)
        with pytest.raises(StoreError, match=r"could not be kept \(disk full\)"):
            play_tournament(field, plan, arena, cast, store, results, Meter(clock=lambda: 0.0), Silent(), WAVE)
        assert len(store) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ENOSPC", "EIO"])
def test_the_nth_write_or_flush_fails_for_every_n_and_the_table_is_the_same(shim, kind):
    found = serve(f"failing_disk({getattr(errno, kind)})", shim)
    assert found["failures"] > 50
    # The quiet ones are failures to fold the log back into the file: the log still holds everything.
    assert found["loud"] > found["failures"] / 2


def test_a_second_tournament_on_the_folder_and_a_read_only_folder_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cup.yaml").write_text(
        "name: cup\nagents:\n  a: {kind: scripted, script: random_legal}\n  b: {kind: scripted, script: random_legal}\n"
        "arenas:\n  d: {protocol: evidence_debate, judge: naive_evidence, data: {adapter: evidence, n: 4, limit: 2}}\n"
        "tournament: {format: round_robin, questions: 2, resamples: 10}\n"
    )
    assert main(["tournament", "cup.yaml", "--out", "cup"]) == 0
    with Store(tmp_path / "cup" / "store.sqlite"):
        assert main(["tournament", "cup"]) == 2
        assert f"another process is writing it (pid {os.getpid()}" in capsys.readouterr().err
    folder = Path(mkdtemp())
    shutil.copytree("cup", folder / "cup")
    for path in (folder, folder / "cup"):
        path.chmod(0o555)

    def read_only(told):
        os.chdir(folder)
        if os.geteuid() == 0:  # root may write everywhere: be nobody
            os.setuid(65534)
        with os.fdopen(told, "w") as sys.stderr:
            return main(["tournament", str(folder / "cup")])

    try:
        out, code = finish(*fork(read_only))
    finally:
        folder.chmod(0o755)
        (folder / "cup").chmod(0o755)
        shutil.rmtree(folder)
    assert code == 2, out
    assert b"cannot be written" in out
