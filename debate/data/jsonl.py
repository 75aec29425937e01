"""The native form: one JSON object a line, with the fields of `debate.questions.Question`."""

from __future__ import annotations

from collections.abc import Iterable

from debate.data.source import Source
from debate.questions import Question, read_questions


def read(source: Source) -> Iterable[Question]:
    """Questions of a native JSONL file."""
    return read_questions(source.file)
