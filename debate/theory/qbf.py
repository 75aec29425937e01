"""Debate decides quantified Boolean formulas: two players who move for ∃ and ∀ reach the formula's truth value.

G. Irving, P. Christiano and D. Amodei (2018), "AI safety via debate", theorem 1 (debate with polynomial-time judges
decides PSPACE), after A. Chandra, D. Kozen and L. Stockmeyer, "Alternation" (1981). A formula in prenex form is a
quantifier for each of n variables and a truth table. Variable 0 is the outermost one and the most significant bit of
a row's number.

Letters: B formulas, n variables, rows 2ⁿ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from judges.types import Case, Verdict

Tables = NDArray[np.bool_]
QUANTIFIERS = "EA"


def all_tables(n: int) -> Tables:
    """[2^(2^n), 2^n] every truth table of n variables, n ≤ 4; row b is number b in binary, row 0 of the table first."""
    if not 0 <= n <= 4:
        raise ValueError(f"all_tables: expected 0 to 4 variables, got {n}")
    rows = 2**n
    numbers = np.arange(2**rows, dtype=np.uint32)
    return np.asarray((numbers[:, None] >> np.arange(rows - 1, -1, -1, dtype=np.uint32)) & 1, dtype=np.bool_)


def prefixes(n: int) -> list[str]:
    """Every row of n quantifiers, "E" for ∃ and "A" for ∀."""
    return ["".join(row) for row in product(QUANTIFIERS, repeat=n)]


def truth(tables: ArrayLike, prefix: str) -> Tables:
    """[B] truth of the quantified formulas, by eliminating the innermost variable first.

    Args:
        tables: [B, 2^n].
        prefix: n quantifiers, the outermost first.

    Raises:
        ValueError: sizes that do not fit, or a quantifier that is neither "E" nor "A".
    """
    values = _checked(tables, prefix)
    for quantifier in reversed(prefix):
        pairs = values.reshape(len(values), -1, 2)
        values = np.asarray(pairs.any(axis=2) if quantifier == "E" else pairs.all(axis=2))
    return np.asarray(values[:, 0])


def minimax(tables: ArrayLike, prefix: str) -> NDArray[np.int8]:
    """[B] value of the debate to the ∃ player, +1 or −1: alternating maxima and minima of the ±1 leaves."""
    values = np.where(_checked(tables, prefix), 1, -1).astype(np.int8)
    for quantifier in reversed(prefix):
        pairs = values.reshape(len(values), -1, 2)
        values = pairs.max(axis=2) if quantifier == "E" else pairs.min(axis=2)
    return np.asarray(values[:, 0])


def cut(tables: ArrayLike, keep: int) -> Tables:
    """[B, 2^keep] the debates that end after `keep` rounds, the judge setting the variables left over to 0."""
    t: Tables = np.asarray(tables, dtype=np.bool_)
    return np.asarray(t[:, :: t.shape[1] // 2**keep])


def wrong_when_cut(n: int, keep: int) -> tuple[int, int]:
    """How many of all (table, prefix) pairs of n variables a debate of `keep` rounds decides wrongly, and of how many.

    n = 3, keep = 2 gives 512 of 2,048.
    """
    tables = all_tables(n)
    short = cut(tables, keep)
    wrong = sum(int((truth(tables, p) != (minimax(short, p[:keep]) > 0)).sum()) for p in prefixes(n))
    return wrong, len(tables) * 2**n


def _checked(tables: ArrayLike, prefix: str) -> Tables:
    values = np.asarray(tables, dtype=np.bool_)
    if values.ndim != 2 or values.shape[1] != 2 ** len(prefix) or set(prefix) - set(QUANTIFIERS):
        raise ValueError(
            f"quantified formula: expected tables [B, {2 ** len(prefix)}] for prefix {prefix!r} of E and A, "
            f"got shape {values.shape}"
        )
    return values


# --- the same as a protocol ------------------------------------------------------------------------------------------


def protocol(prefix: str) -> dict[str, Any]:
    """The debate as a finite protocol (its YAML as data): one choice of 0 or 1 a variable, by the quantifier's player.

    The ∃ player defends "true", the ∀ player "false"; a `FormulaJudge` evaluates the formula named by the question.
    """
    slots = [
        {"roles": "exists" if q == "E" else "forall", "phase": f"x{i}", "kind": "choice", "choices": ["0", "1"]}
        for i, q in enumerate(prefix)
    ]
    prompt = "The formula is the truth table {question}. You want it to be {answer}. Choose the next variable."
    return {
        "name": "quantified_formula",
        "title": "Debate of a quantified Boolean formula",
        "source": "Irving, Christiano and Amodei (2018), theorem 1",
        "roles": {
            "player": {
                "seats": ["exists", "forall"],
                "sees": ["question", "options", "answer"],
                "answers": "by_seat",
                "prompt": prompt,
            }
        },
        "schedule": slots,
        "decision": {"by": "judge", "sees": ["question", "public"]},
        "rewards": {"win": {"rule": "win", "utility": "zero_sum"}, "truth": {"rule": "truth"}},
        "finite": True,
    }


class FormulaJudge:
    """Looks the chosen variables up in the truth table that the question spells, such as "0111" for "or"."""

    async def __call__(self, case: Case) -> Verdict:
        """Certain of "true" or "false"; an error where picks and table do not fit."""
        return self.judge(case)

    def judge(self, case: Case) -> Verdict:
        """The same without awaiting."""
        picks: Sequence[str] = [statement.text for statement in case.statements]
        if set("".join(picks)) - {"0", "1"} or 2 ** len(picks) != len(case.question):
            return Verdict.failed("formula", f"{len(picks)} picks {picks} do not fit the table {case.question!r}")
        row = int("".join(picks) or "0", 2)
        return Verdict("formula", (1.0, 0.0) if case.question[row] == "1" else (0.0, 1.0))
