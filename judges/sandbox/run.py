"""Runs a program against tests, in the strongest isolation that the host offers, or refuses.

The program and the tests run in two jails with no process, file or network in common. They exchange calls and plain
data over two pipes; the tests compare. So a program that exits with status 0, prints a report, patches `assert`, or
returns an object that equals everything gains nothing: the result is what the tests' process reports under a nonce
that the program never sees, test by test, and every test counts as failed until it is reported passed.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import subprocess
import threading
import time
from collections.abc import Sequence

from judges.sandbox.launch import Jail, jail
from judges.sandbox.probe import probe
from judges.sandbox.types import CodeResult, Limits, Tier

_NOT_REACHED = "not reached"
_TESTER_MEMORY = 1024**3
_REPORT = 4 * 1024**2  # bytes of all reports together


def run_code(
    program: str, tests: str | Sequence[str], limits: Limits | None = None, *, tier: Tier | None = None
) -> CodeResult:
    """Runs a Python program against tests.

    Args:
        program: Python source. Standard library only, no network, no files but its own.
        tests: statements that raise where the program is wrong, such as "assert add(1, 2) == 3"; one test each. They
            see the program's names as stand-ins: calls, attributes, indexing and iteration go to the program's process,
            plain data (numbers, text, bytes, lists, tuples, sets, dictionaries) comes back by value. Names of built-ins
            are the tests' own whatever the program defines under them, and so are standard modules used as `math.pi`.
        limits: what the program may use.
        tier: the isolation to use; by default the strongest that `probe` found. It is never weakened: where it cannot
            be had the run is refused.

    Returns:
        `passed` where the tests decided: a program that crashes, runs out of time or memory, or prints too much has
        failed. Status "error", tier "D" where the host offers no safe isolation; status "error" where the sandbox
        itself broke; "abstain" without a program or without tests.
    """
    limits = limits or Limits()
    tests = (tests,) if isinstance(tests, str) else tuple(tests)
    if tier is None:
        found = probe()
        tier, reason = found.tier, "; ".join(f"{name}: {why}" for name, why in found.reasons.items())
    else:
        reason = f"tier {tier} was asked for"
    if tier not in ("B", "C"):
        return CodeResult("error", None, "D", total=len(tests), reason=f"no safe isolation on this host: {reason}")
    if not program.strip() or not tests:
        return CodeResult("abstain", None, tier, total=len(tests), reason="no program or no tests")
    start = time.monotonic()
    try:
        with jail(tier, limits) as jails:
            return _run(jails, program, tests, limits, tier, start)
    except OSError as error:
        return CodeResult("error", None, tier, total=len(tests), reason=f"the sandbox failed: {error}")


def _run(jails: Jail, program: str, tests: tuple[str, ...], limits: Limits, tier: Tier, start: float) -> CodeResult:
    nonce = secrets.token_hex(32)
    requests, replies, reports, jobs, prints, errors = (os.pipe() for _ in range(6))
    open_fds = {fd for pipe in (requests, replies, reports, jobs, prints, errors) for fd in pipe}

    def close(*fds: int) -> None:
        for fd in fds:
            if fd in open_fds:
                open_fds.discard(fd)
                os.close(fd)

    try:
        jails.start("program", (requests[0], replies[1]), prints[1], prints[1])
        memory = max(limits.memory, _TESTER_MEMORY)
        given = (replies[0], requests[1], reports[1], jobs[0])
        tester = jails.start("tester", given, subprocess.DEVNULL, errors[1], memory)
        close(requests[0], requests[1], replies[0], replies[1], reports[1], jobs[0], prints[1], errors[1])
        job = json.dumps({"nonce": nonce, "source": program, "tests": tests}).encode()
        _feed(jobs[1], job)
        open_fds.discard(jobs[1])
        kept = {reports[0]: _REPORT, prints[0]: limits.output, errors[0]: 4_096}
        texts, stopped = _collect(kept, reports[0], prints[0], start + limits.wall)
        if stopped is None:
            try:  # its reports have ended; so does it
                tester.wait(timeout=2.0)
            except subprocess.TimeoutExpired:
                stopped = "time"
        jails.kill()
        return _grade(texts, reports[0], prints[0], errors[0], nonce, tests, tier, stopped, limits, start)
    finally:
        close(*open_fds.copy())


def _feed(fd: int, data: bytes) -> None:
    """Writes the job in the background: it may be larger than a pipe, and the reader may die."""

    def write() -> None:
        try:
            with os.fdopen(fd, "wb") as stream:
                stream.write(data)
        except BrokenPipeError:
            return  # the tester is gone; its missing reports tell

    threading.Thread(target=write, daemon=True).start()


def _collect(kept: dict[int, int], reports: int, prints: int, deadline: float) -> tuple[dict[int, bytes], str | None]:
    """Reads all pipes until the reports end; what was read, and why reading stopped early (None: it did not)."""
    texts = dict.fromkeys(kept, b"")
    with selectors.DefaultSelector() as selector:
        for fd in kept:
            selector.register(fd, selectors.EVENT_READ)
        while True:
            done = reports not in selector.get_map()  # then only what was printed already is still read
            ready = selector.select(0.0 if done else max(0.0, deadline - time.monotonic()))
            if not ready:
                return texts, None if done else "time"
            for key, _ in ready:
                fd = key.fd
                part = os.read(fd, 65_536)
                texts[fd] = (texts[fd] + part)[: kept[fd] + 1]
                if not part or (len(texts[fd]) > kept[fd] and fd != prints):
                    selector.unregister(fd)
            if len(texts[prints]) > kept[prints]:
                texts[prints] = texts[prints][: kept[prints]]
                return texts, "output"
            if time.monotonic() > deadline:
                return texts, "time"


def _grade(
    texts: dict[int, bytes],
    reports: int,
    prints: int,
    errors: int,
    nonce: str,
    tests: tuple[str, ...],
    tier: Tier,
    stopped: str | None,
    limits: Limits,
    start: float,
) -> CodeResult:
    failures: list[str | None] = [_NOT_REACHED] * len(tests)
    ran, loaded = 0, False
    problem = ""
    for line in texts[reports].splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            continue  # cut off by the end of the run
        if not secrets.compare_digest(str(report.get("nonce")), nonce):
            continue
        if report["test"] == -1:
            loaded, problem = report["failure"] is None, report["failure"] or ""
        elif failures[report["test"]] == _NOT_REACHED:
            failures[report["test"]] = report["failure"]
            ran += 1
    output = texts[prints].decode(errors="replace")
    wall = time.monotonic() - start
    reason = {
        "time": f"not finished within {limits.wall:g} s",
        "output": f"printed more than {limits.output} bytes",
        None: problem,
    }[stopped]
    if stopped is None and not problem and (not loaded or ran < len(tests)):
        said = texts[errors].decode(errors="replace").strip()[-300:]
        return CodeResult(
            "error", None, tier, ran, len(tests), tuple(failures), output, f"the tests' process failed: {said}", wall
        )
    passed = loaded and ran == len(tests) and all(failure is None for failure in failures)
    return CodeResult("ok", passed, tier, ran, len(tests), tuple(failures), output, reason, wall)
