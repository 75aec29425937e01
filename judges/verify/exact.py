"""Equality of text up to Unicode composition and white space."""

from __future__ import annotations

import unicodedata

from judges.verify.result import Verification


def verify_exact(answer: str | None, gold: str, *, case_sensitive: bool = True) -> Verification:
    r"""Checks whether the whole answer is the reference text.

    Both texts are composed (Unicode NFC) and runs of white space count as one space; nothing else is forgiven.

    Args:
        answer: the answer; None or blank text abstains.
        gold: the reference answer; blank text is an error.
        case_sensitive: whether "Paris" and "paris" differ.

    >>> verify_exact(" New  York\n", "New York").correct
    True
    """
    read, reference = (_normalise(text, case_sensitive) for text in (answer or "", gold))
    if not reference:
        return Verification.error("the reference answer is empty")
    if not read:
        return Verification.abstain("the answer is empty")
    return Verification.of(read == reference, read)


def _normalise(text: str, case_sensitive: bool) -> str:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if case_sensitive else text.casefold()
