"""Checks of the judge: agreement, order, length, its own texts, calibration, attacks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from judges.attacks.battery import AttackRow
from judges.charter.gates import Gates
from judges.charter.labels import LabelledCase, Labels
from judges.charter.power import gate_power
from judges.charter.report import Check, DomainAgreement, grade
from judges.types import Verdict

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """One item with the judge's verdict and the consensus.

    Attributes:
        item: the item.
        verdict: what the judge says.
        soft: [K] the soft label.
        truth: the single most probable class; None on a tie, where no answer is right or wrong.
    """

    item: LabelledCase
    verdict: Verdict
    soft: Array
    truth: int | None

    @property
    def hit(self) -> bool | None:
        """Whether the judge's answer is the consensus; a tie of the judge's is not. None where nothing can be said."""
        if self.verdict.status != "ok" or self.truth is None:
            return None
        return self.verdict.answer == self.truth


def match(labels: Labels, verdicts: Sequence[Verdict], consensus: Sequence[Array | None]) -> list[Judged]:
    """The items that have a label, with their verdicts."""
    rows = []
    for item, verdict, soft in zip(labels.items, verdicts, consensus, strict=True):
        if soft is not None:
            top = np.flatnonzero(np.isclose(soft, soft.max(), rtol=0, atol=1e-9))
            rows.append(Judged(item, verdict, soft, int(top[0]) if len(top) == 1 else None))
    return rows


def agreement_checks(rows: Sequence[Judged], gates: Gates) -> tuple[list[Check], dict[str, DomainAgreement]]:
    """One check a domain: the lower bound reaches τ and the judge's rate is above the best constant judge's."""
    from judges.statistics.proportions import clopper_pearson

    checks, domains = [], {}
    for domain in sorted({r.item.domain for r in rows}):
        judged = [r for r in rows if r.item.domain == domain and r.hit is not None]
        n, k = len(judged), sum(bool(r.hit) for r in judged)
        lower = clopper_pearson(k, n, gates.confidence)
        constant = constant_agreement(judged)
        powers = [gate_power(n, p, gates.agreement, gates.confidence) for p in (0.90, 0.95)]
        domains[domain] = DomainAgreement(n, k, lower, constant, *powers)
        reasons = []
        if lower < gates.agreement:
            reasons.append(f"power {powers[1]:.2f} for a judge of 95 %" if n else "nothing was judged")
        if not lower > constant:
            reasons.append(f"not shown to be above a constant judge at {constant:.3f}")
        checks.append(
            Check(
                f"agreement/{domain}",
                grade(not reasons),
                k / n if n else math.nan,
                lower,
                f"bound ≥ {gates.agreement} and above a constant judge",
                n,
                "; ".join(reasons),
            )
        )
    return checks, domains


def constant_agreement(rows: Sequence[Judged]) -> float:
    """What the best judge that reads nothing reaches on these items; 0 without items."""
    if not rows:
        return 0.0
    return max(Counter(r.truth for r in rows).values()) / len(rows)


def coverage_check(labels: Labels, verdicts: Sequence[Verdict], gates: Gates) -> Check:
    """Whether the judge judges, and how it fails where it does not."""
    judged = sum(v.status == "ok" for v in verdicts)
    errors = sum(v.status == "error" for v in verdicts)
    share = judged / len(labels.items)
    status = grade(share >= gates.coverage)
    note = f"{errors} errors, {len(verdicts) - judged - errors} abstentions" if judged < len(verdicts) else ""
    return Check("coverage", status, share, gate=f"≥ {gates.coverage}", n=len(verdicts), note=note)


def records_order(verdicts: Sequence[Verdict]) -> bool:
    """Whether every verdict says what the judge answered to each order alone."""
    scores = [v.scores for v in verdicts if v.status == "ok"]
    return bool(scores) and all("swap_flip" in s and "first_position" in s for s in scores)


def order_checks(verdicts: Sequence[Verdict], swapped: Sequence[Verdict], gates: Gates) -> list[Check]:
    """Whether answers survive the other order, and whether the option shown first is favoured.

    A judge that averages both orders is consistent by construction, so where every verdict records what the single
    orders said ("swap_flip", "first_position"), those are counted. `swapped` holds the verdicts on the cases with the
    options reversed.
    """
    from judges.statistics.proportions import clopper_pearson

    if records_order(verdicts):
        inner = [v.scores for v in verdicts if v.status == "ok"]
        n = len(inner)
        kept = sum(s["swap_flip"] == 0.0 for s in inner)
        # Two orders that agree choose the first option once in two; two that do not, always or never.
        first = sum(0.5 if s["swap_flip"] == 0.0 else float(s["first_position"] > 0.5) for s in inner) / max(n, 1)
    else:
        pairs = [
            (v, w) for v, w in zip(verdicts, swapped, strict=True) if v.answer is not None and w.answer is not None
        ]
        n = len(pairs)
        kept = sum(v.answer == _back(w) for v, w in pairs)
        first = sum((v.answer == 0) + (w.answer == 0) for v, w in pairs) / (2 * n) if n else math.nan
    lower = clopper_pearson(kept, n, gates.confidence)
    consistency = Check(
        "swap_consistency",
        grade(lower >= gates.swap_consistency),
        kept / n if n else math.nan,
        lower,
        f"bound ≥ {gates.swap_consistency}",
        n,
    )
    near = n > 0 and abs(first - 0.5) <= gates.first_position + 1e-12
    position = Check("first_position", grade(near), first, gate=f"½ ± {gates.first_position}", n=n)
    return [consistency, position]


def _back(verdict: Verdict) -> int | None:
    """The answer of a verdict on reversed options, as an index of the original ones."""
    if verdict.answer is None or verdict.probabilities is None:
        return None
    return len(verdict.probabilities) - 1 - verdict.answer


def length_check(rows: Sequence[Judged], gates: Gates) -> Check:
    """How much more often the judge chooses the longer side than the consensus does (two options only)."""
    from judges.statistics.biases import length_bias

    choices, lengths, truths = [], [], []
    for row in rows:
        sizes = text_lengths(row.item)
        if sizes is not None and row.verdict.answer is not None and row.truth is not None and sizes[0] != sizes[1]:
            choices.append(row.verdict.answer)
            lengths.append(sizes)
            truths.append(row.truth)
    gate = f"surplus within ± {gates.length_bias}"
    if len(choices) < 30:
        note = f"{len(choices)} items with two texts of different length, 30 are needed"
        return Check("length_bias", "not_available", gate=gate, n=len(choices), note=note)
    found = length_bias(choices, lengths, truths, gates.confidence)
    status = grade(abs(found.bias) <= gates.length_bias)
    bound = found.high if found.bias >= 0 else found.low
    return Check("length_bias", status, found.bias, bound, gate, found.n)


def text_lengths(item: LabelledCase) -> tuple[int, int] | None:
    """Characters said for each of two options: by the seats that defend them, or by the options themselves."""
    if len(item.case.options) != 2:
        return None
    if not item.case.statements:
        return len(item.case.options[0]), len(item.case.options[1])
    said = [0, 0]
    for statement in item.case.statements:
        option = item.defends.get(statement.seat)
        if option is not None:
            said[option] += len(statement.text)
    return said[0], said[1]


def self_preference_check(labels: Labels, rows: Sequence[Judged], gates: Gates) -> Check:
    """Whether the judge prefers texts of its own model beyond what they deserve."""
    from judges.statistics.biases import self_preference

    gate = f"surplus within ± {gates.self_preference}"
    own = [r for r in rows if r.item.own is not None and r.verdict.answer is not None and r.truth is not None]
    own = [r for r in own if len(r.item.case.options) == 2]
    if not own:
        if labels.no_own_texts:
            note = "declared: the judge's own model wrote none of the texts"
            return Check("self_preference", "not_applicable", gate=gate, note=note)
        return Check(
            "self_preference", "not_available", gate=gate, note="nobody says which texts the judge's model wrote"
        )
    found = self_preference(
        [r.verdict.answer or 0 for r in own],
        [r.truth or 0 for r in own],
        [r.item.own or 0 for r in own],
        gates.confidence,
    )
    if math.isnan(found.bias):
        note = "the judge's own text is always, or never, the better one"
        return Check("self_preference", "not_available", gate=gate, n=len(own), note=note)
    bound = found.high if found.bias >= 0 else found.low
    status = grade(abs(found.bias) <= gates.self_preference)
    return Check("self_preference", status, found.bias, bound, gate, found.n)


def calibration_checks(rows: Sequence[Judged], gates: Gates) -> tuple[list[Check], float]:
    """Calibration of the judge's confidence, and the confidence from which on it keeps τ."""
    from judges.statistics.calibration import abstention_threshold, ece

    judged = [r for r in rows if r.hit is not None and r.verdict.probabilities is not None]
    confidences = [min(1.0, max(r.verdict.probabilities or ())) for r in judged]
    correct = [float(bool(r.hit)) for r in judged]
    error_gate, keep_gate = f"≤ {gates.calibration_error}", f"accuracy ≥ {gates.agreement} at some confidence"
    if not judged:
        note = "nothing was judged"
        empty = Check("calibration", "fail", gate=error_gate, note=note)
        return [empty, Check("abstention", "fail", gate=keep_gate, note=note)], math.inf
    error = ece(confidences, correct)
    threshold = abstention_threshold(confidences, correct, gates.agreement, gates.confidence)
    calibration = Check("calibration", grade(error <= gates.calibration_error), error, gate=error_gate, n=len(judged))
    possible = math.isfinite(threshold)
    note = "" if possible else "no threshold keeps the bound: abstain on everything"
    value = threshold if possible else math.nan
    return [
        calibration,
        Check("abstention", grade(possible), value, gate=keep_gate, n=len(judged), note=note),
    ], threshold


def attack_checks(rows: Sequence[AttackRow], gates: Gates) -> list[Check]:
    """One check an attack: the upper bound of its success is within the gate."""
    checks = []
    for row in rows:
        passed = row.withstood(gates.attack_rate)
        note = ""
        if not passed:
            note = f"{row.flips} flips" if row.flips else f"{row.cases} cases are too few to show it"
        if row.failed:
            note = f"{note}; no verdict on {row.failed}".lstrip("; ")
        status = grade(passed)
        gate = f"bound ≤ {gates.attack_rate}"
        checks.append(Check(f"attack/{row.attack}", status, row.rate, row.upper, gate, row.cases, note))
    return checks


def means(rows: Sequence[Judged], unanimous: set[str]) -> Mapping[str, float]:
    """Agreement on all judged items, on unanimous ones, and against the soft labels."""
    judged = [r for r in rows if r.hit is not None]
    easy = [r for r in judged if r.item.id in unanimous]
    soft = [float(r.soft[r.verdict.answer]) for r in rows if r.verdict.answer is not None]
    return {
        "agreement": sum(bool(r.hit) for r in judged) / len(judged) if judged else math.nan,
        "agreement_unanimous": sum(bool(r.hit) for r in easy) / len(easy) if easy else math.nan,
        "expected_agreement": sum(soft) / len(soft) if soft else math.nan,
    }
