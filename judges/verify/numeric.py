"""Numbers: the final answer of a text, read strictly, compared exactly.

A number is read where it is the whole text or stands where the text declares its final answer; the last declaration
counts. It is never taken out of a sentence by position: "3 or 4", "3-4", "about 18", "5x", "1,23" are not numbers here.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from judges.verify.final_answer import declared_answers, first_clause, plain
from judges.verify.result import MAX_CHARACTERS, Verification

_WHOLE = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:[\u00a0\u2009\u202f][0-9]{3})+|[0-9]{1,100}"
_PLAIN = rf"(?:{_WHOLE})(?:\.[0-9]{{1,100}})?|\.[0-9]{{1,100}}"
_POWER = r"[eE][+-]?[0-9]{1,3}|\s?(?:×|x|\*|\\times|\\cdot)\s?10\^\{?[+-]?[0-9]{1,3}\}?"
_NUMBER = re.compile(
    rf"""(?P<sign>[+-]?)\s?[$€£¥]?\s?(?P<sign2>[+-]?)
    (?:(?:(?P<whole>[0-9]{{1,100}})\s)?(?P<top>[0-9]{{1,100}})\s?/\s?(?P<bottom>[0-9]{{1,100}})
      |\\d?frac\{{(?P<ftop>[0-9]{{1,100}})\}}\{{(?P<fbottom>[0-9]{{1,100}})\}}
      |(?P<plain>{_PLAIN})(?P<power>{_POWER})?)
    (?:\s(?P<scale>hundred|thousand|million|billion|trillion)\b)?
    (?P<unit>\s?(?:%|°\s?[CF]?|[€£¥$]|[A-Za-zµ][A-Za-zµ²³^/.'-]*(?:\s[A-Za-z][A-Za-z/'-]*){{0,4}})?)""",
    re.VERBOSE,
)
_SCALE = {None: 1, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
# Words that make the text say something else than "this many of those".
_NO_UNIT = set(
    re.findall(
        r"\w+",
        "is are was were be not no or and to than but nor if either between plus minus times over by divided about "
        "approximately roughly maybe perhaps wrong incorrect false dozen dozens half halves quarter quarters pair "
        "pairs score gross hundred thousand million billion trillion negative point squared cubed factorial mod",
    )
)
_LETTER_UNITS = set("mgshlLNJWVCF")  # 5x, 5n, 5k are an unknown or a thousand, not a number of units
_NUMBER_WORDS = re.compile(
    r"[0-9]|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|hundred|thousand|million|half)\b",
    re.IGNORECASE,
)


def read_number(text: str) -> Fraction | None:
    """The number that the whole text is, exactly; None where it is not one number.

    Accepts a sign, thousands separators in their places, decimals, powers of ten, fractions, a currency sign, a unit
    after the number (ignored, the per cent sign included) and the scale words from hundred to trillion.

    >>> read_number("$1,234.50"), read_number("-3/4"), read_number("1,23"), read_number("3 or 4")
    (Fraction(2469, 2), Fraction(-3, 4), None, None)
    """
    match = _NUMBER.fullmatch(_clean(text))
    if match is None or (match["sign"] and match["sign2"]) or not _is_unit(match["unit"].strip()):
        return None
    if match["plain"] is not None:
        value = Fraction(re.sub(r"[,\u00a0\u2009\u202f]", "", match["plain"]))
        if match["power"]:
            exponent = re.sub(r"^(?:[eE]|.*\^\{?)|\}$", "", match["power"].strip())
            value *= Fraction(10) ** int(exponent)
    else:
        top, bottom = match["top"] or match["ftop"], match["bottom"] or match["fbottom"]
        if int(bottom) == 0:
            return None
        value = Fraction(int(top), int(bottom)) + int(match["whole"] or 0)
    return value * _SCALE[match["scale"]] * (-1 if "-" in (match["sign"], match["sign2"]) else 1)


def read_final_number(text: str) -> Fraction | None:
    r"""The final number of an answer: the whole text, or the last place where the text declares its answer.

    None where the last declaration that speaks of a number does not parse: an earlier one is not taken instead.

    >>> read_final_number("She sells 9 * 2 = 18 a day.\n#### 18"), read_final_number("3 eggs and 4 hens")
    (Fraction(18, 1), None)
    """
    text = plain(text).replace("{,}", ",")
    if first_clause(text) == text.strip().rstrip(".!"):
        number = _read_equation(text.strip())
        if number is not None:
            return number
    last_line = text.strip().rpartition("\n")[2]
    if last_line.startswith("A:"):  # as the published model solutions to GSM8K end
        return _read_equation(first_clause(last_line[2:].strip()))
    for declared in reversed(declared_answers(text)):
        clause = first_clause(declared.text)
        # "I hope the answer is correct" declares nothing; "the answer is actually six" does and is not readable.
        if declared.formal or _NUMBER_WORDS.search(clause):
            return _read_equation(clause)
    return None


def verify_numeric(answer: str | None, gold: str | float, tolerance: float = 0.0) -> Verification:
    """Checks the final number of an answer against a reference.

    Args:
        answer: the answer, a bare number or a text that declares its final answer.
        gold: the reference: a number, its text, or a GSM8K solution that ends with `#### N`.
        tolerance: largest absolute difference that still counts as equal.

    Returns:
        "abstain" where the answer holds no readable final number, "error" where the reference holds none.

    Raises:
        ValueError: a tolerance that is negative or not finite.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"verify_numeric: expected a tolerance >= 0, got {tolerance}")
    if isinstance(gold, str):
        reference = read_final_number(gold)
    else:
        reference = Fraction(str(gold)) if math.isfinite(gold) else None
    if reference is None:
        return Verification.error(f"the reference {str(gold)[-80:]!r} holds no readable number")
    if answer is None or not answer.strip():
        return Verification.abstain("the answer is empty")
    if len(answer) > MAX_CHARACTERS:
        return Verification.abstain(f"the answer has {len(answer)} characters, more than {MAX_CHARACTERS}")
    read = read_final_number(answer)
    if read is None:
        return Verification.abstain(f"no final number could be read from {answer.strip()[-80:]!r}")
    return Verification.of(abs(read - reference) <= Fraction(tolerance), str(read))


def _read_equation(text: str) -> Fraction | None:
    """Reads a number, or the right side of "2 * 9 = 18"; a chain of comparisons is not read."""
    left, _, right = text.rpartition("=")
    if any(sign in text for sign in "<>≈≠!~") or re.search(r"\b(?:not|no|never|if|wrong|false)\b", left, re.IGNORECASE):
        return None
    return read_number(right)


def _clean(text: str) -> str:
    """Removes what surrounds a number without changing it: LaTeX's spacing and text commands, delimiters, end stops."""
    text = text.replace("−", "-").replace("\\$", "$").replace("\\%", "%").replace("{,}", ",").replace("\\!", "")
    text = re.sub(r"\\[,;:]", "\u2009", text)
    text = re.sub(r"\\(?:text|mathrm|textbf)\{([^{}]*)\}", r" \1", text)
    text = text.strip().rstrip(".").strip("`").strip()
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1]
    return re.sub(r"[ \t\n]+", " ", text).strip()


def _is_unit(unit: str) -> bool:
    words = re.findall(r"[A-Za-zµ]+", unit)
    if len(words) == 1 and len(words[0]) == 1 and len(unit.strip(".")) == 1 and words[0] not in _LETTER_UNITS:
        return False
    return not any(word.casefold() in _NO_UNIT for word in words)
