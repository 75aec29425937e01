r"""Where a text declares its final answer: `#### N`, `\boxed{N}`, "the answer is N", "Answer: N".

GSM8K's reference solutions end with `#### N` (Cobbe et al. 2021, "Training verifiers to solve math word problems").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EMPHASIS = re.compile(r"(?<![\w)])(?:\*\*|__)|(?:\*\*|__)(?![\w(])")  # leaves 2**3 alone
_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_BOXED = re.compile(r"\\f?box(?:ed)?[ \t]*\{")
_SAID = re.compile(r"\banswers?[ \t]*(?:is|are|was|:|=)[ \t]*:?[ \t]*(?:\n\s*)?(?=([^\n]{0,300}))", re.IGNORECASE)
# A clause ends at a full stop, a comma before something that is no number, or a reason.
_CLAUSE_END = re.compile(r"[.;!?](?=\s|$)|,(?=\s*(?:[^\s\d+\-−$€£¥.]|$))|\s(?:because|since|as)\s|\s\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared final answer: where it starts, its text, whether the mark is one that only final answers bear."""

    position: int
    text: str
    formal: bool


def plain(text: str) -> str:
    """The text without Markdown's marks of strong emphasis."""
    return _EMPHASIS.sub("", text)


def declared_answers(text: str) -> list[Declared]:
    r"""All declared final answers in the order of the text.

    >>> [d.text for d in declared_answers("The answer is 3.\n#### 4")]
    ['3.', '4']
    """
    found = [Declared(m.start(), m[1].strip(), True) for m in _HASHES.finditer(text)]
    found += [Declared(m.start(), _balanced(text, m.end()), True) for m in _BOXED.finditer(text)]
    for m in _SAID.finditer(text):
        inner = _BOXED.search(m[1]) or _HASHES.search(m[1])
        if inner is None:  # "the answer is \boxed{3}" declares once
            found.append(Declared(m.start(), m[1].strip(), False))
    return sorted(found, key=lambda d: d.position)


def first_clause(text: str) -> str:
    """The text up to the end of its first clause.

    >>> first_clause("18 eggs, because ducks lay. More."), first_clause("1,234.50")
    ('18 eggs', '1,234.50')
    """
    end = _CLAUSE_END.search(text)
    return (text[: end.start()] if end else text).strip()


def _balanced(text: str, start: int, limit: int = 2_000) -> str:
    """What stands between a brace opened before `start` and its partner; "" where it never closes."""
    depth = 1
    for position in range(start, min(len(text), start + limit)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position].strip()
    return ""
