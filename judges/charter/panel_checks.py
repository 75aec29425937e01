"""Checks of the people: is there a panel, does it agree with itself, may the judge stand in for one of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from judges.charter.gates import Gates
from judges.charter.labels import Labels
from judges.charter.report import Check, CheckStatus, grade
from judges.types import Verdict

NO_PANEL = "not available: no expert ratings"


def panel_checks(labels: Labels, gates: Gates) -> list[Check]:
    """Steps 1 and 2 of the charter: size, blindness, repeats, and agreement of the panel."""
    wanted = f"≥ {gates.experts} experts, ≥ {gates.shared_items} shared items"
    if not labels.ratings:
        missing = [("panel", wanted), ("blind", "rated blind"), ("repeats", f"≥ {gates.repeats:.0%} repeated")]
        missing.append(("alpha", f"α bound ≥ {gates.alpha}"))
        return [Check(name, "not_available", gate=gate, note=NO_PANEL) for name, gate in missing]
    experts = len(labels.members(gates.member_items))
    shared = len(labels.shared(gates.experts, gates.member_items))
    enough = experts >= gates.experts and shared >= gates.shared_items
    note = "" if enough else f"{experts} members, {shared} items rated by {gates.experts} of them"
    note = "; ".join(filter(None, (note, _partial(labels, gates))))
    if labels.simulated:
        note = "; ".join(filter(None, (note, "SIMULATED panel: says nothing about people")))
    checks = [Check("panel", grade(enough), experts, gate=wanted, n=shared, note=note)]
    if labels.blind is None:
        checks.append(
            Check("blind", "not_available", gate="rated blind", note="nobody says whether ratings were blind")
        )
    else:
        note = "" if labels.blind else "the experts saw what they should not have"
        checks.append(Check("blind", grade(labels.blind), gate="rated blind", note=note))
    return [*checks, _repeats(labels, gates), _alpha(labels, gates)]


def _partial(labels: Labels, gates: Gates) -> str:
    """Who rated too little to be a member, in words."""
    few = [e for e in labels.experts if e not in labels.members(gates.member_items)]
    counts = ", ".join(f"{expert} ({len(labels.first_ratings[expert])})" for expert in few)
    return f"heard in the consensus only, with fewer than {gates.member_items} items: {counts}" if few else ""


def _repeats(labels: Labels, gates: Gates) -> Check:
    """The share of shared items that at least one expert rated again, and how often an expert repeats themselves."""
    first = labels.first_ratings
    again = [r for r in labels.ratings if r.repeat > 0 and r.item in first[r.expert]]
    same = sum(first[r.expert][r.item] == r.label for r in again)
    repeated = len({r.item for r in again})
    shared = len(labels.shared(gates.experts, gates.member_items))
    share = repeated / shared if shared else 0.0
    passed = share >= gates.repeats
    note = f"experts repeat themselves on {same} of {len(again)}" if again else "no item was rated twice"
    status = grade(passed)
    return Check("repeats", status, share, gate=f"≥ {gates.repeats:.0%} of shared items", n=repeated, note=note)


def _alpha(labels: Labels, gates: Gates) -> Check:
    from judges.statistics.agreement import krippendorff_alpha, krippendorff_lower_bound

    matrix = labels.rating_matrix()
    gate = f"bound ≥ {gates.alpha}, tentative ≥ {gates.alpha_tentative}"
    if len(labels.experts) < 2:
        return Check("alpha", "fail", gate=gate, note="α takes two experts")
    try:
        value = krippendorff_alpha(matrix)
        bound = krippendorff_lower_bound(matrix, confidence=gates.confidence)
    except ValueError as error:
        return Check("alpha", "fail", gate=gate, note=str(error))
    if math.isnan(bound):
        return Check("alpha", "fail", value, gate=gate, note="α is not defined where all ratings are the same")
    status: CheckStatus = "fail"
    note = "fix the specification before gauging judges"
    if bound >= gates.alpha:
        status, note = "pass", ""
    elif bound >= gates.alpha_tentative:
        status, note = "tentative", "tentative agreement"
    pairable = int((np.sum(~np.isnan(matrix), axis=0) >= 2).sum())
    return Check("alpha", status, value, bound, gate, pairable, note)


def alt_check(labels: Labels, verdicts: Sequence[Verdict], gates: Gates) -> Check:
    """The alternative annotator test on the experts' own scale (Calderon, Reichart & Dror 2025)."""
    from judges.statistics.annotators import alt_test

    gate = f"ω ≥ {gates.alt_omega} at ε = {gates.alt_epsilon}"
    if not labels.ratings:
        return Check("alt_test", "not_available", gate=gate, note=NO_PANEL)
    answers = {i.id: float(v.answer) for i, v in zip(labels.items, verdicts, strict=True) if v.answer is not None}
    members = labels.members(gates.member_items)
    human = {e: {item: float(x) for item, x in labels.first_ratings[e].items()} for e in members}
    try:
        result = alt_test(human, answers, gates.alt_epsilon)
    except ValueError as error:
        return Check("alt_test", "fail", gate=gate, note=str(error))
    items = min(test.items for test in result.per_annotator.values())
    passed = result.omega >= gates.alt_omega
    note = f"the judge wins {result.rho:.2f} of comparisons"
    return Check("alt_test", grade(passed), result.omega, gate=gate, n=items, note=note)


def human_baseline(labels: Labels) -> float:
    """Mean share of items on which an expert agrees with the majority of the other experts; NaN without any.

    Items on which the others are tied are left out.
    """
    rows = labels.first_ratings
    shares = []
    for expert, own in rows.items():
        hits = []
        for item, label in own.items():
            votes = Counter(row[item] for other, row in rows.items() if other != expert and item in row).most_common(2)
            if votes and (len(votes) == 1 or votes[0][1] > votes[1][1]):
                hits.append(votes[0][0] == label)
        if hits:
            shares.append(sum(hits) / len(hits))
    return sum(shares) / len(shares) if shares else math.nan


def unanimous_items(labels: Labels) -> set[str]:
    """Items that two or more experts rated, all alike."""
    given: dict[str, list[int]] = {}
    for row in labels.first_ratings.values():
        for item, label in row.items():
            given.setdefault(item, []).append(label)
    return {item for item, votes in given.items() if len(votes) >= 2 and len(set(votes)) == 1}
