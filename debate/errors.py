"""Mistakes of the person at the keyboard, told clearly; the command line turns them into exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from judges.types import Unavailable


class UserError(ValueError):
    """Something the user gave is wrong. The message says what, where, and what was expected."""


class Failed(RuntimeError):
    """The work itself failed (a full disk, training that diverged), and the message says so plainly."""


class EngineUnavailable(Failed, Unavailable):
    """An engine that cannot be reached; nothing of what it was asked is recorded, so `--resume` asks again."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint such as ` (did you mean "rounds"?)`, or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
