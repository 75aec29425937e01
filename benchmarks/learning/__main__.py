"""`python -m benchmarks.learning [name …]`: prints one line a measurement, ours and the peer's in the same run."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import time

from benchmarks.learning import _setup

MODULES = ("nano", "layouts", "joint", "trl_grpo")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MODULES, []], help="modules to run; default all")
    parser.add_argument(
        "--model",
        action="append",
        help=f"a pulled model, a folder, a hub id, or one of {', '.join(_setup.SHAPES)} (random weights); "
        "may be given several times; default random and smollm2-135m",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--cpu-time", action="store_true", help="CPU seconds, for a busy machine; set OMP_NUM_THREADS=1"
    )
    arguments = parser.parse_args()
    if arguments.cpu_time:
        _setup.CLOCK[0] = time.process_time
    print(f"{datetime.date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    models = arguments.model or ["random", "smollm2-135m"]
    for name in arguments.names or MODULES:
        module = importlib.import_module(f"benchmarks.learning.{name}")
        for model in ["nano"] if name == "nano" else models:
            for row in module.run(model, arguments.device, arguments.repeats):
                shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
                print(" | ".join([name, model, *shown]), flush=True)


if __name__ == "__main__":
    main()
