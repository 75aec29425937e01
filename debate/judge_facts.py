"""What stands beside a run's judge numbers: the constant judge, people, the certificate, and what attacks do."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from debate.judging import certificate_of
from debate.session import Session
from judges.attacks.battery import AttackRow, run_attacks
from judges.charter.certificate import Certificate
from judges.judges.asking import ask_many
from judges.judges.scripted import constant_judge
from judges.types import Case, Judge

CASES = 200  # most debates that a judge made of code is attacked on: enough for the 2 % bound
LEDGER = "labels.sqlite"  # in a run folder: what people say about its debates


def constant_accuracy(session: Session) -> float | None:
    """How often the best judge that reads nothing is right on the held-out questions; None without known answers."""
    spec = session.recipe.main
    questions = session.arenas[spec.name].questions
    labels = [questions[q].label for q in session.test_ids[spec.name][: session.recipe.evaluation]]
    known = Counter(label for label in labels if label is not None)
    return max(known.values()) / sum(known.values()) if known else None


def human_accuracy(folder: Path, arena: str) -> dict[str, Any]:
    """How often people are right about the debates of the last evaluation, where they labelled some of them.

    Read from `labels.sqlite` in the run folder (`debate label RUN --ledger RUN/labels.sqlite`); the answer most people
    gave counts, a tie does not.
    """
    if not (folder / LEDGER).is_file():
        return {}
    from debate.judging_tools.auditing import consensus
    from debate.judging_tools.panels import read_labels_of
    from debate.judging_tools.played import played_cases

    said = consensus(read_labels_of(folder / LEDGER))
    items = [one.item for one in played_cases(folder, f"eval/after/{arena}/")]
    hits = [said[item.id] == item.label for item in items if item.label is not None and item.id in said]
    return {"human": sum(hits) / len(hits), "human_n": len(hits)} if hits else {}


def judge_certificates(session: Session) -> list[dict[str, Any]]:
    """The numbers of the certificates under which the main arena's judges pay, beside their baselines."""
    found = []
    for certificate in _certificates(session):
        found.append(
            {
                "judge": certificate.judge,
                **certificate.baselines,
                "abstention": certificate.abstention,
                "expires": certificate.expires,
                "simulated": certificate.simulated,
            }
        )
    return found


def judge_attacks(session: Session) -> dict[str, str]:
    """Attack → what it does to the main arena's judge, beside the constant judge.

    A judge made of code is attacked on the last evaluation's debates; a certified model was attacked when it was
    gauged; another model was not, and nothing is said of it.
    """
    spec = session.recipe.main
    for judge, made in zip(session.arenas[spec.name].judges, spec.judges, strict=True):
        if made.kind != "llm":
            return _attacked(session, judge)
    for certificate in _certificates(session):
        return {
            row["attack"]: f"{row['flips']} of {row['cases']} when gauged, at most {row['upper']:.3f}"
            for row in certificate.attacks
        }
    return {}


def _attacked(session: Session, judge: Judge) -> dict[str, str]:
    arena = session.recipe.main.name
    cases: list[Case] = []
    defends: list[dict[str, int]] = []
    for episode in session.store.episodes(f"eval/after/{arena}/"):
        if episode.transcript.error is None and len(episode.transcript.options) > 1 and len(cases) < CASES:
            cases.append(episode.transcript.case())
            defends.append({s: a for s, a in episode.transcript.answers.items() if a is not None})
    if not cases:
        return {}

    async def both() -> list[tuple[AttackRow, ...]]:
        asked = [(one, await ask_many(one, cases)) for one in (judge, constant_judge(0))]
        return [await run_attacks(one, cases, defends, verdicts) for one, verdicts in asked]

    mine, constant = asyncio.run(both())
    return {row.attack: _beside(row, other) for row, other in zip(mine, constant, strict=True) if row.cases}


def _beside(row: AttackRow, constant: AttackRow) -> str:
    flips = f"{row.flips} of {row.cases}, at most {row.upper:.3f}"
    return f"{flips}; constant judge: {constant.flips} of {constant.cases}"


def _certificates(session: Session) -> list[Certificate]:
    paths = [certificate_of(spec, session.recipe) for spec in session.recipe.main.judges]
    found = []
    for path in paths:
        try:
            found += [] if path is None else [Certificate.load(path)]
        except ValueError:  # revoked or unreadable: it vouches for nothing, which the session has said already
            continue
    return found
