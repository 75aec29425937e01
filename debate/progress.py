"""Progress of long work: bars with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """Where long work reports to."""

    def start(self, stage: str, total: int) -> None:
        """A stage of `total` steps begins; the one before is over."""
        ...

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Steps of the current stage are done; `note` is shown beside them."""
        ...

    def say(self, line: str) -> None:
        """One line worth keeping."""
        ...


class Silent:
    """Reports to nobody."""

    def start(self, stage: str, total: int) -> None:
        """Nothing."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


class Lines:
    """Plain lines, at most one every `every` seconds and one at each end: for logs and pipes."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every
        self._stage, self._total, self._done = "", 0, 0
        self._began = self._last = time.monotonic()

    def start(self, stage: str, total: int) -> None:
        """Says that the stage begins."""
        self._stage, self._total, self._done = stage, total, 0
        self._began = self._last = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Says how far the stage is, when the last line is old enough or the stage is done."""
        self._done += steps
        now = time.monotonic()
        if self._done < self._total and now - self._last < self._every:
            return
        self._last = now
        spent = now - self._began
        rate = self._done / spent if spent > 0 else 0.0
        left = (self._total - self._done) / rate if rate > 0 else 0.0
        end = f", {left:.0f} s left" if self._done < self._total else f", {spent:.1f} s"
        print(f"{self._stage}: {self._done}/{self._total} ({rate:.0f}/s{end}) {note}".rstrip(), flush=True)

    def say(self, line: str) -> None:
        """Prints the line."""
        print(line, flush=True)


class Bars:
    """A rich progress bar for each stage."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._task: Any = None

    def start(self, stage: str, total: int) -> None:
        """Adds a bar."""
        self._task = self._bars.add_task(stage, total=total, note="")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Moves the bar."""
        self._bars.update(self._task, advance=steps, **({"note": note} if note else {}))

    def say(self, line: str) -> None:
        """Prints above the bars."""
        self._bars.console.print(line, markup=False, highlight=False)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Progress]:
    """The fitting kind of progress for where output goes."""
    if quiet:
        yield Silent()
    elif not sys.stdout.isatty():
        yield Lines()
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        class Rate(TextColumn):
            def __init__(self) -> None:
                super().__init__("")

            def render(self, task: Any) -> Any:
                from rich.text import Text

                return Text("" if task.speed is None else f"{task.speed:.1f}/s")

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Rich(*columns) as bars:
            yield Bars(bars)
