"""`debate experiment NAME`: run, tabulate, draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from debate.errors import Failed
from debate.experiments.figures import draw
from debate.experiments.runner import run_experiment
from debate.experiments.spec import Experiment
from debate.experiments.tables import points, table
from debate.progress import Progress
from debate.run.files import write_atomic

FILES = ("table.md", "points.csv", "figure.svg", "figure.png")


def experiment_command(
    experiment: Experiment, out: Path, progress: Progress, workers: int, check: bool
) -> Iterator[str]:
    """Runs what is missing and writes table, points and figure into `out`.

    Args:
        experiment: what.
        out: folder of the results.
        progress: shown one step a job.
        workers: processes side by side.
        check: compare with the published results beside the experiment's file.

    Yields:
        Lines for the user.

    Raises:
        Failed: `check`, and the points differ from the published ones.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = run_experiment(experiment, out, progress, workers)
    found = {"table.md": table(experiment, results), "points.csv": points(experiment, results)}
    for name, text in found.items():
        write_atomic(out / name, text)
    draw(experiment, results, out)
    yield found["table.md"].rstrip()
    yield ""
    for name in FILES:
        yield str(out / name)
    if check:
        published = experiment.folder / "results" / experiment.name / "points.csv"
        if not published.is_file():
            raise Failed(f"{published}: no published results to compare with")
        if published.read_text(encoding="utf-8") != found["points.csv"]:
            raise Failed(f"{out / 'points.csv'} differs from the published {published}")
        yield "the same points as published"


def default_out(experiment: Experiment) -> Path:
    """Where results go by default."""
    return Path("runs/out/experiments") / experiment.name
