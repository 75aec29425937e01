"""Which isolation this host offers, found out by trying it."""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from judges.sandbox.launch import Jail, jail
from judges.sandbox.types import Limits, Tier


@dataclass(frozen=True, slots=True)
class Probe:
    """The strongest tier of this host, and why each stronger one is not to be had.

    Attributes:
        tier: "B" or "C"; "D" where only refusal is safe.
        reasons: tier → why it cannot be used.
    """

    tier: Tier
    reasons: dict[str, str]


@functools.cache
def probe() -> Probe:
    """Tries the tiers from the strongest to the weakest, once in this process.

    Tier A (a container or virtual machine of its own) is not built in: bring it by running this whole process in one.
    """
    reasons = {"A": "no container runtime is built in"}
    if platform.system() != "Linux":
        return Probe("D", {**reasons, "B": "not Linux", "C": "not Linux"})
    tiers: tuple[Tier, ...] = ("B", "C")
    for tier in tiers:
        problem = try_tier(tier)
        if problem is None:
            return Probe(tier, reasons)
        reasons[tier] = problem
    return Probe("D", reasons)


def try_tier(tier: Tier) -> str | None:
    """Starts a jail of this tier and lets it look around; None where all it must hold back is held back."""
    if tier == "B" and shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    try:
        with jail(tier, Limits(wall=10.0)) as made:
            return _problem(tier, made)
    except OSError as error:
        return f"{type(error).__name__}: {error}"


def _problem(tier: Tier, made: Jail) -> str | None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as report, tempfile.TemporaryFile() as errors:
        process = made.start("check", (write,), subprocess.DEVNULL, errors)
        os.close(write)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "the jail did not answer"
        finally:
            made.kill()
        errors.seek(0)
        line = report.read()
        if process.returncode != 0 or not line:
            return f"the jail failed: {errors.read()[-300:].decode(errors='replace').strip()}"
    seen = json.loads(line)
    if seen["interfaces"] != ["lo"]:
        return f"network interfaces are visible: {seen['interfaces']}"
    if seen["home"] or seen["write"] or not seen["box"]:
        return f"files are not isolated: {seen}"
    if seen["nested"]:
        return "a namespace of its own can be made inside: system calls are not filtered"
    if seen["pids"] > 10:
        return "processes of the host are visible"
    # Bubblewrap started by root runs as root outside its user namespace, and RLIMIT_NPROC does nothing for root.
    if "pids" not in made.controllers and (seen["uid"] == 0 or (tier == "B" and os.getuid() == 0)):
        return "nothing bounds the number of processes: neither another user id nor a control group"
    return None
