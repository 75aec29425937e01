"""One of several options, read strictly: an answer names an option or it does not; nothing is found inside words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from string import ascii_uppercase

from judges.verify.final_answer import declared_answers, first_clause, plain
from judges.verify.result import MAX_CHARACTERS, Verification

_LABELLED = re.compile(r"(?:option\s+)?[(\[]?([A-Za-z])(?:[)\].:]\s*(.*))?", re.DOTALL | re.IGNORECASE)


def verify_choice(answer: str | None, gold: str | int, options: Sequence[str] | None = None) -> Verification:
    """Checks which option an answer names.

    An option is named by its whole text (case, outer punctuation and white space aside) or by its letter "B", "(B)",
    "B. Paris"; a letter with the text of another option names none. The whole answer is read, or else the last
    place where it declares its final answer.

    Args:
        answer: the answer.
        gold: the right option: its text, its letter or its index.
        options: the option texts; None where options are letters and `gold` is one of them.

    Returns:
        "abstain" where the answer names no option or several.

    Raises:
        ValueError: options that are not distinct, or a `gold` that is none of them.

    >>> verify_choice("The answer is (B).", "con", ("pro", "con")).correct
    True
    >>> verify_choice("concrete", "con", ("pro", "con")).status
    'abstain'
    """
    options = tuple(ascii_uppercase) if options is None else tuple(options)
    names = [_bare(option) for option in options]
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise ValueError(f"verify_choice: expected two or more distinct options, got {options}")
    right = gold if isinstance(gold, int) else _named(gold, names)
    if right is None or not 0 <= right < len(names):
        raise ValueError(f"verify_choice: the right answer {gold!r} is none of the options {options}")
    if answer is None or not answer.strip():
        return Verification.abstain("the answer is empty")
    if len(answer) > MAX_CHARACTERS:
        return Verification.abstain(f"the answer has {len(answer)} characters, more than {MAX_CHARACTERS}")
    read = read_choice(answer, options)
    if read is None:
        return Verification.abstain(f"no single option is named in {answer.strip()[-80:]!r}")
    return Verification.of(read == right, options[read])


def read_choice(text: str, options: Sequence[str]) -> int | None:
    """The index of the option that the text names as its final answer; None where it names none or several."""
    names = [_bare(option) for option in options]
    text = plain(text)
    whole = _named(text, names)
    if whole is not None:
        return whole
    for declared in reversed(declared_answers(text)):
        if declared.formal or _mentions(declared.text, names):
            named = _named(declared.text, names)
            return _named_first(declared.text, names) if named is None else named
    return None


def _named_first(text: str, names: Sequence[str]) -> int | None:
    """The option that the first clause names, unless the next clause names another: "pro, con" names none."""
    clause = first_clause(text)
    rest = first_clause(text[text.index(clause) + len(clause) :].lstrip(" ,.;"))
    first, second = _named(clause, names), _named(rest, names)
    return first if second in (None, first) else None


def _named(text: str, names: Sequence[str]) -> int | None:
    bare = _bare(text)
    if bare in names:
        return names.index(bare)
    match = _LABELLED.fullmatch(text.strip().strip("*`\"'").rstrip("., "))
    letters = _letters(names)
    if match is None or match[1].upper() not in letters:
        return None
    index = letters.index(match[1].upper())
    if not match[2]:
        return index
    if names[index] == match[1].casefold():  # bare letters as options: what follows is the answer's own wording
        others = set(letters) - {letters[index]}
        return None if others & set(re.findall(r"\w+", match[2])) else index
    return index if _bare(match[2]) == names[index] else None


def _letters(names: Sequence[str]) -> str:
    """Letters name options by position, or are the options; they name nothing where only some options are letters."""
    single = [len(name) == 1 and name.isalpha() for name in names]
    if all(single):
        return "".join(names).upper()
    return "" if any(single) else ascii_uppercase[: len(names)]


def _mentions(text: str, names: Sequence[str]) -> bool:
    """Whether a declaration speaks of any option, so that it cannot be passed over."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text))
    spoken = f" {' '.join(words).casefold()} "
    texts = (" ".join(re.findall(r"\w+", name)) for name in names if len(name) > 1)
    return any(f" {words_of} " in spoken for words_of in texts) or any(word in words for word in _letters(names))


def _bare(text: str) -> str:
    """Text without case, outer punctuation and superfluous white space."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    stripped = re.sub(r"^[\s\"'`*(\[“‘]+|[\s\"'`*)\].,;:!?”’]+$", "", text)
    return stripped or text
