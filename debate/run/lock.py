"""One writer at a time: a lock on a file, held by the process, freed by the kernel however that process ends."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from debate.errors import UserError


class WriterLock:
    """The right to write a run folder.

    Args:
        path: the lock file; it names the holder, and stays when the lock is free.

    Raises:
        UserError: another process (named) holds it, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(
                f"{path.parent}: cannot be written ({error.strerror}); open it read-only, or choose another folder"
            ) from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._handle, 200, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            reason = f"another process is writing it ({holder}); wait for it to end, or open it read-only"
            raise UserError(f"{path.parent}: {reason}") from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Gives the right back; doing so twice is harmless."""
        if self._handle >= 0:
            os.close(self._handle)  # closing frees the lock; the file stays, since removing it would race with a taker
            self._handle = -1
