"""The process in which math-verify runs. A script of its own: it imports nothing of this package.

Reads one JSON request a line, {"gold": LaTeX, "answer": LaTeX, "timeout": seconds}, and answers each with a JSON line.
math-verify's own time-outs are off: they rest on SIGALRM and turn a time-out into "different". Here SIGALRM ends the
process, so that it dies even when the parent is gone, and the parent reports that nothing was found out.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

MEMORY = 2 * 1024**3


def main() -> None:
    """Serves requests until the input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints does not reach the parent
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    import math_verify

    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, request["timeout"] + 1.0)
        reply = compare(math_verify, request["answer"], request["gold"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(reply), file=replies, flush=True)


def compare(library: Any, answer: str, gold: str) -> dict[str, Any]:
    """Whether two LaTeX expressions are equal, or why that is not known."""
    parsed = {}
    for name, text in (("gold", gold), ("answer", answer)):
        # Only the grammar-based LaTeX parser: math-verify's parser of plain expressions evaluates Python.
        parser = [library.LatexExtractionConfig()]
        try:
            parsed[name] = library.parse(f"${text}$", parser, "no_fallback", parsing_timeout=None, raise_on_error=True)
        except Exception as error:
            return {"unread": name, "reason": type(error).__name__}
        if not parsed[name]:
            return {"unread": name, "reason": "no expression"}
    try:
        equal = library.verify(parsed["gold"], parsed["answer"], timeout_seconds=None, raise_on_error=True)
        return {"correct": bool(equal), "answer": str(parsed["answer"][0])[:200]}
    except Exception as error:
        return {"unread": "comparison", "reason": type(error).__name__}


if __name__ == "__main__":
    main()
