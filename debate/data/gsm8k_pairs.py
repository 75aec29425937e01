"""Two model solutions of a GSM8K question, one right and one wrong: which is right?

The file holds, for each test question of GSM8K (Cobbe et al. 2021), solutions of several models, each marked
`is_correct`. Questions that all models solve, or none, are left out. Which of the right and of the wrong solutions is
taken, and which is called Answer 1, is drawn by the run's seed. The solutions are the question's material.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from debate.data.source import Source, need, read_rows
from debate.questions import Question
from debate.seeds import generator

OPTIONS = ("Answer 1", "Answer 2")
_CALCULATOR = re.compile(
    r"<<.*?>>"
)  # marks for a calculator that the models were trained with; no words of the solution


def read(source: Source) -> Iterator[Question]:
    """Questions of rows `{question, <model>: {is_correct, solution}, …}`."""
    file = source.file
    for number, (where, row) in enumerate(read_rows(file)):
        text = need(row, "question", str, where).strip()
        solutions: dict[bool, list[str]] = {True: [], False: []}
        for model, given in row.items():
            if isinstance(given, dict):
                place = f"{where}, {model}"
                solution = _CALCULATOR.sub("", need(given, "solution", str, place)).strip()
                solutions[need(given, "is_correct", bool, place)].append(solution)
        right, wrong = solutions[True], [s for s in solutions[False] if s not in solutions[True]]
        if not right or not wrong:
            continue
        draw = generator(source.seed, "gsm8k_pairs", number)
        pair = [right[draw.integers(len(right))], wrong[draw.integers(len(wrong))]]
        label = int(draw.integers(2))
        if label == 1:
            pair.reverse()
        material = "\n\n".join(f"{name}:\n{solution}" for name, solution in zip(OPTIONS, pair, strict=True))
        question = f"{text}\n\nTwo solutions were given. Which one reaches the right answer?"
        yield Question(f"{file.stem}-{number:05d}", question, OPTIONS, label, material)
