"""`python -m benchmarks.games [name …]`: runs every module here that has `run() -> list[dict]` and prints one table.

A row holds task, peer, ours_seconds, peer_seconds, ratio (peer / ours), aim, accuracy_ours and accuracy_peer; what is
not known is left out. A module whose peer is not installed says so and is skipped.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {
    "task": "task",
    "peer": "peer",
    "ours_seconds": "ours",
    "peer_seconds": "peer time",
    "ratio": "ratio",
    "aim": "aim",
    "accuracy_ours": "our accuracy",
    "accuracy_peer": "peer accuracy",
}


def shown(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key.endswith("_seconds") and isinstance(value, (int, float)):
        return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.3g} µs"
    if key == "ratio" and isinstance(value, (int, float)):
        return f"{value:.3g}×"
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.games", description=__doc__)
    parser.add_argument("names", nargs="*", help="modules to run; default all")
    names = parser.parse_args().names
    package = importlib.import_module("benchmarks.games")
    found = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))
    unknown = [name for name in names if name not in found]
    if unknown:
        parser.error(f"no such module: {', '.join(unknown)}; there are {', '.join(found)}")
    table = Table(*COLUMNS.values(), show_lines=True)
    for name in names or found:
        try:
            module = importlib.import_module(f"benchmarks.games.{name}")
            rows = module.run() if hasattr(module, "run") else []
        except ImportError as missing:
            table.add_row(name, f"not run: {missing}")
            continue
        for row in rows:
            table.add_row(*(shown(key, row.get(key)) for key in COLUMNS))
    Console(width=None).print(table)


if __name__ == "__main__":
    main()
