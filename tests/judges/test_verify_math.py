"""Mathematical equality in a worker that can be killed."""

import os
import signal
import threading

import pytest

pytest.importorskip("math_verify")
from judges.verify.math import MathWorker, read_expression, verify_math

EQUAL = [
    (r"\frac{1}{2}", "0.5"),
    ("1/2", r"$\frac12$"),
    (r"The answer is $x+1$.", "1+x"),
    (r"Thus \boxed{(x-1)^2}.", "x^2-2x+1"),
    ("#### 1,234", "1234"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    (r"$\{2, 1\}$", r"\{1,2\}"),
    (r"x = 3", "3"),
]
DIFFERENT = [("1/3", "0.5"), (r"\boxed{x+1}", "x-1"), ("#### 3\n#### 4", "3"), (r"\sqrt{2}", "1.5")]
ENDLESS = [
    ("9^{9^{9^{9}}}+1", "9^{9^{9^{9}}}+2"),
    (r"\int_0^1 \sin(x^{x^{x}}) dx", r"\int_0^1 \cos(x^{x^{x}}+1) dx"),
    ("(" * 900 + "1" + ")" * 900, "1"),
]
UNREAD = [
    "",
    "   ",
    "I have 3 or 4",
    "concrete",
    "the answer is three",
    r"$3$ or $4$",
    r"\boxed{",
    "x" * 3_000,
    "\\frac{1}{",
]


@pytest.mark.parametrize(("answer", "gold"), EQUAL)
def test_equal(answer: str, gold: str) -> None:
    check = verify_math(answer, gold)
    assert (check.status, check.correct) == ("ok", True), check


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_different(answer: str, gold: str) -> None:
    check = verify_math(answer, gold)
    assert (check.status, check.correct) == ("ok", False), check


@pytest.mark.parametrize("answer", UNREAD)
def test_unread_is_not_wrong(answer: str) -> None:
    check = verify_math(answer, "4")
    assert (check.status, check.correct) == ("abstain", None), check


def test_unreadable_reference_is_an_error() -> None:
    assert verify_math("4", "no such number").status == "error"
    with pytest.raises(ValueError, match="timeout"):
        verify_math("4", "4", timeout=0)


def test_an_endless_comparison_is_killed_and_the_next_call_works() -> None:
    worker = MathWorker()
    try:
        assert worker.check("1/2", "0.5").correct is True
        before = worker._process.pid
        for answer, gold in ENDLESS:
            check = worker.check(answer, gold, timeout=0.5)
            assert (check.status, check.correct) == ("error", None)
        assert worker.check("1/2", "0.5").correct is True
        assert worker._process.pid != before
    finally:
        worker.close()


def test_a_dead_worker_is_an_error_once_and_then_replaced() -> None:
    worker = MathWorker()
    try:
        assert worker.check("2", "2").correct is True
        os.kill(worker._process.pid, signal.SIGSTOP)
        assert worker.check("2", "2", timeout=0.3).status == "error"
        assert worker.check("2", "2").correct is True
    finally:
        worker.close()


def test_it_works_outside_the_main_thread() -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(verify_math("2/4", "0.5"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [check.correct for check in found] == [True] * 3


@pytest.mark.parametrize("code", ["__import__('os').system('touch {0}')", "().__class__.__base__", "exec(1)"])
def test_no_answer_is_evaluated_as_python(code: str, tmp_path) -> None:
    target = tmp_path / "touched"
    assert verify_math(code.format(target), "4").correct is not True
    assert not target.exists()


def test_last_declaration_counts() -> None:
    assert read_expression("The answer is 3. Sorry, the answer is $4$") == "4"
