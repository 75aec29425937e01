"""TruthfulQA (Lin, Hilton & Evans 2022): the best answer against one of the incorrect answers.

Which incorrect answer is taken, and which of the two stands first, is drawn by the run's seed.
"""

from __future__ import annotations

from collections.abc import Iterator

from debate.data.source import Source, need, read_rows
from debate.errors import UserError
from debate.questions import Question
from debate.seeds import generator


def read(source: Source) -> Iterator[Question]:
    """Questions of rows with the columns `Question`, `Best Answer` and `Incorrect Answers` (separated by ";")."""
    file = source.file
    for number, (where, row) in enumerate(read_rows(file)):
        best = need(row, "Best Answer", str, where).strip()
        listed = need(row, "Incorrect Answers", str, where)
        wrong = [text for part in listed.split(";") if (text := part.strip()) and text != best]
        if not wrong:
            raise UserError(
                f"{where}: field 'Incorrect Answers': expected one that is not the best answer, got {listed!r}"
            )
        draw = generator(source.seed, "truthfulqa", number)
        other = wrong[draw.integers(len(wrong))]
        label = int(draw.integers(2))
        options = (best, other) if label == 0 else (other, best)
        yield Question(f"{file.stem}-{number:05d}", need(row, "Question", str, where).strip(), options, label)
