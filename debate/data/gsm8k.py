"""GSM8K (Cobbe et al. 2021): grade-school mathematics with a free answer; the reference answer is the final number."""

from __future__ import annotations

import re
from collections.abc import Iterator

from debate.data.source import Source, need, read_rows
from debate.errors import UserError
from debate.questions import Question

_FINAL = re.compile(r"####\s*(-?[\d,]*\.?\d+)\s*$")


def read(source: Source) -> Iterator[Question]:
    """Questions of `{question, answer}` rows, the answer ending in "#### number"."""
    file = source.file
    for number, (where, row) in enumerate(read_rows(file)):
        answer = need(row, "answer", str, where)
        final = _FINAL.search(answer)
        if final is None:
            raise UserError(f"{where}: field 'answer': expected it to end in '#### number', got {answer[-40:]!r}")
        text = need(row, "question", str, where).strip()
        yield Question(f"{file.stem}-{number:05d}", text, gold=final[1].replace(",", ""))
