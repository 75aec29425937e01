"""Runs a command and stops it, with all it started, when the process that wants it goes away.

    python -m debate.engines.vllm.watch COMMAND…

A server's workers outlive a parent that is killed. This small process stands between: it holds one end of a pipe
(its standard input), and when the other end closes, for whatever reason, it ends the command's process group.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time

GRACE = 15.0  # seconds between asking and forcing; DEBATE_WATCH_GRACE says otherwise


def main() -> int:
    """Runs the command until it ends or standard input closes; returns its exit code."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            while child.poll() is None:
                if selector.select(timeout=0.2) and not os.read(sys.stdin.fileno(), 1):
                    break
    finally:
        stop(child)
    return child.returncode or 0


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ends a process and its group: asks, waits, forces. Workers of a leader that is gone already are ended too."""
    grace = float(os.environ.get("DEBATE_WATCH_GRACE", GRACE))
    for name, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(child.pid, name)
        except (ProcessLookupError, PermissionError):
            break
        until = time.monotonic() + patience
        while time.monotonic() < until and group_lives(child):
            time.sleep(0.05)
    child.wait()


def group_lives(child: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the process group is still there."""
    child.poll()  # a leader that ended must be collected, or it stays in the group
    try:
        os.killpg(child.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
