"""The processes of a sharded learner: started together, asked together, and ended together when one of them fails."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.learning.memory import TrainingFailed
from debate.sharding.rank import ShardSpec

GRACE = 2.0  # seconds that the others have to end too when one has ended, and a process to end when it is told to
HEARING = 10.0  # seconds that they have to say whether they see what one has raised
STARTING = 600.0  # seconds for the libraries to load
KINDS: dict[str, type[Exception]] = {"UserError": UserError, "ValueError": ValueError, "TrainingFailed": TrainingFailed}


class Processes:
    """The processes, and one conversation with all of them.

    What every process raises alike is raised here as it is, and the processes live on. What one alone runs into ends
    them all: the others are in the middle of a pass that cannot be finished.
    """

    def __init__(self, spec: ShardSpec, who: str) -> None:
        """Starts the processes and waits until each has its share of the base.

        Args:
            spec: what they are.
            who: whose learner it is, for errors.

        Raises:
            UserError: a model that cannot be sharded, or GPUs that are not there.
            TrainingFailed: one of them ended.
        """
        self.who = who
        self._spec = spec
        self._broken = ""
        self._asked = ""  # what has not been answered by all yet
        _check_devices(spec)
        self._folder = Path(tempfile.mkdtemp(prefix="debate-shard-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._connections: list[Connection] = []
        try:
            for rank in range(spec.size):
                self._start(rank)
            for rank in range(spec.size):
                self._send(rank, ForkingPickler.dumps(("get_ready", (spec, rank, str(self._folder)))))
            self._gather("get ready", STARTING)
            self.ask("setup")
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Process ids, by rank."""
        return [process.pid for process in self._processes]

    def _start(self, rank: int) -> None:
        ours, theirs = socket.socketpair()
        # A process that does not read must not hold up the one that writes for ever.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", math.ceil(self._spec.timeout), 0))
        variables = environment(self._spec, rank, os.environ)
        with (self._folder / f"rank{rank}.log").open("wb") as log, theirs:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "debate.sharding.rank", str(theirs.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is ours to handle
                )
            )
        self._connections.append(Connection(ours.detach()))

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """A method of every process (see `debate.sharding.rank.Rank`); the answers, by rank.

        Raises:
            TrainingFailed: a process ended, raised what the others did not, or does not answer.
            Exception: what all of them raised.
        """
        if self._broken:
            raise TrainingFailed(self._broken)
        if self._asked:  # what comes next would be the answers to that
            raise self._fail(f"it was interrupted when it was asked to {self._asked}")
        self._asked = method.replace("_", " ")
        message = ForkingPickler.dumps((method, arguments))
        for rank in range(self._spec.size):
            self._send(rank, message)
        return self._gather(self._asked, self._spec.timeout)

    def _send(self, rank: int, message: Any) -> None:
        try:
            self._connections[rank].send_bytes(message)
        except BlockingIOError:
            words = f"process {rank} of {self._spec.size} takes nothing in"
            raise self._fail(words) from None
        except OSError:
            pass  # it is gone, which is found out where its answer is waited for

    def _gather(self, task: str, timeout: float) -> list[Any]:
        """Every process's answer.

        The first may take as long as the work takes. The others have the time-out from then on, or, after a failure,
        a moment.
        """
        pending = dict(enumerate(self._connections))
        answers: dict[int, Any] = {}
        raised: dict[int, tuple[str, str, str, bool]] = {}
        ended: dict[int, str] = {}
        until = math.inf
        while pending:
            patience = None if until == math.inf else max(0.0, until - time.monotonic())
            ready = wait(list(pending.values()), patience)
            if not ready:
                break
            for rank in [rank for rank, connection in pending.items() if connection in ready]:
                connection = pending.pop(rank)
                try:
                    fine, value = connection.recv()
                except (EOFError, OSError):
                    ended[rank] = self._end_of(rank)
                else:
                    (answers if fine else raised)[rank] = value
            patience = GRACE if ended else HEARING if raised else timeout
            until = min(until, time.monotonic() + patience)
        if not pending:
            self._asked = ""
        if len(answers) == self._spec.size:
            return [answers[rank] for rank in range(self._spec.size)]
        if len({told[:2] for told in raised.values()}) == 1 and len(raised) == self._spec.size:
            kind, words, trace, _ = raised[0]
            if kind in KINDS:
                raise KINDS[kind](words)
            raise self._fail(f"every process raised {kind}: {words}\n{trace}")
        raise self._fail(self._blame(task, raised, ended, list(pending)))

    def _blame(
        self, task: str, raised: dict[int, tuple[str, str, str, bool]], ended: dict[int, str], silent: list[int]
    ) -> str:
        """What went wrong first: of what several processes say, the others' is that they miss the one that failed."""
        size = self._spec.size
        if ended:
            rank, how = next(iter(ended.items()))
            return f"process {rank} of {size} {how}"
        own = {rank: told for rank, told in raised.items() if not told[3]}
        if not own and silent:
            return (
                f"process {silent[0]} of {size} does not answer (asked to {task}, the others have waited "
                f"{self._spec.timeout:g} s)"
            )
        rank, (kind, words, trace, _) = next(iter((own or raised).items()))
        return f"process {rank} of {size}: {words if kind in KINDS else f'{kind}: {words}'}" + (
            "" if kind in KINDS else f"\n{trace}"
        )

    def _fail(self, words: str) -> TrainingFailed:
        """Ends the processes; what is to be raised, now and whenever they are asked again."""
        self._broken = f"learner of {self.who}, sharded: {words}"
        self.close()
        return TrainingFailed(self._broken)

    def _end_of(self, rank: int) -> str:
        """How a process ended."""
        try:
            code = self._processes[rank].wait(GRACE)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL; a system that runs out of memory does that)"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        said = (self._folder / f"rank{rank}.log").read_text(encoding="utf-8", errors="replace").split("\n")
        last = [line.strip() for line in said if line.strip()][-1:]
        return f"ended with exit code {code}: {last[0] if last else 'it said nothing'}"

    def close(self) -> None:
        """Ends the processes; doing so twice is harmless."""
        self._broken = self._broken or f"learner of {self.who}, sharded: it was closed"
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _check_devices(spec: ShardSpec) -> None:
    """Refuses GPUs that are not there."""
    if spec.device != "cuda":
        return
    import torch

    wanted = spec.gpus or tuple(range(spec.size))
    there = torch.cuda.device_count()
    if max(wanted) >= there:
        raise UserError(
            f"shard: {spec.size} processes need the GPUs {', '.join(map(str, wanted))}; torch finds {there} here"
        )


def environment(spec: ShardSpec, rank: int, given: Mapping[str, str]) -> dict[str, str]:
    """Variables of a process: this very code, its part of the cores, its GPU alone, no network beyond this machine.

    Args:
        spec: what the processes are.
        rank: which of them.
        given: this process's own variables.
    """
    import debate

    variables = dict(given)
    here = str(Path(debate.__file__).parents[1])
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (here, variables.get("PYTHONPATH"))))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    variables.setdefault("OMP_NUM_THREADS", str(max(1, cores // spec.size)))
    if "lo" in (name for _, name in socket.if_nameindex()):
        variables.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if spec.device == "cuda":
        gpu = spec.gpus[rank] if spec.gpus else rank
        seen = variables.get("CUDA_VISIBLE_DEVICES", "")
        variables["CUDA_VISIBLE_DEVICES"] = seen.split(",")[gpu].strip() if seen else str(gpu)
    return variables
