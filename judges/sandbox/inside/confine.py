"""Limits a process puts on itself, inside its jail, before anything untrusted runs. Standard library only.

Usage: confine.py CONFIG, where CONFIG is JSON: limits, role ("program", "tester" or "probe") and its file descriptors.
"""

import ctypes
import importlib
import json
import os
import resource
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 4, 38, 24
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on all architectures
READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read files, read directories
DEVICE = 1 << 1 | 1 << 2
OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # the rights that a file can have
FILESYSTEM = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights each version knows


def landlock_version() -> int:
    """The version of Landlock's interface that the kernel offers; 0 without Landlock."""
    return max(0, int(libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def landlock(readable: list[str], writable: list[str], devices: list[str]) -> None:
    """Restricts this process and its children to some directories, and to no TCP."""
    version = landlock_version()
    if version < 1:
        raise OSError("the kernel offers no Landlock")
    rights = (1 << FILESYSTEM.get(version, 16)) - 1
    fields = [rights] + ([3] if version >= 4 else []) + ([3] if version >= 6 else [])  # no TCP; no signals outside
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _checked(libc.syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    for paths, allowed in ((readable, READ), (writable, rights), (devices, DEVICE)):
        for path in paths:
            if os.path.exists(path):
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                allowed_here = allowed & rights if os.path.isdir(path) else allowed & rights & OF_FILES
                rule = struct.pack("=Qi", allowed_here, fd)
                _checked(libc.syscall(LANDLOCK_ADD, ruleset, 1, rule, 0))
                os.close(fd)
    _checked(libc.syscall(LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def limit(limits: dict[str, float]) -> None:
    """Sets resource limits, soft and hard."""
    cpu = max(1, int(limits["cpu"] + 0.999))
    for name, value in {
        "RLIMIT_AS": int(limits["memory"]),
        "RLIMIT_CPU": cpu,
        "RLIMIT_FSIZE": int(limits["disk"]),
        "RLIMIT_NPROC": int(limits["processes"]),
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def main() -> None:
    """Confines this process, then plays its role."""
    config = json.loads(sys.argv[1])
    os.chdir("/box")
    os.umask(0o077)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for a process that has none: nothing to drop
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if config["landlock"] == "required" or landlock_version() > 0:
        landlock(config["readable"], ["/box"], ["/dev/null", "/dev/zero", "/dev/urandom"])
    limit(config["limits"])
    sys.path.insert(0, "/code")
    # Looked up before the filter is on, through a kind of socket that nothing untrusted is allowed.
    seen = [[name for _, name in socket.if_nameindex()]] if config["role"] == "check" else []
    role = importlib.import_module(f"judges.sandbox.inside.{config['role']}")
    importlib.import_module("judges.sandbox.inside.system_calls").filter_system_calls()
    role.main(*config["fds"], *seen)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main()
