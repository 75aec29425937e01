"""What every judge must keep, as checks that any judge of your own can be held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from judges.judges.identity import identify
from judges.types import Case, Verdict

HARD_CASES = (
    Case("No options"),
    Case("One option", ("only",)),
    Case("", ("", "")),
    Case("Control \x00\x1b\u202e characters", ("a\ud800", "b")),
)


async def check_judge(judge: Any, cases: Sequence[Case]) -> list[str]:
    """Holds a judge to the contract of `judges.types.Judge`.

    Args:
        judge: the judge; it is called on each case at least twice, and on cases that nobody can judge.
        cases: some cases that it is made for.

    Returns:
        What it breaks, one message a rule and case; empty for a judge that keeps the contract.

    Raises:
        ValueError: no cases.
    """
    if not cases:
        raise ValueError("check_judge: expected at least one case")
    broken: list[str] = []
    name = getattr(judge, "name", None)
    if not isinstance(name, str) or not name:
        broken.append(f"name: expected a non-empty string, got {name!r}")
    try:
        identify(judge)
    except (ValueError, TypeError, AttributeError) as error:
        broken.append(f"identity: {error}")
    alone = [await _call(judge, case, broken) for case in [*cases, *HARD_CASES]][: len(cases)]
    many = getattr(judge, "judge_many", None)
    if many is not None:
        try:
            together = list(await many(list(cases)))
        except Exception as error:  # the rule is that judges do not raise
            broken.append(f"raises: judge_many raised {type(error).__name__}: {error}")
        else:
            if len(together) != len(cases):
                broken.append(f"batch: {len(together)} verdicts for {len(cases)} cases")
            elif [v.probabilities for v in together] != [v and v.probabilities for v in alone]:
                broken.append("batch: judge_many and single calls give different verdicts")
    return broken


async def _call(judge: Any, case: Case, broken: list[str]) -> Verdict | None:
    where = f"case {case.question[:40]!r}"
    try:
        verdict = await judge(case)
    except Exception as error:  # the rule is that judges do not raise
        broken.append(f"raises: {where}: {type(error).__name__}: {error}")
        return None
    if not isinstance(verdict, Verdict):
        broken.append(f"type: {where}: expected a Verdict, got {type(verdict).__name__}")
        return None
    if verdict.probabilities is not None and len(verdict.probabilities) != len(case.options):
        broken.append(f"options: {where}: {len(verdict.probabilities)} probabilities for {len(case.options)} options")
    if verdict.status != "ok" and not verdict.rationale:
        broken.append(f"reason: {where}: status {verdict.status} without a reason")
    return verdict
