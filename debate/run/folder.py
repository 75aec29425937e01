"""The run folder: one place, with one layout, that holds everything a run produced and how it was made.

manifest.json   how it was made (recipe, seed, versions, command)
store.sqlite    matches, transcripts, verdicts, rewards, completions, events
log.jsonl       one row an update, arena, seat and agent, for people and plots
checkpoints/    state to resume from, and the policies' snapshots
summary.json    the headline numbers
analysis/       the games and their solutions
report.html     all of it, to look at
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.run.checkpoint import Checkpoints
from debate.run.codec import dumps
from debate.run.files import write_atomic
from debate.run.manifest import (
    VERSION,
    as_kept,
    describe_session,
    differing_keys,
    make_manifest,
    recipe_hash,
    without_secrets,
)
from debate.run.store import Store


class RunFolder:
    """An existing run folder. Make one with `create`, look into one with `open`."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    # --- places ----------------------------------------------------------------------------------------------

    @property
    def store_path(self) -> Path:
        """Where the store is."""
        return self.path / "store.sqlite"

    @property
    def log_path(self) -> Path:
        """Where the log is."""
        return self.path / "log.jsonl"

    @property
    def analysis(self) -> Path:
        """The folder of games and solutions; made when first asked for."""
        folder = self.path / "analysis"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def checkpoints(self) -> Checkpoints:
        """The run's checkpoints."""
        return Checkpoints(self.path / "checkpoints")

    @property
    def report_path(self) -> Path:
        """Where the report is written."""
        return self.path / "report.html"

    # --- opening ---------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        recipe: str,
        seed: int,
        resume: bool = False,
        argv: Sequence[str] | None = None,
        models: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        protocols: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> RunFolder:
        """A folder for a run: a new one, or with `resume` the one this recipe and seed began.

        Args:
            path: the folder; made with its parents.
            recipe: the recipe's text as it takes effect, overrides included.
            seed: the run's seed.
            resume: go on with what is there. Where nothing is there yet, begin.
            argv: the command line, for the manifest.
            models: name → hash or revision of each model.
            data: path → hash of each data file.
            protocols: name in the recipe → text of each protocol that is not a shipped one; kept in the manifest.
            folder: where the recipe stands.

        Raises:
            UserError: a run is there and `resume` was not given; it belongs to another recipe, seed, protocol, model
                or data (the message says which values differ); or the folder holds something else, or cannot be
                written.
        """
        path = Path(path)
        manifest = make_manifest(recipe, seed, argv, models, data, protocols, folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / "manifest.json").exists():
                return cls._resume(path, manifest, resume)
            strange = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
            if strange:
                raise UserError(f"{path}: holds {strange[0]!r} but no run; choose an empty or a new folder")
            write_atomic(path / "manifest.json", _pretty(manifest))
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from None
        return cls(path, manifest)

    @classmethod
    def _resume(cls, path: Path, manifest: dict[str, Any], resume: bool) -> RunFolder:
        old = cls.open(path)
        differences = _differences(old.manifest, manifest)
        if differences:
            raise UserError(
                f"{path}: belongs to another run; choose another folder, or give back what differs:\n  "
                + "\n  ".join(differences)
            )
        if not resume:
            raise UserError(f"{path}: a run is there already; give --resume to go on with it, or choose another folder")
        old.manifest["sessions"].append(manifest["sessions"][0])
        write_atomic(path / "manifest.json", _pretty(old.manifest))
        return old

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run folder, to read.

        Raises:
            UserError: no run is there, or its manifest is damaged or of another version.
        """
        path = Path(path)
        place = path / "manifest.json"
        manifest = _read_object(place)
        if manifest is None:
            raise UserError(f"{path}: no run there; expected a folder with manifest.json, as `debate train` makes it")
        if manifest.get("version") != VERSION:
            raise UserError(f"{place}: version {manifest.get('version')!r}; this program reads version {VERSION}")
        return cls(path, manifest)

    def store(self, read_only: bool = False) -> Store:
        """The run's store; the caller closes it."""
        return Store(self.store_path, read_only)

    def add_session(self, argv: Sequence[str] | None = None) -> None:
        """Notes in the manifest that another command works on this run (a tournament, a new judge)."""
        self.manifest["sessions"].append(describe_session(argv))
        write_atomic(self.path / "manifest.json", _pretty(self.manifest))

    # --- the log ---------------------------------------------------------------------------------------------

    def log(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Appends rows to log.jsonl and flushes them to the disk. NaN ("not known") is written as null."""
        text = "".join(dumps(dict(row)) + "\n" for row in rows)
        with self.log_path.open("ab") as file:
            file.truncate(_whole_lines(self.log_path))
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def read_log(self) -> Iterator[dict[str, Any]]:
        """The rows of log.jsonl in order. A last line cut off by a crash is left out.

        Raises:
            UserError: a line before the last is not a JSON object.
        """
        if not self.log_path.exists():
            return
        with self.log_path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    return
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise UserError(f"{self.log_path}:{number}: not JSON ({error.msg})") from None
                if not isinstance(row, dict):
                    raise UserError(f"{self.log_path}:{number}: expected a JSON object, got {type(row).__name__}")
                yield row

    def cut_log(self, update: int) -> None:
        """Drops the rows of updates after `update`, which a resumed run makes again, and a line cut off by a crash."""
        if self.log_path.exists():
            kept = [row for row in self.read_log() if row.get("update", -1) <= update]
            write_atomic(self.log_path, "".join(dumps(row) + "\n" for row in kept))

    # --- the summary -----------------------------------------------------------------------------------------

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes summary.json. NaN ("not known") is written as null."""
        write_atomic(self.path / "summary.json", _pretty(summary))

    def read_summary(self) -> dict[str, Any] | None:
        """The summary; None where the run has none yet.

        Raises:
            UserError: the file is damaged.
        """
        return _read_object(self.path / "summary.json")


def finished(
    path: str | Path, recipe: str, seed: int, protocols: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """The summary of a run that this recipe and seed have brought to its end in a folder, report included.

    None where there is no run yet, one that is not at its end, or another run (`RunFolder.create` says what differs).

    Raises:
        UserError: the manifest or the summary is damaged, or of another version.
    """
    if not (Path(path) / "manifest.json").is_file():
        return None
    folder = RunFolder.open(path)
    same = folder.manifest["recipe_hash"] == recipe_hash(without_secrets(recipe), seed)
    same = same and folder.manifest.get("protocols", {}) == as_kept(protocols or {})
    if not same or not folder.report_path.is_file():
        return None
    return folder.read_summary()


def _whole_lines(path: Path) -> int:
    """How many bytes of a file its whole lines take: what a crash cut off does not count."""
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        while start:
            start = max(0, start - 4096)
            file.seek(start)
            newline = file.read(4096).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
    return 0


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(dumps(dict(value))), indent=2, ensure_ascii=False) + "\n"


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged, not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes two manifests those of different runs, one line a value."""
    lines = []
    if old["recipe_hash"] != new["recipe_hash"]:
        lines = [f"recipe, {line}" for line in differing_keys(old["recipe"], new["recipe"])]
        if old["seed"] != new["seed"]:
            lines.append(f"seed: {old['seed']} there, {new['seed']} now")
    before, now = old.get("protocols", {}), new["protocols"]
    lines += [
        f"protocol {name}: the file's text is another one now"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]
    for kind in ("models", "data"):
        for name in sorted(old[kind].keys() & new[kind].keys()):
            if old[kind][name] != new[kind][name]:
                lines.append(f"{kind}, {name}: {old[kind][name]} there, {new[kind][name]} now")
    return lines
