"""`debate tournament` on a recipe or folder of its own; the folders of training runs are `debate.conclude`'s."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from debate.errors import UserError
from debate.reader import override, read_yaml
from debate.run.folder import RunFolder
from debate.run_questions import Origin
from debate.scale.cluster import ScaleSpec, scale_of
from debate.tournaments.spec import budget_flags, stands_alone

STOPPED = 3  # a budget is spent: everything is stored, and the run can go on


def tournament(arguments: argparse.Namespace) -> int | None:
    """Plays the tournament that the arguments name; None where they name a training run.

    Returns:
        0, or 3 where a budget was spent first.
    """
    target: Path = arguments.target
    if target.is_dir():
        origin, out, resume = Origin.of(RunFolder.open(target)), target, True
        if stands_alone(origin.document) and (arguments.set or arguments.seed is not None):
            raise UserError("--set and --seed make another tournament: give them with the recipe, not with its folder")
    else:
        settings = [*arguments.set, *([] if arguments.seed is None else [f"seed={arguments.seed}"])]
        origin = Origin(override(read_yaml(target), settings), target.parent, {})
        resume = bool(getattr(arguments, "resume", False))
        out = arguments.out or Path("runs/out") / str(origin.document.data.get("name", target.stem))
    if not stands_alone(origin.document):
        if getattr(arguments, "budget", []):
            raise UserError("--budget: only a tournament of its own (tournament.format) has budgets")
        return None
    scale = scale_of(getattr(arguments, "ray", ""), getattr(arguments, "ray_workers", 0))
    return _run(origin, out, resume, getattr(arguments, "budget", []), scale)


def _run(origin: Origin, out: Path, resume: bool, flags: list[str], scale: ScaleSpec | None) -> int:
    from debate.progress import progress
    from debate.tournaments.command import run_tournament
    from debate.tournaments.show import lines

    with progress() as shown:
        given = origin.document, origin.folder, out, resume, budget_flags(flags), shown
        outcome = run_tournament(*given, scale=scale, kept=origin.protocols)
    for line in lines(outcome.summary["tournament"]):
        print(line)
    print(f"report: {out / 'report.html'}")
    reason = outcome.stopped
    if reason is None:
        return 0
    more = f"{reason.name}={2 * reason.limit:.10g}"
    print(
        f"debate: stopped: {reason}; what was played is stored. Go on with: "
        f"debate tournament {out} --resume --budget {more}",
        file=sys.stderr,
    )
    return STOPPED
