"""Mathematical equality: math-verify, in a worker process that is killed when it takes too long."""

from __future__ import annotations

import atexit
import functools
import json
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from judges.verify.final_answer import declared_answers, first_clause, plain
from judges.verify.result import MAX_CHARACTERS, Verification

_WORKER = Path(__file__).with_name("math_worker.py")
_STARTUP = 60.0  # seconds the worker may take to import its libraries
_EXPRESSION = 2_000  # characters of one expression; longer ones are not parsed
_INLINE = re.compile(r"\$\$?([^$]+)\$?\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|operatorname|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+|\\.")
_FUNCTIONS = frozenset(
    re.findall(r"\w+", "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp sqrt pi max min gcd lcm")
)


def verify_math(answer: str | None, gold: str, timeout: float = 5.0) -> Verification:
    """Checks whether an answer equals a reference as mathematics ("1/2" and "0.5", "x+1" and "1+x").

    The answer is the whole text when that is one expression, or what the text declares last as its final answer.
    One worker process serves all calls of this process, one at a time, and is replaced when it had to be killed.

    Args:
        answer: LaTeX or plain mathematics, possibly at the end of a solution.
        gold: the reference, read in the same way.
        timeout: seconds for one comparison.

    Returns:
        "abstain" where the answer is no readable expression, "error" where the reference is none, the worker ran
        out of time or died.

    Raises:
        ValueError: a timeout that is not positive and finite.
    """
    return _shared_worker(os.getpid()).check(answer, gold, timeout)


def read_expression(text: str) -> str | None:
    r"""The LaTeX of a text's final answer; None where it declares none or it is prose.

    >>> read_expression("So we get\n\\boxed{\\frac{1}{2}}."), read_expression("I have 3 or 4")
    ('\\frac{1}{2}', None)
    """
    text = plain(text).strip()
    declared = declared_answers(text)
    candidate = (declared[-1].text if declared[-1].formal else first_clause(declared[-1].text)) if declared else text
    inline = _INLINE.findall(candidate)
    if len(inline) > 1:
        return None
    if inline:
        candidate = next(part for part in inline[0] if part)
    candidate = candidate.strip().removesuffix(".").strip()
    words = re.findall(r"[^\W\d_]{2,}", _TEXT.sub(" ", candidate))
    prose = [word for word in words if word.casefold() not in _FUNCTIONS and not _is_product(word)]
    if not candidate or len(candidate) > _EXPRESSION or prose or "\n\n" in candidate:
        return None
    return candidate


class MathWorker:
    """One worker process. Calls from several threads are served one after the other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def check(self, answer: str | None, gold: str, timeout: float = 5.0) -> Verification:
        """As `verify_math`, in this worker."""
        if not (math.isfinite(timeout) and timeout > 0):
            raise ValueError(f"verify_math: expected a positive timeout, got {timeout}")
        if answer is None or not answer.strip():
            return Verification.abstain("the answer is empty")
        if len(answer) > MAX_CHARACTERS:
            return Verification.abstain(f"the answer has {len(answer)} characters, more than {MAX_CHARACTERS}")
        reference, read = read_expression(gold), read_expression(answer)
        if reference is None:
            return Verification.error(f"the reference {gold[-80:]!r} is no readable expression")
        if read is None:
            return Verification.abstain(f"no expression could be read from {answer.strip()[-80:]!r}")
        with self._lock:
            return self._ask(reference, read, timeout)

    def close(self) -> None:
        """Ends the worker process."""
        with self._lock:
            self._kill()

    def _ask(self, reference: str, read: str, timeout: float) -> Verification:
        try:
            process = self._started()
            request = {"gold": reference, "answer": read, "timeout": timeout}
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            reply = _read_line(process, timeout)
        except TimeoutError:
            self._kill()
            return Verification.error(f"no result within {timeout:g} s")
        except (OSError, EOFError) as error:
            self._kill()
            return Verification.error(f"the worker died: {error}")
        if "correct" in reply:
            return Verification.of(reply["correct"], reply["answer"])
        unread = f"{reply['unread']} could not be read: {reply['reason']}"
        return Verification.error(unread) if reply["unread"] == "gold" else Verification.abstain(unread)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            command = [sys.executable, "-I", "-B", str(_WORKER)]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                start_new_session=True,
            )
            _read_line(self._process, _STARTUP)
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # a request still in the buffer of a dead worker
                    continue


def _is_product(word: str) -> bool:
    """Short runs of letters such as "xy" or "abc" are products of unknowns; longer ones are words."""
    return len(word) <= 2 and word.casefold() not in {"or", "is", "no", "to", "of", "in", "we", "so", "it", "an", "by"}


def _read_line(process: subprocess.Popen[bytes], timeout: float) -> dict[str, Any]:
    """One JSON line from the worker.

    Raises:
        TimeoutError: none came in time.
        EOFError: the worker ended.
    """
    assert process.stdout is not None
    deadline, data = time.monotonic() + timeout, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not data.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                raise EOFError(f"exit status {process.wait()}")
            data += part
    reply: dict[str, Any] = json.loads(data)
    return reply


@functools.cache
def _shared_worker(pid: int) -> MathWorker:
    """The worker of this process; a fork starts its own, because two readers of one pipe mix up replies."""
    worker = MathWorker()
    atexit.register(lambda: worker.close() if os.getpid() == pid else None)
    return worker
