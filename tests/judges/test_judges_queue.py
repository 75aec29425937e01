"""The queue for people: queued once, answered later, damaged files fail, nothing is guessed."""

import asyncio

import pytest

from judges import CascadeJudge, Case, HumanQueue, Quote, ScriptedJudge, Statement, check_judge
from judges.judges.queue import case_key

CASE = Case(
    "Is it?", ("yes", "no"), (Statement("A", "debater", "argue", "\u2028yes", (Quote("x", (0, 1), True),)),), "stone"
)


def ask(judge, *cases):
    return asyncio.run(judge.judge_many(cases or (CASE,)))


def test_a_case_waits_and_is_judged_once_answered(tmp_path):
    queue = HumanQueue(tmp_path / "people")
    (verdict,) = ask(queue)
    assert verdict.status == "abstain"
    assert queue.pending() == {case_key(CASE): CASE}
    ask(queue, CASE, CASE)
    assert len((tmp_path / "people" / "pending.jsonl").read_text().splitlines()) == 1
    queue.answer(case_key(CASE), 1, "ada", "read it twice")
    (verdict,) = ask(HumanQueue(tmp_path / "people"))
    assert verdict.probabilities == (0.0, 1.0)
    assert verdict.rationale == "read it twice"
    assert queue.pending() == {}
    queue.answer(case_key(CASE), 0, "ada", "no, the other")
    assert ask(queue)[0].answer == 0


def test_as_the_end_of_a_cascade(tmp_path):
    cascade = CascadeJudge(ScriptedJudge([0.6, 0.4]), HumanQueue(tmp_path))
    assert ask(cascade)[0].status == "abstain"
    HumanQueue(tmp_path).answer(case_key(CASE), 1, "ada")
    assert ask(cascade)[0].answer == 1
    assert asyncio.run(check_judge(HumanQueue(tmp_path), [CASE])) == []


@pytest.mark.parametrize("line", ["not json", "[]", '{"key": "x"}'])
def test_damaged_files_fail_and_lose_nothing(line, tmp_path):
    queue = HumanQueue(tmp_path)
    ask(queue)
    before = (tmp_path / "pending.jsonl").read_text()
    (tmp_path / "answers.jsonl").write_text(line + "\n")
    (verdict,) = ask(queue)
    assert verdict.status == "error"
    assert "line 1" in verdict.rationale
    assert (tmp_path / "pending.jsonl").read_text() == before
    with pytest.raises(ValueError, match="line 1"):
        queue.pending()


def test_wrong_answers(tmp_path):
    queue = HumanQueue(tmp_path)
    ask(queue)
    with pytest.raises(ValueError, match="no case"):
        queue.answer("other", 0, "ada")
    with pytest.raises(ValueError, match="2 options"):
        queue.answer(case_key(CASE), 2, "ada")
    (tmp_path / "answers.jsonl").write_text(f'{{"key": "{case_key(CASE)}", "option": "no", "by": "ada"}}\n')
    assert ask(queue)[0].status == "error"
