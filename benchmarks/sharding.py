"""`python -m benchmarks.sharding`: a learner whose base is divided over processes, beside one that holds it whole.

Prints the bytes of the base that each process holds, the most each ever held, and seconds an update by the clock (the
same batch, in turns, so ratios of one run are fair; processes on one machine share its cores and its memory's speed).
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.learning._setup import NAMES, config, host_of, samples_of_agent
from debate.learning.batch import TokenBatch
from debate.learning.joint_learner import JointLearner
from debate.models import resolve
from debate.sharding.learners import Shards
from debate.transcript import Policy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharding", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a pulled model or a folder")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--agents", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=2, help="of each agent, two turns each")
    arguments = parser.parse_args()
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {arguments.model}, {arguments.device}")

    names = NAMES[: arguments.agents]
    batches = {
        name: TokenBatch.from_samples(*samples_of_agent(name, arguments.episodes, seed, 2))
        for seed, name in enumerate(names)
    }
    whole = host_of(arguments.model, arguments.device)
    size = sum(p.numel() * p.element_size() for p in whole.base.parameters())
    agents = {name: (Policy(name, 0, arguments.model), config(), whole.first_state(n)) for n, name in enumerate(names)}
    dtype = "bfloat16" if arguments.device == "cuda" else "float32"
    options = {"shard": arguments.processes, "device": arguments.device, "dtype": dtype}
    shards = Shards(str(Path(resolve(arguments.model))), options, whole.spec)
    try:
        began = time.perf_counter()
        learners: dict[str, Any] = {"whole": JointLearner(whole, agents), "sharded": shards.joint(agents)}
        print(f"started in {time.perf_counter() - began:.1f} s")
        told = shards.ask("memory")
        print(f"base: whole {size / 2**20:.0f} MiB; a process {[round(m['share'] / 2**20) for m in told]} MiB")
        seconds: dict[str, list[float]] = {name: [] for name in learners}
        for repeat in range(arguments.repeats + 1):
            for name, learner in learners.items():
                began = time.perf_counter()
                learner.update(batches)
                if repeat:  # the first one allocates
                    seconds[name].append(time.perf_counter() - began)
        ours, peer = (statistics.median(seconds[name]) for name in ("sharded", "whole"))
        shape = " + ".join("x".join(map(str, batch.ids.shape)) for batch in batches.values())
        print(f"update of {shape} rows x tokens: sharded {ours:.2f} s, whole {peer:.2f} s, ratio {peer / ours:.2f}")
        peaks = [round(m["peak"] / 2**20) for m in shards.ask("memory")]
        own = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
        print(f"most a process ever held, libraries included: {peaks} MiB; with the whole base: {own} MiB")
    finally:
        shards.close()


if __name__ == "__main__":
    main()
