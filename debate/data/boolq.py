"""BoolQ (Clark et al. 2019): a yes/no question about a passage, which is the material that a judge may not read."""

from __future__ import annotations

from collections.abc import Iterator

from debate.data.source import Source, need, read_rows
from debate.questions import Question

OPTIONS = ("yes", "no")


def read(source: Source) -> Iterator[Question]:
    """Questions of `{question, passage, answer}` rows."""
    file = source.file
    for number, (where, row) in enumerate(read_rows(file)):
        text = need(row, "question", str, where).strip().rstrip("?")
        label = 0 if need(row, "answer", bool, where) else 1
        passage = need(row, "passage", str, where)
        yield Question(f"{file.stem}-{number:05d}", f"{text[0].upper()}{text[1:]}?", OPTIONS, label, passage)
