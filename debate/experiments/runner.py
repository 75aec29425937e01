"""Runs an experiment's jobs, each once and for good, and writes what came of them.

A job is one (panel, condition, seed). Its result is a file of its own, written whole or not at all, and it depends on
its settings and seed alone: a run that was killed goes on with the jobs that are missing and ends in the same curves.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debate.errors import Failed
from debate.experiments.kinds import find_kind, source_of
from debate.experiments.spec import Experiment
from debate.progress import Progress
from debate.run.files import write_atomic

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Job:
    """What a kind's function is given.

    Attributes:
        settings: merged, see `Experiment.settings_of`.
        seed: all randomness.
        folder: a place of its own, kept between interruptions; the experiment's file is in `home`.
        home: the folder of the experiment's file.
    """

    settings: Mapping[str, Any]
    seed: int
    folder: Path
    home: Path


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of one finished job."""

    panel: str
    condition: str
    seed: int
    rows: tuple[Row, ...]


def run_experiment(experiment: Experiment, out: Path, progress: Progress, workers: int = 1) -> list[Result]:
    """Every job's result, in the experiment's order; finished ones are read, the others run.

    Args:
        experiment: what.
        out: folder of the jobs' results.
        progress: shown one step a job.
        workers: processes side by side; the result does not depend on it.

    Raises:
        Failed: a job failed; the message says which, and what is finished stays.
        UserError: settings that the kind refuses.
    """
    jobs = list(experiment.jobs())
    paths = {job: _path(experiment, out, *job) for job in jobs}
    missing = [job for job in jobs if not paths[job].is_file()]
    progress.start(experiment.name, len(jobs))
    progress.advance(len(jobs) - len(missing), "already finished" if len(missing) < len(jobs) else "")
    tasks = [
        (
            experiment.kind,
            Job(experiment.settings_of(p, c), s, _scratch(paths[p, c, s]), experiment.folder),
            paths[p, c, s],
        )
        for p, c, s in missing
    ]
    if workers > 1 and len(tasks) > 1:
        from multiprocessing import get_context

        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
            running = {pool.submit(_work, *task): job for task, job in zip(tasks, missing, strict=True)}
            try:
                for done in as_completed(running):
                    done.result()
                    progress.advance(1, " ".join(map(str, running[done])).strip())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # what is running ends; nothing new begins
                raise
    else:
        for task, job in zip(tasks, missing, strict=True):
            _work(*task)
            progress.advance(1, " ".join(map(str, job)).strip())
    return [Result(*job, _read(paths[job])) for job in jobs]


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


def _work(kind: str, job: Job, path: Path) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    rows = find_kind(kind)(job)
    write_atomic(
        path, json.dumps({"settings": dict(job.settings), "seed": job.seed, "rows": _plain(rows)}, default=str)
    )


def _plain(rows: Sequence[Row]) -> list[dict[str, float | None]]:
    if not rows:
        raise Failed("an experiment's job returned no rows")
    return [{k: float(v) if math.isfinite(v) else None for k, v in row.items()} for row in rows]


def _read(path: Path) -> tuple[Row, ...]:
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return tuple({k: math.nan if v is None else float(v) for k, v in row.items()} for row in rows)


def _path(experiment: Experiment, out: Path, panel: str, condition: str, seed: int) -> Path:
    """A job's file. The name holds a hash of its settings and of the kind's code: what changed is run again."""
    chosen = [source_of(experiment.kind), experiment.settings_of(panel, condition)]
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:12]
    words = "-".join(_slug(part) for part in (panel, condition) if part)
    return out / "jobs" / f"{words}-{digest}-{seed}.json"


def _scratch(path: Path) -> Path:
    return path.with_suffix(".work")


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text.lower()).strip("_")[:40]
