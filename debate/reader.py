"""YAML read field by field, so that every mistake names its file, line and field and what was expected there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from debate.errors import UserError, did_you_mean

_REQUIRED = object()
_NAMES = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data, with the line on which each field stands."""

    name: str
    data: Any
    lines: Mapping[Path_, int] = field(default_factory=dict)

    def where(self, path: Path_) -> str:
        """`file:line: field a.b[0]` of a field; the nearest parent's line where the field itself has none."""
        at = path
        while at and at not in self.lines:
            at = at[:-1]
        line = self.lines.get(at)
        place = self.name if line is None else f"{self.name}:{line}"
        return f"{place}: {dotted(path)}" if path else place


def dotted(path: Path_) -> str:
    """A field's path as people write it.

    >>> dotted(("agents", "alice", "seats", 0))
    'agents.alice.seats[0]'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_yaml(path: Path) -> Document:
    """Reads a YAML file whose top level is a mapping.

    Raises:
        UserError: no such file, not YAML, a key given twice, or a top level that is not a mapping.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return parse_yaml(path.read_text(encoding="utf-8"), str(path))


def parse_yaml(text: str, name: str) -> Document:
    """As `read_yaml`, from text; `name` stands for the file in messages."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UserError(f"{name}:{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{name}: not YAML: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{name}: expected a mapping of fields at the top level")
    lines: dict[Path_, int] = {}
    data = _plain(node, (), lines, yaml.constructor.SafeConstructor(), name)
    return Document(name, data, lines)


def _plain(node: yaml.Node, path: Path_, lines: dict[Path_, int], build: Any, name: str) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(build.construct_object(key_node))
            if key in result:
                raise UserError(f"{name}:{key_node.start_mark.line + 1}: {dotted((*path, key))}: given twice")
            lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = _plain(value_node, (*path, key), lines, build, name)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, i), lines, build, name) for i, child in enumerate(node.value)]
    return build.construct_object(node)


def override(document: Document, settings: Iterable[str]) -> Document:
    """The document with `key.sub=value` settings put in; values are YAML.

    Raises:
        UserError: a setting without `=`, or one that passes through something that is not a mapping.
    """
    settings = list(settings)
    if not settings:
        return document
    data = _copy(document.data)
    lines = dict(document.lines)
    for setting in settings:
        key, equals, text = setting.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UserError(f"--set {setting}: expected key=value, such as --set training.updates=10")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {setting}: the value is not YAML") from None
        place = data
        for i, part in enumerate(parts[:-1]):
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UserError(f"--set {setting}: {dotted(tuple(parts[: i + 1]))} is not a mapping")
        place[parts[-1]] = value
        gone: Path_ = tuple(parts)
        for path in [p for p in lines if p[: len(gone)] == gone]:
            del lines[path]
    return Document(document.name, data, lines)


def _copy(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(value) for value in data] if isinstance(data, list) else data


class Fields:
    """A mapping being read: each field is taken once, with its type; `done` refuses what is left over."""

    def __init__(self, document: Document, path: Path_ = ()) -> None:
        """Starts reading the mapping at `path` of the document."""
        self.document = document
        self.path = path
        data = document.data
        for part in path:
            data = data[part]
        if not isinstance(data, dict):
            raise UserError(f"{document.where(path)}: expected a mapping, got {_show(data)}")
        self.data: dict[str, Any] = data
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def error(self, key: str, message: str) -> UserError:
        """A `UserError` that names the field."""
        return UserError(f"{self.document.where((*self.path, key) if key else self.path)}: {message}")

    def take(self, key: str, kind: type, default: Any = _REQUIRED, among: Iterable[str] | None = None) -> Any:
        """The value of a field.

        Args:
            key: its name.
            kind: str, int, float (whole numbers allowed, finite), bool, list or dict.
            default: value when the field is missing; without one the field is required. None allows null.
            among: the permitted strings.

        Raises:
            UserError: missing, of another type, not finite, or not among the permitted.
        """
        self._taken.add(key)
        if key not in self.data or (self.data[key] is None and default is None):
            if default is _REQUIRED:
                near = [k for k in self.data if k not in self._taken]
                hint = next((f' (is "{k}" meant for it?)' for k in near if did_you_mean(k, [key])), "")
                raise self.error("", f"field {key!r} is missing: expected {_NAMES[kind]}{hint}")
            return default
        value: Any = self.data[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
            try:
                value = float(value)
            except ValueError:
                raise self.error(key, f"expected a number, got {_show(value)}") from None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(key, f"expected {_NAMES[kind]}, got {_show(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(key, f"expected a finite number, got {value}")
        if among is not None:
            names = list(among)
            if value not in names:
                raise self.error(
                    key, f"{value!r} is not known{did_you_mean(str(value), names)}; expected one of {', '.join(names)}"
                )
        return value

    def positive(self, key: str, default: Any = _REQUIRED, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value: int = self.take(key, int, default)
        if value is not None and value < least:
            raise self.error(key, f"expected a whole number of at least {least}, got {value}")
        return value

    def above(self, key: str, default: Any = _REQUIRED, least: float = 0.0) -> float:
        """A number above `least`."""
        value: float = self.take(key, float, default)
        if not value > least:
            raise self.error(key, f"expected a number above {least:g}, got {value}")
        return value

    def share(self, key: str, default: Any = _REQUIRED) -> float:
        """A number in [0, 1]."""
        value: float = self.take(key, float, default)
        if not 0.0 <= value <= 1.0:
            raise self.error(key, f"expected a number between 0 and 1, got {value}")
        return value

    def strings(self, key: str, default: Any = _REQUIRED, among: Iterable[str] | None = None) -> tuple[str, ...]:
        """A list of strings; one string stands for a list of one."""
        self._taken.add(key)
        if key in self.data and isinstance(self.data[key], str):
            values = [self.data[key]]
        else:
            values = self.take(key, list, default)
        known = None if among is None else list(among)
        for i, value in enumerate(values):
            where = self.document.where((*self.path, key, i))
            if not isinstance(value, str):
                raise UserError(f"{where}: expected a string, got {_show(value)}")
            if known is not None and value not in known:
                raise UserError(
                    f"{where}: {value!r} is not known{did_you_mean(value, known)}; expected among {', '.join(known)}"
                )
        return tuple(values)

    def child(self, key: str, optional: bool = False) -> Fields | None:
        """The mapping under a field; None where it is missing and optional."""
        self._taken.add(key)
        if key not in self.data:
            if optional:
                return None
            raise self.error("", f"field {key!r} is missing: expected a mapping")
        return Fields(self.document, (*self.path, key))

    def children(self, key: str, optional: bool = False) -> list[tuple[str, Fields]]:
        """The named mappings under a field, in order."""
        under = self.child(key, optional)
        return [] if under is None else [(name, Fields(self.document, (*under.path, name))) for name in under.data]

    def ignore(self, key: str) -> Any:
        """Takes a field whole, whatever it is; None where it is missing."""
        self._taken.add(key)
        return self.data.get(key)

    def done(self) -> None:
        """Refuses fields that nobody took.

        Raises:
            UserError: an unknown field, with a hint at the nearest known one.
        """
        for key in self.data:
            if key not in self._taken:
                known = sorted(self._taken)
                raise self.error(key, f"unknown field{did_you_mean(key, known)}; expected among {', '.join(known)}")


def _show(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"[:80]
