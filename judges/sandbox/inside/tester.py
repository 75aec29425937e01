"""The side of the tests: runs each against stand-ins for the program's objects. In a jail: standard library only."""

import ast
import builtins
import importlib
import json
import os
import sys
from typing import Any, BinaryIO

from judges.sandbox.inside import wire


class ProgramEnded(Exception):
    """The program's process is gone, or answers nonsense."""


def main(read_fd: int, write_fd: int, report_fd: int, job_fd: int) -> None:
    """Runs all tests and reports each on a line of its own that carries the nonce."""
    with os.fdopen(job_fd, "rb") as stream:
        job = json.loads(stream.read())
    report = os.fdopen(report_fd, "w")
    program = Program(os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb"))

    def tell(index: int, failure: str | None) -> None:
        report.write(json.dumps({"nonce": job["nonce"], "test": index, "failure": failure}) + "\n")
        report.flush()

    try:
        names = program.load(job["source"])
    except BaseException as error:
        tell(-1, f"{type(error).__name__}: {str(error)[:300]}")
        return
    tell(-1, None)
    for index, test in enumerate(job["tests"]):
        try:
            # The test's own statements come from whoever asks for the run; the program never sees this process.
            exec(compile(test, f"test {index}", "exec"), {**visible(names, test), "__name__": "test"})
            tell(index, None)
        except BaseException as error:
            tell(index, f"{type(error).__name__}: {str(error)[:300]}")


def visible(names: dict[str, Any], test: str) -> dict[str, Any]:
    """The program's names that a test sees.

    What tests compare with is not the program's to define: one that names a function `all` or a class `math` would
    otherwise decide `assert all(...)` and `math.isclose(...)`. So built-ins keep their names, and the name of a
    standard module means that module in a test that uses it only as `name.attribute`.
    """
    kept = {name: value for name, value in names.items() if name[:2] != "__" and not hasattr(builtins, name)}
    tree = list(ast.walk(ast.parse(test)))
    bases = {id(node.value) for node in tree if isinstance(node, ast.Attribute)}
    plain = {node.id for node in tree if isinstance(node, ast.Name) and id(node) not in bases}
    for name in kept.keys() & sys.stdlib_module_names:
        if name not in plain:
            kept[name] = importlib.import_module(name)
    return kept


class Program:
    """The connection to the program's process."""

    def __init__(self, replies: BinaryIO, requests: BinaryIO) -> None:
        self._replies, self._requests = replies, requests

    def load(self, source: str) -> dict[str, Any]:
        """Runs the program; its names, as plain data or stand-ins."""
        reply = self._ask({"source": source})
        names = reply.get("names")
        if type(names) is not dict:
            raise ProgramEnded("no names")
        return {str(name): self._decode(value) for name, value in names.items()}

    def call(self, operation: str, target: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls an object of the program; changes it made to list, dict and set arguments are made here too."""
        encoded = [wire.encode(item, _number) for item in args]
        named = {name: wire.encode(item, _number) for name, item in kwargs.items()}
        reply = self._ask({"op": operation, "target": target, "args": encoded, "kwargs": named})
        after = reply.get("args", ())
        if type(after) is list and len(after) == len(args):
            for item, data in zip(args, after, strict=True):
                _mirror(item, self._decode(data))
        return self._decode(reply.get("value"))

    def get(self, target: int, name: str) -> Any:
        """An attribute of an object of the program."""
        return self._decode(self._ask({"op": "get", "target": target, "name": name}).get("value"))

    def _decode(self, data: Any) -> Any:
        try:
            return wire.decode(data, lambda number: StandIn(self, number))
        except wire.Closed as error:
            raise ProgramEnded(str(error)) from error

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            wire.send(self._requests, message)
            reply = wire.receive(self._replies)
        except wire.Closed as error:
            raise ProgramEnded("the program ended before it answered") from error
        if "raised" in reply:
            raise _exception(str(reply["raised"]), str(reply.get("message"))[:500])
        return reply


class StandIn:
    """Stands for an object of the program. What that object claims to be equal to is never asked: it equals itself."""

    def __init__(self, program: Program, number: int) -> None:
        self.__dict__.update(_program=program, _number=number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the object."""
        return self._program.call("call", self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            raise AttributeError(name)
        return self._program.get(self._number, name)

    def __getitem__(self, key: Any) -> Any:
        return self._program.call("item", self._number, (key,), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self._program.call("set", self._number, (key, value), {})

    def __len__(self) -> int:
        length: int = self._program.call("len", self._number, (), {})
        return length

    def __iter__(self) -> Any:
        return self._program.call("iter", self._number, (), {})

    def __next__(self) -> Any:
        return self._program.call("next", self._number, (), {})

    def __contains__(self, item: Any) -> bool:
        return self._program.call("has", self._number, (item,), {}) is True

    def __str__(self) -> str:
        return str(self._program.call("str", self._number, (), {}))


def _exception(name: str, message: str) -> Exception:
    """The built-in exception of that name; never one that would end the tests, such as SystemExit."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError):
        return kind(message)
    return RuntimeError(f"{name}: {message}")


def _number(value: Any) -> int:
    if type(value) is StandIn:
        number: int = value._number
        return number
    raise TypeError(f"a test can hand only plain data to the program, not {type(value).__name__}")


def _mirror(item: Any, after: Any) -> None:
    if type(item) is not type(after):
        return
    if type(item) is list:
        item[:] = after
    elif type(item) in (dict, set) and item != after:
        item.clear()
        item.update(after)
