"""`python -m debate.simulation FIRST [COUNT]`: plays seeds and prints what went wrong in them."""

from __future__ import annotations

import sys

from debate.simulation.plan import FaultPlan
from debate.simulation.run import SimulationFailed, simulate


def main(arguments: list[str]) -> int:
    """Plays COUNT seeds from FIRST on; 1 where a rule was broken."""
    if not 1 <= len(arguments) <= 2 or not all(word.isdigit() for word in arguments):
        print("usage: python -m debate.simulation FIRST [COUNT]", file=sys.stderr)
        return 2
    first, count = int(arguments[0]), int(arguments[1]) if len(arguments) == 2 else 1
    for seed in range(first, first + count):
        try:
            played = simulate(seed)
        except SimulationFailed as failed:
            print(failed)
            return 1
        if count == 1:
            print(FaultPlan.draw(seed))
            print(f"seed {seed}: {len(played.episodes)} matches in {played.lives} lives, {played.table['failures']}")
    print(f"{count} seeds: every rule held")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
