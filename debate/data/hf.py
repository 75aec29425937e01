"""Any data set with columns: a local file, or one of the Hugging Face hub (needs the package `datasets`).

    adapter: hf
    path: allenai/openbookqa                 # or questions.parquet, .jsonl, .json, .csv, .tsv
    config: main                             # of a hub data set that has several
    columns: {question: question_stem, options: choices.text, label: answerKey, material: fact1}
    labels: [A, B, C, D]                     # the label column's values, in the order of the options

`columns` maps fields of a question to columns; a dot goes into a nested column. `options` is one column that holds a
list, or a list of columns, one an option; `choices: [yes, no]` gives options that no column holds. A label is an
option's index or its text, unless `labels` says how it is written. Splits of a hub data set are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from debate.data.source import Source, fill_in, read_rows
from debate.errors import UserError, did_you_mean
from debate.questions import FIELDS, Question, question_from


def read(source: Source) -> Iterator[Question]:
    """Questions of the rows, by the given columns.

    Raises:
        UserError: bad settings, no such file or data set, `datasets` is missing, or a bad row.
    """
    columns = _columns(source.options)
    choices, labels = _list(source.options, "choices"), _list(source.options, "labels")
    if choices and "options" in columns:
        raise UserError("data: give choices or columns.options, not both")
    name = (source.path.rpartition("/")[2] or source.path).partition(".")[0]
    for number, (where, row) in enumerate(_rows(source)):
        fields = {field: _get(row, column, where) for field, column in columns.items() if field != "label"}
        if "id" in fields:
            fields["id"] = str(fields["id"])
        else:
            fields["id"] = f"{name}-{source.split or 'all'}-{number:06d}"
        if choices:
            fields["options"] = choices
        if "label" in columns:
            fields["label"] = _label(_get(row, columns["label"], where), labels, where)
        yield question_from(fields, where)


def _rows(source: Source) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a local file, or of a hub data set."""
    if not source.hub:
        yield from read_rows(source.file)
        return
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"data: {source.path} is no local file; the hub needs the package: pip install datasets"
        ) from None
    name = fill_in(source.path)
    if (source.beside / name).is_dir():  # a folder laid out as on the hub
        name = str(source.beside / name)
    try:
        rows = datasets.load_dataset(name, source.options.get("config"), split=source.split or "train")
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = error.__cause__ or error
        raise UserError(f"data: {name}: cannot be loaded by the package datasets ({reason})") from None
    for number, row in enumerate(rows, 1):
        yield f"{name}: row {number}", row


def _columns(options: Mapping[str, Any]) -> dict[str, Any]:
    columns = options.get("columns", {"question": "question"})
    if not isinstance(columns, dict) or "question" not in columns:
        raise UserError(f"data: columns must map fields to columns, 'question' among them, got {columns!r}")
    for field, column in columns.items():
        if field not in FIELDS:
            raise UserError(
                f"data: columns.{field}: no such field{did_you_mean(field, FIELDS)}; expected {', '.join(FIELDS)}"
            )
        names = column if isinstance(column, list) and field in ("options", "items") else [column]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise UserError(f"data: columns.{field}: expected the name of a column, got {column!r}")
    return columns


def _list(options: Mapping[str, Any], name: str) -> list[Any]:
    value = options.get(name, [])
    if not isinstance(value, list):
        raise UserError(f"data: {name} must be a list, got {value!r}")
    return [_said(x) for x in value] if name == "choices" else value


def _said(value: Any) -> str:
    # YAML 1.1 reads an unquoted yes or no as true or false.
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _get(row: Mapping[str, Any], column: str | list[str], where: str) -> Any:
    if isinstance(column, list):
        return [_get(row, name, where) for name in column]
    value: Any = row
    for part in [column] if column in row else column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            hint = did_you_mean(column, map(str, row))
            raise UserError(f"{where}: field {column!r} is missing{hint}; the row has {', '.join(map(str, row))}")
        value = value[part]
    return value


def _label(value: Any, labels: list[Any], where: str) -> Any:
    if labels:
        for index, known in enumerate(labels):
            if value == known or str(value) == str(known):
                return index
        raise UserError(f"{where}: label {value!r} is none of labels {labels}")
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        return int(value)  # CSV knows only texts
    return value
