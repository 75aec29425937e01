"""Programs as answers: run in the sandbox against the reference's tests, and nothing guessed where that cannot be."""

from __future__ import annotations

import pytest

from judges import Case, Limits, Record, probe, verify_code
from judges.criteria import Correct

TESTS = "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'"
RIGHT = "def add(a, b):\n    return a + b"
isolated = pytest.mark.skipif(probe().tier == "D", reason="this host offers no safe isolation")


@isolated
@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        (RIGHT, True),
        (f"Adding is simple:\n```python\n{RIGHT}\n```\nThat is all.", True),
        (f"First\n```\n{RIGHT.replace('+', '-')}\n```\nNo, rather\n```py\n{RIGHT}", True),  # cut off before the fence
        (f"```\n{RIGHT}\n```\nor\n```\n{RIGHT.replace('+', '-')}\n```", False),
        ("def add(a, b):\n    return 3", False),
        ("I add them.", False),
        ("while True: pass", False),
        ("import os; os._exit(0)", False),
    ],
)
def test_programs_are_right_where_the_tests_pass(answer, correct):
    found = verify_code(answer, TESTS, limits=Limits(wall=3.0, cpu=1.0))
    assert found.status == "ok" and found.correct is correct, found
    assert found.reason


@pytest.mark.parametrize(
    ("answer", "tests", "status"),
    [(None, TESTS, "abstain"), (" \n", TESTS, "abstain"), ("x" * 100_001, TESTS, "abstain"), (RIGHT, " ", "error")],
)
def test_what_cannot_be_checked_is_not_called_wrong(answer, tests, status):
    assert verify_code(answer, tests).status == status


@isolated
def test_a_criterion_pays_for_programs():
    case = Case("Add two things.")
    record = Record(case, (), None, ("A", "B"), (None, None), finals=(RIGHT, "def add(a, b): return 0"), gold=TESTS)
    assert [reading.value for reading in Correct("code")(record)] == [1.0, 0.0]
