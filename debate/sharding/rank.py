"""One process of a sharded learner: a share of the base, all of the adapters, and what it is asked to do.

    python -m debate.sharding.rank SOCKET

Questions come over the inherited socket; every process gets the same ones in the same order. Standard input is held
open by the process that wants the learner: when it closes, for whatever reason, this one ends at once.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import threading
import traceback
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from debate.engines.adapters import AdapterSpec
from debate.transcript import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from debate.learning.learner import LearnerConfig

Agents = Mapping[str, tuple[Policy, "LearnerConfig", Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """What the processes of a sharded learner are.

    Attributes:
        size: how many.
        folder: the base model's, with safetensors files.
        dtype: of its weights.
        device: "cpu" or "cuda".
        gpus: CUDA device of each process; empty: 0, 1, …
        adapter: shape of every adapter.
        timeout: seconds that one of them waits for the others.
    """

    size: int
    folder: str
    dtype: str
    device: str
    gpus: tuple[int, ...]
    adapter: AdapterSpec
    timeout: float


class ProcessTeam:
    """The processes of a group of `torch.distributed` (see `debate.learning.team.Team`)."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def sum(self, tensor: Tensor) -> None:
        """Sums in place; every process gets the same bits."""
        import torch.distributed

        torch.distributed.all_reduce(tensor)


class Host:
    """Holds a base that is no PEFT model (see `debate.learning.joint_learner.AdapterHost`)."""

    def __init__(self, base: Any, spec: AdapterSpec) -> None:
        self.base, self.spec = base, spec

    @contextmanager
    def use(self, policy: str) -> Iterator[Any]:
        """The base as it is; there is nothing to switch off."""
        yield self.base


class Rank:
    """What a process holds and answers. Methods return what the asking side gets from this process."""

    def __init__(self, spec: ShardSpec, rank: int, store: str) -> None:
        self._spec, self._store = spec, store
        self.team = ProcessTeam(rank, spec.size)
        self._members: dict[str, Any] = {}
        self._joint: dict[tuple[str, ...], Any] = {}

    def get_ready(self) -> None:
        """Loads libraries, which takes long on a busy machine, before anybody waits for anybody."""
        import torch.distributed.fsdp  # noqa: F401
        from transformers import AutoModelForCausalLM  # noqa: F401

    def setup(self) -> None:
        """Meets the other processes and reads the share of the base.

        Raises:
            UserError: a model that cannot be sharded.
        """
        import torch
        import torch.distributed as dist
        from torch.distributed.device_mesh import init_device_mesh

        from debate.sharding.base import sharded_base

        spec, rank = self._spec, self.team.rank
        cuda = spec.device == "cuda"
        if cuda:
            torch.cuda.set_device(0)  # a process sees its own GPU only
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=dist.FileStore(self._store, spec.size),  # type: ignore[attr-defined]
            rank=rank,
            world_size=spec.size,
            timeout=timedelta(seconds=spec.timeout),
        )
        mesh = init_device_mesh(spec.device, (spec.size,))
        self._host = Host(sharded_base(Path(spec.folder), spec.dtype, mesh), spec.adapter)

    def join(self, agents: Agents, joint: bool) -> None:
        """Makes learners of agents, updated at once or each alone.

        Raises:
            ValueError: an agent that has one already, or what `JointLearner` refuses.
        """
        from debate.learning.joint_learner import JointLearner, Member

        there = sorted(set(agents) & set(self._members))
        if there:
            raise ValueError(f"learner of {there[0]}: there is one already over this base model")
        if joint:
            learner = self._joint[tuple(agents)] = JointLearner(self._host, agents, self.team)
            self._members |= learner.members
        else:
            made = {name: Member(self._host, *agent, self.team) for name, agent in agents.items()}
            self._members |= made

    def update(self, group: tuple[str, ...], batches: Mapping[str, Any]) -> tuple[Any, int]:
        """Updates agents of a group; their measurements, and a digest of the weights they have then."""
        if group in self._joint:
            metrics = self._joint[group].update(batches)
        else:
            metrics = {name: self._members[name].update(batch) for name, batch in batches.items()}
        return metrics, self._digest(list(batches))

    def _digest(self, names: list[str]) -> int:
        """The same in every process, or their copies of the adapters have come apart."""
        digest = 0
        for name in names:
            for tensor in self._members[name].weights().values():
                digest = zlib.crc32(tensor.contiguous().numpy().tobytes(), digest)
        return digest

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """A method of an agent's learner; all do it, the first one tells."""
        found = getattr(self._members[name], method)(*arguments)
        if self.team.rank:
            return None
        if method == "weights":
            return {key: tensor.numpy() for key, tensor in found.items()}
        return found

    def shares(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], int]]:
        """Parameter of the base → shape here, shape of the whole, bytes here."""
        from debate.sharding.base import shares

        return shares(self._host.base)

    def memory(self) -> dict[str, float]:
        """Bytes: the share of the base; the most this process ever held (on a GPU: of the GPU's memory)."""
        import torch

        peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
        if self._spec.device == "cuda":
            peak = float(torch.cuda.max_memory_allocated())
        return {"share": float(sum(size for _, _, size in self.shares().values())), "peak": peak}


def _end_with_standard_input(folder: str) -> None:
    """Ends this process, whatever it is doing, when the one that started it is gone."""
    while os.read(0, 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # nobody else may be left to do it
    os._exit(1)  # at once: a process group that others have left may wait for them


def _told(error: Exception) -> tuple[str, str, str, bool]:
    """(class, words, traceback, whether it is about the other processes)."""
    words = " ".join(str(error).split())
    about_others = any(mark in words for mark in ("gloo", "NCCL", "Connection closed by peer", "Timed out"))
    return type(error).__name__, words, traceback.format_exc(), about_others


def main() -> None:
    """Answers until nobody asks any more."""
    asked = Connection(int(sys.argv[1]))
    rank: Any = None
    watching: threading.Thread | None = None
    while True:
        try:
            method, arguments = asked.recv()
        except (EOFError, OSError):
            if watching is not None:
                watching.join()  # standard input closes too; to end before would leave the folder half removed
            os._exit(0)
        try:
            if rank is None:
                _, _, folder = arguments
                watching = threading.Thread(target=_end_with_standard_input, args=(folder,), daemon=True)
                watching.start()
                rank = Rank(arguments[0], arguments[1], os.path.join(folder, "store"))
                arguments = ()
            answer: tuple[bool, Any] = True, getattr(rank, method)(*arguments)
        except Exception as error:
            answer = False, _told(error)
        asked.send(answer)


if __name__ == "__main__":
    main()
