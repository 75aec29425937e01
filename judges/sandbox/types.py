"""What the sandbox is asked for and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from judges.types import Status

Tier = Literal["A", "B", "C", "D"]  # A container or virtual machine, B bubblewrap, C kernel namespaces, D refuse


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use.

    Attributes:
        wall: seconds from the start of the program to the end of the last test.
        cpu: seconds of processor time of each process.
        memory: bytes of address space of each process; of all of them together where a memory control group exists.
        disk: bytes of its (memory-backed) working directory.
        processes: processes and threads at one time.
        output: bytes kept of what it prints; printing more ends it.
    """

    wall: float = 10.0
    cpu: float = 5.0
    memory: int = 256 * 1024**2
    disk: int = 16 * 1024**2
    processes: int = 16
    output: int = 64 * 1024

    def __post_init__(self) -> None:
        """Refuses limits that limit nothing.

        Raises:
            ValueError: a limit that is not positive, or more than the host's safety allows (1,024 processes).
        """
        values = {name: getattr(self, name) for name in ("wall", "cpu", "memory", "disk", "processes", "output")}
        wrong = {name: value for name, value in values.items() if not 0 < value < float("inf")}
        if wrong or self.processes > 1_024:
            raise ValueError(
                f"Limits: expected positive, finite limits and at most 1024 processes, got {wrong or values}"
            )


@dataclass(frozen=True, slots=True)
class CodeResult:
    """What became of a program.

    Attributes:
        status: "ok" (the tests decided), "abstain" (nothing to run) or "error" (the sandbox could not do its work, or
            refused to).
        passed: whether every test passed; None unless status is "ok".
        tier: the isolation it ran under; "D" where it was refused.
        ran: how many tests ran to an end, passed or failed.
        total: how many tests there were.
        failures: for each test None where it passed, else why it did not (or that it was not reached).
        output: what the program printed, cut to the limit.
        reason: why the result is what it is.
        wall: seconds it took.
    """

    status: Status
    passed: bool | None
    tier: Tier
    ran: int = 0
    total: int = 0
    failures: tuple[str | None, ...] = field(default=())
    output: str = ""
    reason: str = ""
    wall: float = 0.0

    def __post_init__(self) -> None:
        """Holds the invariant between status and passed.

        Raises:
            ValueError: a truth value with another status than "ok", or "ok" without one.
        """
        if (self.passed is not None) != (self.status == "ok"):
            raise ValueError(f"CodeResult: passed={self.passed} does not go with status {self.status!r}")
