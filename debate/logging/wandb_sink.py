"""Numbers of a run for Weights & Biases."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from debate.errors import UserError
from debate.logging.sink import scalars, step_of
from debate.run.folder import RunFolder

PROJECT = "debate-trainer"


class WandbSink:
    """Sends scalars to Weights & Biases, or keeps them in the run folder's `wandb/` for `wandb sync`.

    The mode is `WANDB_MODE`; without it, "online" where `WANDB_API_KEY` is set and "offline" otherwise. The project is
    `WANDB_PROJECT` or "debate-trainer". A resumed run goes on with its W&B run, whose id belongs to the run folder's
    first session. The recipe is sent as the run's configuration; transcripts are not.

    Args:
        run_folder: the run.

    Raises:
        UserError: W&B refuses (no login, no such project, no connection).
    """

    def __init__(self, run_folder: RunFolder) -> None:
        import wandb

        manifest = run_folder.manifest
        born = json.dumps([manifest["recipe_hash"], manifest["sessions"][0]], sort_keys=True, default=str)
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT,
                name=run_folder.path.name,
                id=blake2b(born.encode(), digest_size=8).hexdigest(),
                resume="allow",
                dir=str(run_folder.path),
                mode=mode,
                config={"recipe": manifest["recipe"], "seed": manifest["seed"]},
                settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
            )
        except wandb.Error as error:
            raise UserError(f"logging: wandb: {error}") from error
        # Rows carry their own update: W&B's built-in step may only grow, and a resumed run gives some rows again.
        self._run.define_metric("update")
        self._run.define_metric("*", step_metric="update")

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sends the rows' numbers, those of one update together.

        Raises:
            ValueError: a row without its update.
        """
        updates: dict[int, dict[str, float]] = {}
        for row in rows:
            updates.setdefault(step_of(row), {}).update(scalars(row))
        for update, numbers in updates.items():
            self._run.log({"update": update, **numbers})

    def close(self) -> None:
        """Ends the W&B run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
