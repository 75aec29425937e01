"""Plain data between the two jails, as JSON lines. Runs inside a jail: standard library only.

Whatever is not plain data stays where it is and travels as a handle. Types are exact: an object that
claims to be equal to everything is a handle to the other side, never a number.
"""

import json
from collections.abc import Callable
from typing import Any, BinaryIO

MAX_LINE = 1_000_000
MAX_DEPTH = 50


class Closed(Exception):
    """The other side is gone, or speaks no protocol."""


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Writes one message."""
    try:
        line = json.dumps(message)
        if len(line) > MAX_LINE:
            raise ValueError("too large")
        stream.write(line.encode("utf-8", "surrogatepass") + b"\n")
        stream.flush()
    except (OSError, RecursionError) as error:
        raise Closed(type(error).__name__) from error


def receive(stream: BinaryIO) -> dict[str, Any]:
    """Reads one message, a dictionary."""
    try:
        line = stream.readline(MAX_LINE + 2)
        message = json.loads(line) if line.endswith(b"\n") else None
    except (OSError, ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Closed("no message")
    return message


def encode(value: Any, handle: Callable[[Any], int], depth: int = 0) -> Any:
    """Plain data as JSON; `handle(value)` gives the number of anything else."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return {"f": value.hex()}
    if depth < MAX_DEPTH:
        if kind in (list, tuple, set, frozenset):
            return {kind.__name__: [encode(item, handle, depth + 1) for item in value]}
        if kind is dict:
            pairs = value.items()
            return {"dict": [[encode(k, handle, depth + 1), encode(v, handle, depth + 1)] for k, v in pairs]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is complex:
        return {"complex": [value.real.hex(), value.imag.hex()]}
    return {"handle": handle(value)}


def decode(data: Any, resolve: Callable[[int], Any], depth: int = 0) -> Any:
    """The value of JSON data; `resolve(number)` gives what stands for a handle."""
    if data is None or type(data) in (bool, int, str):
        return data
    if type(data) is not dict or len(data) != 1 or depth > MAX_DEPTH + 2:
        raise Closed("no value")
    (kind, content), *_ = data.items()
    try:
        if kind == "f":
            return float.fromhex(content)
        if kind in ("list", "tuple", "set", "frozenset"):
            items = [decode(item, resolve, depth + 1) for item in content]
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](items)
        if kind == "dict":
            return {decode(k, resolve, depth + 1): decode(v, resolve, depth + 1) for k, v in content}
        if kind == "bytes":
            return bytes.fromhex(content)
        if kind == "complex":
            return complex(*map(float.fromhex, content))
        if kind == "handle" and type(content) is int:
            return resolve(content)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Closed("no value") from error
    raise Closed("no value")
