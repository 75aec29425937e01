"""`debate gauge` and `debate attack`: measure a judge, print what was measured, write the certificate it earned."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from debate.errors import UserError, did_you_mean
from debate.judging_tools.cases import read_cases
from debate.judging_tools.named import JudgeSettings, named_judge
from debate.judging_tools.panels import read_labels_of
from debate.models import store
from judges.attacks.battery import attack_table, run_attacks
from judges.attacks.kinds import ATTACKS
from judges.charter.certificate import Certificate, Refusal, bless
from judges.charter.gates import Gates
from judges.charter.gauge import gauge
from judges.charter.labels import LabelledCase, Labels, panel_ratings
from judges.charter.report import GaugeReport
from judges.charter.seals import SealBook
from judges.judges.asking import ask_many
from judges.judges.scripted import constant_judge
from judges.types import Verdict


def gauge_judge(
    name: str,
    labels: str,
    ratings: Sequence[str] = (),
    limit: int | None = None,
    gates: Sequence[str] = (),
    blind: bool | None = None,
    no_own_texts: bool = False,
    seals: Path | None = None,
    settings: JudgeSettings | None = None,
) -> tuple[GaugeReport, Certificate | Refusal, float]:
    """Gauges a judge and decides about its certificate.

    Args:
        name: of the judge (see `named_judge`).
        labels: where the cases are (see `read_cases`).
        ratings: ledgers or label files with the panel's ratings.
        limit: most cases.
        gates: `NAME=VALUE` thresholds that differ from the charter's.
        blind: whether the panel rated blind; None where nobody says.
        no_own_texts: declares that the judge's own model wrote none of the texts.
        seals: the book of who has seen which split; None takes the one of this machine.
        settings: of a language-model judge.

    Returns:
        The report, the certificate or the refusal, and the seconds that the measurement took.

    Raises:
        UserError: what of it is wrong.
    """
    split = _split(read_cases(labels, limit), ratings, blind, no_own_texts)
    chosen = read_gates(gates)
    judge = named_judge(name, split.items, settings or JudgeSettings())
    book = seals or store().parent / "seals.jsonl"
    book.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        report = gauge(judge, split, chosen, SealBook(book))
    except ValueError as error:
        raise UserError(str(error)) from None
    return report, bless(report), time.monotonic() - started


def gauge_lines(report: GaugeReport, outcome: Certificate | Refusal, seconds: float) -> list[str]:
    """The report and the decision, for the terminal."""
    lines = [report.text(), f"Measured in {seconds:.0f} s."]
    lines.append(
        f"agreement {_percent(report.agreement)}, beside {_percent(report.constant)} of the best constant judge"
    )
    if isinstance(outcome, Certificate):
        kind = "tentatively " if outcome.tentative else ""
        first, last = outcome.checkpoints
        lines.append(
            f"BLESSED {kind}until {outcome.expires}, for policy checkpoints {first} to {last}; "
            f"audit {outcome.terms['audit_rate']:.1%} of its verdicts"
        )
    else:
        lines.append("REFUSED:")
        lines += [f"  - {reason}" for reason in outcome.reasons]
    return lines


def attack_judge(name: str, labels: str, limit: int | None, only: Sequence[str], settings: JudgeSettings) -> list[str]:
    """The attack table of a judge, and which attacks passed.

    Raises:
        UserError: no such judge, cases or attack.
    """
    known = {attack.name: attack for attack in ATTACKS}
    for attack in only:
        if attack not in known:
            raise UserError(f"--attack {attack}: no such attack{did_you_mean(attack, known)}; there are {_list(known)}")
    items = read_cases(labels, limit)
    judge = named_judge(name, items, settings)
    chosen = tuple(known[attack] for attack in only) or ATTACKS
    cases, defends = [i.case for i in items], [i.defends for i in items]
    verdicts = asyncio.run(ask_many(judge, cases))
    rows = asyncio.run(run_attacks(judge, cases, defends, verdicts, chosen))
    constant = asyncio.run(run_attacks(constant_judge(0), cases, defends, attacks=chosen))
    limit_rate = Gates().attack_rate
    passed = [row.attack for row in rows if row.flips]
    unproven = [row.attack for row in rows if not row.flips and not row.withstood(limit_rate)]
    lines = [f"# Attacks on {judge.name}", "", agreement_line(verdicts, [item.label for item in items]), ""]
    lines += [attack_table(rows, limit_rate, constant), ""]
    lines.append(f"passed the judge: {_list(passed) or 'none'}")
    if unproven:
        lines.append(f"not shown to be withstood, for want of cases (149 without a flip are needed): {_list(unproven)}")
    return lines


def agreement_line(verdicts: Sequence[Verdict], truths: Sequence[int | None]) -> str:
    """A judge's agreement with known answers, never without the best constant judge's on the same cases."""
    known = [
        (verdict.answer == truth, truth)
        for verdict, truth in zip(verdicts, truths, strict=True)
        if truth is not None and verdict.status == "ok"
    ]
    if not known:
        return "agreement unknown: no judged case has a label; so is the constant judge's"
    constant = max(Counter(truth for _, truth in known).values()) / len(known)
    share = sum(hit for hit, _ in known) / len(known)
    return f"agreement {share:.1%}, beside {constant:.1%} of the best constant judge, on {len(known)} judged cases"


def read_gates(settings: Sequence[str]) -> Gates:
    """The charter's gates with `NAME=VALUE` changes; a range is written `0..1000`.

    Raises:
        UserError: no such gate, or a value that it cannot have.
    """
    known = {f.name: getattr(Gates(), f.name) for f in fields(Gates)}
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            raise UserError(
                f"--gate {setting}: expected NAME=VALUE{did_you_mean(name, known)}; gates are {_list(known)}"
            )
        value = yaml.safe_load(text)
        if isinstance(known[name], tuple):
            ends = text.split("..")
            if len(ends) != 2 or not all(end.isascii() and end.isdigit() for end in ends):
                raise UserError(f"--gate {setting}: expected a range such as {name}=0..1000")
            value = tuple(int(end) for end in ends)
        elif isinstance(value, bool) or not isinstance(value, int | float if isinstance(known[name], float) else int):
            wanted = "a number" if isinstance(known[name], float) else "a whole number"
            raise UserError(f"--gate {setting}: expected {wanted}")
        changes[name] = value
    try:
        return replace(Gates(), **changes)
    except ValueError as error:
        raise UserError(f"--gate: {error}") from None


def write_certificate(path: Path, certificate: Certificate) -> None:
    """Writes the certificate.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        certificate.save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def check_writable(path: Path | None) -> None:
    """Refuses a place to write to before anything is measured.

    Raises:
        UserError: its folder is not there, or cannot be written.
    """
    if path is not None and (path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK)):
        raise UserError(f"{path}: cannot be written; expected a file in a folder that is there")


def _split(items: Sequence[LabelledCase], ratings: Sequence[str], blind: bool | None, no_own: bool) -> Labels:
    names = {item.id for item in items}
    found = [label for place in ratings for label in read_labels_of(Path(place))]
    known = [label for label in found if label.item in names]
    if found and not known:
        raise UserError(f"{', '.join(ratings)}: none of the {len(found)} labels is of any of these {len(names)} cases")
    try:
        return Labels(tuple(items), panel_ratings(known), blind if known else None, no_own)
    except ValueError as error:
        raise UserError(str(error)) from None


def _percent(value: float) -> str:
    return "unknown" if value != value else f"{value:.1%}"


def _list(names: Any) -> str:
    return ", ".join(names)
