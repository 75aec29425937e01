"""The role that a probe plays: reports what this jail lets through. Runs inside a jail: standard library only."""

import ctypes
import json
import os

NEW_USER = 0x10000000


def main(report_fd: int, interfaces: list[str]) -> None:
    """Writes one JSON line: what is visible and reachable from here."""
    report = {
        "uid": os.getuid(),
        "pids": os.getpid(),
        "interfaces": interfaces,
        "home": any(os.path.exists(path) for path in ("/root/.ssh", "/home", "/etc/shadow", "/proc/1/environ")),
        "write": _can_write("/usr/probe"),
        "box": _can_write("/box/probe"),
        "nested": ctypes.CDLL(None).unshare(NEW_USER) == 0,
    }
    with os.fdopen(report_fd, "w") as stream:
        stream.write(json.dumps(report) + "\n")


def _can_write(path: str) -> bool:
    try:
        with open(path, "w") as stream:
            stream.write("x")
        return True
    except OSError:
        return False
