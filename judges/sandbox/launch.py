"""Starts processes in jails of one run, and ends all of them."""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from judges.sandbox.control_groups import control_groups
from judges.sandbox.types import Limits, Tier

_HERE = Path(__file__).parent
_INSIDE = "/code/judges/sandbox/inside"
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives")


class Jail:
    """The jails of one run, each with namespaces and control groups of its own."""

    def __init__(self, tier: Tier, limits: Limits, resources: ExitStack) -> None:
        self._tier, self._limits, self._resources = tier, limits, resources
        self._started: list[subprocess.Popen[bytes]] = []
        self.controllers: set[str] = set()

    def start(
        self,
        role: str,
        fds: tuple[int, ...],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        memory: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a role of `inside/` in a jail of its own, with these file descriptors and no others."""
        limits = {name: getattr(self._limits, name) for name in ("cpu", "memory", "disk", "processes")}
        limits["memory"] = memory or limits["memory"]
        # The launcher and the waiting first process stand in the groups too; /box counts as memory.
        bounds = limits["processes"] + 2, limits["memory"] + limits["disk"] + 64 * 1024**2
        groups = self._resources.enter_context(control_groups(f"debate-{secrets.token_hex(8)}", *bounds))
        self.controllers = set(groups)
        python = os.path.realpath(sys.executable)
        prefix = os.path.realpath(sys.base_prefix)
        binds = [(path, path) for path in _SYSTEM] + [(str(_HERE / "inside"), _INSIDE)]
        if not prefix.startswith("/usr"):
            binds.append((prefix, prefix))
        confined = {
            "limits": limits,
            "role": role,
            "fds": fds,
            "landlock": "required" if self._tier == "C" else "if offered",
            "readable": [path for _, path in binds] + ["/code"],
        }
        command = [python, "-I", "-S", "-B", "-u", f"{_INSIDE}/confine.py", json.dumps(confined)]
        if self._tier == "B":
            command = _bubblewrap(binds, limits["disk"]) + command
        config = {
            "tier": self._tier,
            "groups": [str(group) for group in groups.values()],
            "limits": limits,
            "binds": binds,
            "uid": 1_000_000_000 + secrets.randbelow(1_000_000_000),  # shared with nobody: limits count per user
            "fds": fds,
            "command": command,
        }
        launcher = [sys.executable, "-I", "-S", "-B", str(_HERE / "jail.py"), json.dumps(config)]
        process = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=fds,
            env={},
            cwd="/",
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def kill(self) -> None:
        """Ends every process of every jail of this run: killing the launcher kills its namespace."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._started:
            process.wait()


@contextmanager
def jail(tier: Tier, limits: Limits) -> Iterator[Jail]:
    """The jails of one run; all their processes are gone when the block ends.

    Raises:
        OSError: a control group could not be removed: something in it does not die.
    """
    with ExitStack() as resources:
        made = Jail(tier, limits, resources)
        try:
            yield made
        finally:
            made.kill()  # before the control groups are removed


def _bubblewrap(binds: list[tuple[str, str]], disk: int) -> list[str]:
    """The bubblewrap command line: all namespaces new, a root of read-only binds, a small /box, no capabilities."""
    found = shutil.which("bwrap")
    if found is None:
        raise FileNotFoundError("bubblewrap is not installed")
    command = [found, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--clearenv"]
    command += ["--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", platform.system().lower()]
    for source, target in binds:
        if os.path.islink(source):
            command += ["--symlink", os.readlink(source), target]
        elif os.path.exists(source):
            command += ["--ro-bind", source, target]
    command += ["--dev", "/dev", "--size", str(disk), "--tmpfs", "/box", "--remount-ro", "/", "--chdir", "/box", "--"]
    return command
