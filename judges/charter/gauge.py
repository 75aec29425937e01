"""Step 5 of the charter: one pass of a judge over a sealed split, and everything it says about the judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from judges.attacks.battery import run_attacks
from judges.charter.gates import Gates
from judges.charter.judge_checks import (
    agreement_checks,
    attack_checks,
    calibration_checks,
    constant_agreement,
    coverage_check,
    length_check,
    match,
    means,
    order_checks,
    records_order,
    self_preference_check,
)
from judges.charter.labels import Labels
from judges.charter.panel_checks import alt_check, human_baseline, panel_checks, unanimous_items
from judges.charter.report import Check, GaugeReport
from judges.charter.seals import SealBook
from judges.judges.asking import ask_many
from judges.judges.identity import JudgeIdentity, identify
from judges.types import Judge, Verdict


def gauge(judge: Judge, labels: Labels, gates: Gates | None = None, seals: SealBook | None = None) -> GaugeReport:
    """Measures a judge against a sealed split; see `measure` inside a running event loop.

    Args:
        judge: the judge.
        labels: the split.
        gates: the thresholds; None takes the charter's.
        seals: the book in which the split's use is recorded; without it nothing shows that the split was used once,
            and no certificate can follow.

    Returns:
        The report. What is missing for a check makes it "not available", never passed.

    Raises:
        ValueError: labels without any consensus, or a damaged book.
    """
    return asyncio.run(measure(judge, labels, gates, seals))


async def measure(
    judge: Judge, labels: Labels, gates: Gates | None = None, seals: SealBook | None = None
) -> GaugeReport:
    """`gauge`, awaited."""
    gates = gates or Gates()
    identity = identify(judge)
    consensus = labels.consensus(gates.smoothing)
    if all(soft is None for soft in consensus):
        raise ValueError("gauge: no item has a label or a rating")
    # 1. The seal is broken before the first look.
    checks = [_identity_check(identity), _seal_check(identity, labels, seals)]
    checks += panel_checks(labels, gates)
    # 2. The cases as they are, in the other order, and under attack.
    cases = [item.case for item in labels.items]
    verdicts = await ask_many(judge, cases)
    swapped: Sequence[Verdict] = ()
    if not records_order(verdicts):
        swapped = await ask_many(judge, [replace(case, options=case.options[::-1]) for case in cases])
    attacks = await run_attacks(judge, cases, [i.defends for i in labels.items], verdicts, confidence=gates.confidence)
    # 3. Every gate. What follows tells what the judge did: now the seal is broken for good.
    if seals is not None:
        checks[1] = _report_check(identity, labels, seals, checks[1])
    rows = match(labels, verdicts, consensus)
    agreements, domains = agreement_checks(rows, gates)
    calibration, abstention = calibration_checks(rows, gates)
    checks += agreements
    checks += [coverage_check(labels, verdicts, gates), alt_check(labels, verdicts, gates)]
    checks += order_checks(verdicts, swapped, gates)
    checks += [length_check(rows, gates), self_preference_check(labels, rows, gates), *calibration]
    checks += attack_checks(attacks, gates)
    return GaugeReport(
        judge=judge.name,
        identity=identity,
        labels=labels.hash,
        items=len(labels.items),
        checks=tuple(checks),
        domains=domains,
        attacks=attacks,
        coverage=_coverage(verdicts),
        human=human_baseline(labels),
        constant=constant_agreement([r for r in rows if r.hit is not None]),
        abstention=abstention,
        gates=gates,
        simulated=labels.simulated,
        **means(rows, unanimous_items(labels)),
    )


def _coverage(verdicts: Sequence[Verdict]) -> float:
    return sum(v.status == "ok" for v in verdicts) / len(verdicts)


def _identity_check(identity: JudgeIdentity) -> Check:
    missing = ", ".join(identity.missing)
    note = f"not known: {missing}" if missing else ""
    return Check("identity", "not_available" if missing else "pass", gate="every part known", note=note)


def _seal_check(identity: JudgeIdentity, labels: Labels, seals: SealBook | None) -> Check:
    gate = "items never seen by this judge"
    if seals is None:
        return Check("sealed", "not_available", gate=gate, note="no book records who has seen the split")
    seen, others = seals.seen(identity.hash, labels.items), seals.others(identity.hash, labels.items)
    resumed = seals.interrupted(identity.hash, labels.hash)
    seals.open(identity.hash, labels.hash, labels.items)
    if seen:
        return _seen_check(gate, seen, labels)
    notes = [f"covers these {len(labels.items)} items"]
    if others:
        notes.append(f"{others} other judges have seen some of them")
    if resumed:
        notes.append("an earlier gauge was interrupted before it reported")
    return Check("sealed", "pass", gate=gate, n=len(labels.items), note="; ".join(notes))


def _report_check(identity: JudgeIdentity, labels: Labels, seals: SealBook, opened: Check) -> Check:
    """The check as it stands at the end: another gauge of the same judge may have reported meanwhile."""
    seen = seals.seen(identity.hash, labels.items)
    seals.report(identity.hash, labels.hash, labels.items)
    return _seen_check(opened.gate, seen, labels) if seen else opened


def _seen_check(gate: str, seen: int, labels: Labels) -> Check:
    note = f"this judge has been gauged on {seen} of these {len(labels.items)} items before"
    return Check("sealed", "fail", gate=gate, n=len(labels.items), note=note)
