"""Where questions come from: paths, settings of an adapter, and rows of local files with the place of each."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debate.errors import UserError

SPLITS = ("train", "test")
KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Source:
    """What a data specification asks for, checked.

    Attributes:
        adapter: its name.
        path: as given, variables not yet filled in; "" for a generator.
        split: "train", "test" or "" for everything.
        limit: most questions that are wanted; None for all.
        seed: of the run; draws that shape a question (the order of its answers) come from it.
        beside: relative paths start here.
        options: the adapter's own settings.
    """

    adapter: str
    path: str
    split: str
    limit: int | None
    seed: int
    beside: Path
    options: Mapping[str, Any]

    @property
    def file(self) -> Path:
        """The file, variables filled in.

        Raises:
            UserError: no path was given, a variable is not set, or there is no such file.
        """
        if not self.path:
            raise UserError(f"data: adapter {self.adapter!r} needs a path")
        path = self.beside / Path(fill_in(self.path.replace("{split}", self.split))).expanduser()
        if not path.is_file():
            raise UserError(f"{path}: no such file; adapter {self.adapter!r} reads its questions from it")
        return path

    @property
    def hub(self) -> bool:
        """Whether the path names a data set of the Hugging Face hub and no local file."""
        return self.adapter == "hf" and Path(self.path).suffix.lower() not in KINDS

    @property
    def own_file(self) -> bool:
        """Whether each split has a file of its own (`{split}` in the path), or is a split of the hub's."""
        return "{split}" in self.path or self.hub


def fill_in(text: str) -> str:
    """The text with each `${NAME}` replaced by that environment variable.

    Raises:
        UserError: the variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not os.environ.get(name):
            raise UserError(f"data path {text}: environment variable {name} is not set; set it to the data's folder")
        return os.environ[name]

    return _VARIABLE.sub(value, text)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a .jsonl, .json (a list of objects), .csv, .tsv or .parquet file, each with its place for messages.

    Raises:
        UserError: another kind of file, or one that is damaged.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        yield from _json_lines(path)
    elif suffix == ".json":
        yield from _json_list(path)
    elif suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",", strict=True)
            try:
                for row in reader:
                    yield f"{path}:{reader.line_num}", row
            except csv.Error as error:
                raise UserError(f"{path}:{reader.line_num}: not CSV ({error})") from None
    elif suffix == ".parquet":
        yield from _parquet(path)
    else:
        raise UserError(f"{path}: unknown kind of file {suffix!r}; expected one of {', '.join(KINDS)}")


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path}:{number}"
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise UserError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
                yield where, _as_object(row, where)


def _json_list(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from None
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of objects, got {type(rows).__name__}")
    for number, row in enumerate(rows, 1):
        yield f"{path}: row {number}", _as_object(row, f"{path}: row {number}")


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from None


def _as_object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(row).__name__}")
    return row


def need(row: Mapping[str, Any], field: str, kind: type, where: str) -> Any:
    """A field that must be there, of one type, and not empty.

    Raises:
        UserError: with file, line and field.
    """
    value: Any = row.get(field)
    if field not in row:
        raise UserError(f"{where}: field {field!r} is missing; the row has {', '.join(map(str, row)) or 'nothing'}")
    if not isinstance(value, kind) or (isinstance(value, str) and not value.strip()):
        raise UserError(f"{where}: field {field!r}: expected {_NAMES.get(kind, kind.__name__)}, got {value!r}")
    return value


_NAMES = {str: "a text that is not empty", bool: "true or false", dict: "an object", list: "a list"}
