"""Control groups for one run: a bound on processes and memory of everything in it together."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILES = {
    "pids": {"v1": "pids.max", "v2": "pids.max"},
    "memory": {"v1": "memory.limit_in_bytes", "v2": "memory.max"},
}


@contextmanager
def control_groups(name: str, processes: int, memory: int) -> Iterator[dict[str, Path]]:
    """Groups named after controllers ("pids", "memory"), for as long as the block runs; empty where none can be made.

    Every process still in a group at the end is killed.
    """
    groups: dict[str, Path] = {}
    try:
        for controller, value in (("pids", processes), ("memory", memory)):
            home = _home(controller)
            if home is None:
                continue
            parent, version = home
            group = parent / f"{name}-{controller}"
            try:
                group.mkdir()
                (group / _FILES[controller][version]).write_text(str(value))
            except OSError:  # not ours to make: `groups` says what there is, and the caller decides
                _remove(group)
                continue
            groups[controller] = group
        yield groups
    finally:
        for group in groups.values():
            _remove(group)


def _home(controller: str) -> tuple[Path, str] | None:
    """Where this process may make a group for the controller, and which version of the interface it has."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = Path("/sys/fs/cgroup")
        if controller in controllers.split(","):
            place, version = root / controller / path.lstrip("/"), "v1"
        elif not controllers and controller in _delegated(root / path.lstrip("/")):
            place, version = root / path.lstrip("/"), "v2"
        else:
            continue
        if os.access(place, os.W_OK):
            return place, version
    return None


def _delegated(place: Path) -> list[str]:
    try:
        return (place / "cgroup.subtree_control").read_text().split()
    except OSError:
        return []


def _remove(group: Path) -> None:
    deadline = time.monotonic() + 5.0
    while group.exists():
        try:
            for pid in (group / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
        except (ProcessLookupError, OSError):
            pass  # gone between reading and killing
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
