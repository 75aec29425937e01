"""Programs checked by tests: the answer is run in the sandbox, never in this process."""

from __future__ import annotations

import re

from judges.sandbox.run import run_code
from judges.sandbox.types import Limits
from judges.verify.result import MAX_CHARACTERS, Verification

_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n?```|\Z)", re.DOTALL | re.IGNORECASE)


def verify_code(answer: str | None, gold: str, *, limits: Limits | None = None) -> Verification:
    r"""Checks whether the program that an answer gives passes the tests.

    Args:
        answer: words with Python in Markdown fences, of which the last block counts, or nothing but Python. None, blank
            and overlong text abstains.
        gold: the tests: statements that raise where the program is wrong, such as "assert add(1, 2) == 3".
        limits: what the program may use.

    Returns:
        "ok" where the tests decided: a program that crashes or runs out of time or memory is wrong. "error" without
        tests, and where the host offers no safe isolation.

    >>> verify_code("", "assert add(1, 2) == 3").reason
    'the answer holds no program'
    """
    if not gold.strip():
        return Verification.error("there are no tests")
    text = answer or ""
    if len(text) > MAX_CHARACTERS:
        return Verification.abstain(f"the answer has more than {MAX_CHARACTERS:,} characters")
    blocks: list[str] = _FENCED.findall(text)
    program = blocks[-1] if blocks else text
    if not program.strip():
        return Verification.abstain("the answer holds no program")
    found = run_code(program, gold, limits)
    if found.passed is None:
        return Verification.error(found.reason)
    failed = next((failure for failure in found.failures if failure is not None), found.reason)
    return Verification.of(found.passed, program, "the tests pass" if found.passed else failed)
