"""Checkpoints: whole or not there.

A checkpoint is a folder with `state.json`, `arrays.safetensors` and, last, `complete.json`, which holds hash and size
of the other two. It is written beside its place and moved there in one step, so that a crash at any moment leaves the
newest whole one in place. Arrays are named numpy arrays; nothing is pickled.

    checkpoints/update-000012/     state to resume from; old ones are pruned
    checkpoints/snapshots/<name>/  policies that a league plays against; kept
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from debate.errors import UserError
from debate.run.codec import dumps
from debate.run.files import sync_folder

VERSION = 1
FILES = ("arrays.safetensors", "state.json")
Array = NDArray[Any]
_UPDATE = re.compile(r"update-(\d{6,})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One whole checkpoint: where it stands, its update (None for a snapshot), arrays by name, and JSON state."""

    path: Path
    update: int | None
    arrays: Mapping[str, Array]
    state: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Latest:
    """The newest whole checkpoint (None where there is none), and why newer ones were skipped."""

    checkpoint: Checkpoint | None
    warnings: tuple[str, ...] = ()


class Damaged(UserError):
    """A checkpoint is not what was written: a file is missing, or its hash differs."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, update: int, arrays: Mapping[str, Array], state: Mapping[str, Any]) -> Path:
        """Writes the state after `update` updates; replaces what is there of the same number.

        Raises:
            OSError: the disk is full or the folder cannot be written; older checkpoints are untouched.
            ValueError: `update` is negative.
        """
        if update < 0:
            raise ValueError(f"update: expected 0 or more, got {update}")
        return self._write(self.folder / f"update-{update:06d}", arrays, state)

    def latest(self) -> Latest:
        """The newest whole checkpoint. A damaged one is passed over, and said."""
        warnings: list[str] = []
        for update, path in reversed(self._updates()):
            try:
                return Latest(read_checkpoint(path, update), tuple(warnings))
            except Damaged as error:
                warnings.append(f"skipped {error}")
        return Latest(None, tuple(warnings))

    def prune(self, keep: int = 2, named: Collection[int] = ()) -> list[int]:
        """Removes all but the newest `keep` whole checkpoints and the `named` ones; returns the updates removed.

        Damaged checkpoints newer than those kept stay, to be looked at. Here a checkpoint counts as whole by its marker
        and the sizes of its files; hashes are held when it is read.
        """
        if keep < 1:
            raise ValueError(f"keep: expected 1 or more, got {keep}")
        removed: list[int] = []
        whole = 0
        for update, path in reversed(self._updates()):
            if whole >= keep:
                if update not in named:
                    shutil.rmtree(path)
                    removed.append(update)
                continue
            whole += _looks_whole(path)
        for rest in self.folder.glob(".update-*"):  # what a crash left half written
            shutil.rmtree(rest, ignore_errors=True)
        return sorted(removed)

    def save_snapshot(self, name: str, arrays: Mapping[str, Array], state: Mapping[str, Any]) -> Path:
        """Writes a policy's snapshot, such as "alice-v7", which is never pruned.

        Raises:
            OSError: the disk is full or the folder cannot be written.
            ValueError: the name is no plain file name.
        """
        return self._write(self._snapshot(name), arrays, state)

    def snapshot(self, name: str) -> Checkpoint:
        """A policy's snapshot.

        Raises:
            Damaged: it is not there, or not what was written.
        """
        return read_checkpoint(self._snapshot(name), None)

    def snapshots(self) -> list[str]:
        """Names of the snapshots that are there, sorted."""
        folder = self.folder / "snapshots"
        return sorted(p.name for p in folder.iterdir() if _NAME.fullmatch(p.name)) if folder.is_dir() else []

    def _snapshot(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"snapshot: expected a name of letters, digits, '.', '_' and '-', got {name!r}")
        return self.folder / "snapshots" / name

    def _updates(self) -> list[tuple[int, Path]]:
        if not self.folder.is_dir():
            return []
        found = ((_UPDATE.fullmatch(path.name), path) for path in self.folder.iterdir())
        return sorted((int(match[1]), path) for match, path in found if match is not None)

    def _write(self, path: Path, arrays: Mapping[str, Array], state: Mapping[str, Any]) -> Path:
        from safetensors.numpy import save

        # 1. Everything in memory, so that an array or a state that cannot be written fails before anything is.
        files = {
            FILES[0]: save({name: np.asarray(array, order="C") for name, array in arrays.items()}),
            FILES[1]: dumps(dict(state)).encode(),
        }
        sums = {name: [sha256(data).hexdigest(), len(data)] for name, data in files.items()}
        marker = dumps({"version": VERSION, "files": sums})
        path.parent.mkdir(parents=True, exist_ok=True)
        if _holds(path, marker):
            return path
        # 2. The files and then the marker, beside. 3. The move.
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            for name, content in files.items():
                _write_synced(beside / name, content)
            _write_synced(beside / "complete.json", marker.encode())
            sync_folder(beside)
            os.chmod(beside, 0o755)
            if path.exists():
                os.replace(path, beside.with_name(f"{beside.name}.old"))
            os.replace(beside, path)
        finally:
            for rest in path.parent.glob(f"{beside.name}*"):
                shutil.rmtree(rest, ignore_errors=True)
        sync_folder(path.parent)
        return path


def _holds(path: Path, marker: str) -> bool:
    """Whether exactly this content is there already, whole."""
    try:
        return (path / "complete.json").read_text() == marker and bool(_check(path))
    except (Damaged, OSError, UnicodeDecodeError):
        return False


def read_checkpoint(path: Path, update: int | None = None) -> Checkpoint:
    """A checkpoint whose files are what was written.

    Raises:
        Damaged: a file is missing or its hash differs.
    """
    from safetensors.numpy import load

    files = _check(path)
    return Checkpoint(path, update, load(files[FILES[0]]), json.loads(files[FILES[1]]))


def _marker(path: Path) -> dict[str, tuple[str, int]]:
    """The hash and size of each file of a checkpoint, as its marker says."""
    try:
        marker = json.loads((path / "complete.json").read_bytes())
    except OSError:
        raise Damaged(f"{path}: not whole, complete.json cannot be read") from None
    except ValueError:
        raise Damaged(f"{path}: damaged, complete.json is not JSON") from None
    if not isinstance(marker, dict) or marker.get("version") != VERSION:
        raise Damaged(f"{path}: complete.json is not of version {VERSION}")
    try:
        return {name: (str(marker["files"][name][0]), int(marker["files"][name][1])) for name in FILES}
    except (KeyError, IndexError, TypeError, ValueError):
        raise Damaged(f"{path}: damaged, complete.json does not name {' and '.join(FILES)}") from None


def _check(path: Path) -> dict[str, bytes]:
    """The files of a whole checkpoint, held to their hashes."""
    files = {}
    for name, (expected, _) in _marker(path).items():
        try:
            files[name] = (path / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{path / name}: cannot be read ({error.strerror})") from None
        if sha256(files[name]).hexdigest() != expected:
            raise Damaged(f"{path / name}: damaged, its hash differs from the one recorded when it was written")
    return files


def _looks_whole(path: Path) -> bool:
    """Whether the files are there and as long as they should be; reads only the marker."""
    try:
        return all((path / name).stat().st_size == size for name, (_, size) in _marker(path).items())
    except (Damaged, OSError):
        return False


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
