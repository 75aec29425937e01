"""Numbers of a run for TensorBoard: event files in the run folder's `tensorboard/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from debate.logging.sink import scalars, step_of


class TensorBoardSink:
    """Writes scalars through `torch.utils.tensorboard`.

    The file is begun with the first row. Its `purge_step` is that row's update, so that of a resumed run TensorBoard
    shows each update once.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds the rows' numbers and flushes them.

        Raises:
            ValueError: a row without its update.
        """
        for row in rows:
            step = step_of(row)
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self._folder), purge_step=step)
            for name, value in scalars(row).items():
                self._writer.add_scalar(name, value, step)
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
