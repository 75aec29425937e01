"""Strict reading of final answers: exact text, numbers, options, JSON."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judges.verify.choice import read_choice, verify_choice
from judges.verify.exact import verify_exact
from judges.verify.json_schema import verify_json_schema
from judges.verify.numeric import read_final_number, verify_numeric
from judges.verify.result import MAX_CHARACTERS, Verification

READABLE = {
    "18": "18",
    "#### 18": "18",
    "####18": "18",
    "She sells 9 * 2 = $18.\n#### 18": "18",
    "#### 12\nwait\n#### 15": "15",
    "#### 1,234": "1234",
    "He has 3 + 4 = 7 eggs.\nA: $7": "7",
    "#### -1,234,567.5": "-1234567.5",
    "−7": "-7",
    "- 5": "-5",
    "-$5": "-5",
    "$-5": "-5",
    "$18.00": "18",
    ".5": "0.5",
    "18.": "18",
    "18 eggs per day": "18",
    "18 km/h": "18",
    "50%": "50",
    "5 million": "5000000",
    "1 1/2": "3/2",
    r"\frac{3}{4}": "3/4",
    r"\boxed{\$18}": "18",
    r"\boxed{1.5 \times 10^{-3}}": "0.0015",
    r"\boxed{18\text{ dollars}}": "18",
    "1{,}234": "1234",
    r"1\,234": "1234",
    "1\u202f234": "1234",
    "1.5e3": "1500",
    "**Final Answer:** **18**": "18",
    "Final Answer:\n$18$": "18",
    "The answer is $18 because 3*6=18": "18",
    "the answer is 18, not 20": "18",
    "answer: x = 5": "5",
    "2*9=18": "18",
    "#### 18\nI hope the answer is correct": "18",
    "The answer is 5. No, the answer is 6": "6",
}
UNREADABLE = [
    "",
    "   ",
    "eighteen",
    "I do not know",
    "3 eggs and 4 hens",
    "3 or 4",
    "3-4",
    "5 - 3",
    "about 18",
    "5x",
    "5k",
    "1,23",
    "1,2345",
    "12,34,567",
    "1.234,56",
    "+-5",
    "10²",
    "2**3",
    "18/0",
    "nan",
    "inf",
    "٣",
    "12 13",
    "3:30",
    "2 dozen",
    "18 feet and 3 inches",
    "1e999999999",
    "#### ",
    "#### 18 or 20",
    "A: 18 or 20",
    "#### 5\n#### unknown",
    "The answer is 5. No, the answer is actually six",
    "The answers are 3, 4",
    "x < 5",
    "x != 5",
    "the answer is not 5",
    "9" * 101,
]


@pytest.mark.parametrize(("text", "number"), READABLE.items())
def test_final_numbers_are_read(text: str, number: str) -> None:
    assert read_final_number(text) == Fraction(number)
    assert verify_numeric(text, number).correct is True
    assert verify_numeric(text, float(Fraction(number)) + 1).correct is False


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_number_is_said_to_be_none(text: str) -> None:
    check = verify_numeric(text, "18")
    assert (check.status, check.correct) == ("abstain", None)
    assert check.reason


@settings(deadline=None)
@given(st.integers(-(10**15), 10**15), st.sampled_from(["#### {}", "The answer is {}.", "{}", "\\boxed{{{}}}", "${}"]))
def test_every_way_to_write_an_integer_reads_back(number: int, template: str) -> None:
    for text in (str(number), f"{number:,}", f"{number}.00"):
        assert read_final_number(template.format(text)) == number


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_raises_and_invariants_hold(text: str) -> None:
    for check in (verify_numeric(text, 1), verify_choice(text, "pro", ("pro", "con")), verify_exact(text, "a")):
        assert (check.correct is None) == (check.status != "ok")


def _gsm8k(name: str) -> list[dict]:
    folder = os.environ.get("DEBATE_DATA")
    if not folder:
        pytest.skip("DEBATE_DATA names no folder with GSM8K")
    return [json.loads(line) for line in (Path(folder) / name).read_text().splitlines()]


def test_every_gsm8k_reference_is_read() -> None:
    for row in _gsm8k("gsm8k_test.jsonl"):
        number = read_final_number(row["answer"])
        assert number is not None
        assert number == Fraction(row["answer"].split("####")[1].strip().replace(",", ""))


def test_verdicts_on_gsm8k_model_solutions_agree_with_the_published_marks() -> None:
    unread = total = 0
    for row in _gsm8k("gsm8k_model_solutions.jsonl"):
        for solver in (value for value in row.values() if isinstance(value, dict)):
            check = verify_numeric(solver["solution"], row["ground_truth"])
            assert check.status != "error"
            total += 1
            unread += check.correct is None
            assert check.correct in (None, solver["is_correct"]), solver["solution"][-60:]
            assert check.correct is not None or not solver["is_correct"], solver["solution"][-60:]
    assert total > 5_000 and unread / total < 0.02


def test_numeric_reference_and_tolerance() -> None:
    assert verify_numeric("3", "Natalia sold 48/2 = 24.\n#### 3").correct is True
    assert verify_numeric("3", "none").status == "error"
    assert verify_numeric("3", float("nan")).status == "error"
    assert verify_numeric(None, 3).status == "abstain"
    assert verify_numeric("0.1", 0.1).correct is True
    assert verify_numeric("3.14", "3.14159", tolerance=0.01).correct is True
    assert verify_numeric("3.14", "3.14159").correct is False
    assert verify_numeric("1 " * MAX_CHARACTERS, 1).status == "abstain"
    with pytest.raises(ValueError, match="tolerance"):
        verify_numeric("1", 1, tolerance=-1)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("con", 1),
        ("Pro!", 0),
        ("(B)", 1),
        ("b", 1),
        ("option B", 1),
        ("B) con", 1),
        ("**B**", 1),
        ("The answer is con.", 1),
        ("\\boxed{B}", 1),
        ("#### A", 0),
        ("the answer is B, not A", 1),
        ("Answer: A\nI hope the answer is clear", 0),
        ("Answer: A. On reflection the answer is B.", 1),
        ("concrete", None),
        ("The answer is concrete", None),
        ("proconsul", None),
        ("B) pro", None),
        ("pro, con", None),
        ("Answer: pro, con", None),
        ("A or B", None),
        ("I think A and B", None),
        ("the answer is not con", None),
        ("#### A\n#### neither", None),
        ("The answer is A.\nThe answer is definitely B", None),
        ("A banana", None),
    ],
)
def test_options_are_named_or_not(text: str, index: int | None) -> None:
    assert read_choice(text, ("pro", "con")) == index
    check = verify_choice(text, "con", ("pro", "con"))
    assert check.correct == (None if index is None else index == 1)


def test_choice_without_options_reads_letters() -> None:
    assert verify_choice("B) Paris", "B").correct is True
    assert verify_choice("Answer: (C)", "B").correct is False
    assert verify_choice("B. or C", "B").status == "abstain"
    assert verify_choice("A. Paris", 0, ("Paris", "Rome")).correct is True
    assert verify_choice("Paris, France", "Rome", ("Paris, France", "Rome")).correct is False


@pytest.mark.parametrize(
    ("gold", "options"), [("x", ("a b", "c d")), (2, ("a b", "c d")), (0, ("a", "A")), (0, ("a",)), (-1, ("a", "b"))]
)
def test_choice_refuses_senseless_references(gold: str | int, options: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="verify_choice"):
        verify_choice("a", gold, options)


def test_exact() -> None:
    assert verify_exact(" New\tYork ", "New York").correct is True
    assert verify_exact("cafe\u0301", "caf\u00e9").correct is True
    assert verify_exact("new york", "New York").correct is False
    assert verify_exact("new york", "New York", case_sensitive=False).correct is True
    assert verify_exact("New York City", "New York").correct is False
    assert verify_exact("", "x").status == verify_exact(None, "x").status == "abstain"
    assert verify_exact("x", " ").status == "error"


SCHEMA = {"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1}}, "required": ["p"]}


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ('{"p": 0.5}', True),
        ('```json\n{"p": 1}\n```', True),
        ('{"p": 2}', False),
        ("{}", False),
        ('{"p": NaN}', False),
        ('{"p": Infinity}', False),
        ('{"p": 1e999}', False),
        ('{"p": 0.5, "p": 0.6}', False),
        ('{"p": 0.5} trailing', False),
        ("not json", False),
    ],
)
def test_json_schema(text: str, correct: bool) -> None:
    check = verify_json_schema(text, SCHEMA)
    assert (check.status, check.correct) == ("ok", correct), check.reason


def test_json_schema_bounds_and_faults() -> None:
    assert verify_json_schema("", SCHEMA).status == "abstain"
    assert verify_json_schema("[" * 50_000, SCHEMA).correct is not True
    assert verify_json_schema("1" * (MAX_CHARACTERS + 1), SCHEMA).status == "abstain"
    assert verify_json_schema("{}", {"type": "no such type"}).status == "error"
    remote = verify_json_schema("{}", {"$ref": "https://example.org/schema.json"})
    assert remote.status == "error"  # nothing is fetched


def test_verification_refuses_contradictions() -> None:
    with pytest.raises(ValueError, match="status"):
        Verification("abstain", True, "")
    with pytest.raises(ValueError, match="status"):
        Verification("ok", None, "")
