"""The side of the untrusted program: runs it, then answers calls. Runs inside a jail: standard library only."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from judges.sandbox.inside import wire


def main(read_fd: int, write_fd: int) -> None:
    """Serves calls until the other side goes."""
    requests, replies = os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb")
    objects: list[Any] = []

    def handle(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    def answer(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return action()
        except (wire.Closed, SystemExit):
            raise
        except BaseException as error:
            sys.stderr.write("".join(traceback.format_exception(error))[-2000:])
            return {"raised": type(error).__name__, "message": str(error)[:500]}

    source = wire.receive(requests)["source"]
    namespace: dict[str, Any] = {"__name__": "program", "__builtins__": __builtins__}

    def load() -> dict[str, Any]:
        exec(compile(source, "program.py", "exec"), namespace)
        return {"names": {name: wire.encode(value, handle) for name, value in namespace.items() if name[:2] != "__"}}

    wire.send(replies, answer(load))
    while True:
        try:
            request = wire.receive(requests)
        except wire.Closed:  # the tests are done
            return

        def act(request: dict[str, Any] = request) -> dict[str, Any]:
            target = objects[request["target"]]
            if request["op"] == "get":
                return {"value": wire.encode(getattr(target, request["name"]), handle)}
            positional = [wire.decode(item, objects.__getitem__) for item in request["args"]]
            named = {name: wire.decode(item, objects.__getitem__) for name, item in request["kwargs"].items()}
            function = target if request["op"] == "call" else OPERATIONS[request["op"]](target)
            value = function(*positional, **named)
            # Arguments travel back, so that tests see what the program did to them.
            after = [wire.encode(item, handle) for item in positional]
            return {"value": wire.encode(value, handle), "args": after}

        reply = answer(act)
        try:
            wire.send(replies, reply)
        except ValueError as error:  # too large to send, or an integer with too many digits
            wire.send(replies, {"raised": "ValueError", "message": str(error)[:500]})


OPERATIONS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "item": lambda target: lambda key: target[key],
    "set": lambda target: lambda key, value: target.__setitem__(key, value),
    "len": lambda target: lambda: len(target),
    "iter": lambda target: lambda: iter(target),
    "next": lambda target: lambda: next(target),
    "has": lambda target: lambda item: item in target,
    "str": lambda target: lambda: str(target),
}
