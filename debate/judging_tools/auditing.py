"""`debate audit`: draw verdicts for people, hold what they say against the certificate, and withdraw it if it must be.

1. Verdicts are drawn: each with at least the certificate's floor, the uncertain ones more often.
2. What has no label yet is written down for `debate label`; what has one is evidence.
3. `judges.revoke` decides. A revoked certificate says so in its own file and is never valid again; every audit leaves
   a line beside it, so that the next one knows how far the last clean one reached.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debate.errors import UserError
from debate.judging_tools.cases import read_cases, write_cases
from debate.judging_tools.named import JudgeSettings, named_judge
from debate.judging_tools.panels import read_labels_of
from debate.judging_tools.played import Played, played_cases
from debate.run.files import write_atomic
from judges.attacks.battery import AttackRow, attack_table, run_attacks
from judges.charter.audit import draw_audit
from judges.charter.certificate import Certificate
from judges.charter.revocation import Evidence, Revocation, Window, revoke
from judges.judges.asking import ask_many
from judges.judges.identity import JudgeIdentity
from judges.judges.scripted import constant_judge
from judges.labels.ledger import Label
from judges.types import Verdict

WINDOW = 30  # audited verdicts in a window of training: fewer say too little about a mean


@dataclass(frozen=True, slots=True)
class Audited:
    """A verdict that was drawn, and what people or an objective label say about it; None where nothing yet."""

    played: Played
    verdict: Verdict
    base: bool
    inclusion: float
    truth: int | None

    @property
    def agrees(self) -> bool | None:
        """Whether judge and label agree; None where either has no answer."""
        if self.truth is None or self.verdict.status != "ok":
            return None
        return self.verdict.answer == self.truth


@dataclass(frozen=True)
class AuditOptions:
    """What an audit is asked to do.

    Attributes:
        judge: the judge as it is now, by name; "" compares no identity.
        ratings: ledgers or label files.
        panel: judges of other families to compare with.
        attack: repeat the attacks.
        draw: where to write the drawn cases that have no label yet; None writes none.
        checkpoint: the policy checkpoint that is judged now; None takes the newest one seen.
        seed: of the draw.
        settings: of language-model judges.
    """

    judge: str = ""
    ratings: Sequence[str] = ()
    panel: Sequence[str] = ()
    attack: bool = False
    draw: Path | None = None
    checkpoint: int | None = None
    seed: int = 0
    settings: JudgeSettings = field(default_factory=JudgeSettings)


def audit(path: Path, place: str, options: AuditOptions) -> tuple[list[str], Revocation | None]:
    """Audits the holder of a certificate; revokes it in its file where the evidence demands it.

    Args:
        path: the certificate's file.
        place: the folder of a run, whose stored verdicts are drawn from; or cases, all of which the judge is asked.
        options: the rest.

    Returns:
        What to print, and the revocation; None where the certificate stands.

    Raises:
        UserError: no valid certificate, no verdicts of its judge, a judge that is needed and not named.
    """
    certificate = _certificate(path)
    judge, rows = _drawn(certificate, place, options)
    lines = [f"# Audit of {certificate.judge}", "", *_counts(rows)]
    waiting = [row.played.item for row in rows if row.truth is None]
    if options.draw is not None:
        lines.append(f"{options.draw}: {write_cases(options.draw, waiting)} cases wait for a label")
    checkpoint = options.checkpoint
    if checkpoint is None:
        checkpoint = max((row.played.checkpoint for row in rows), default=certificate.checkpoints[0])
    windows = reward_windows(rows)
    evidence = Evidence(
        judge=JudgeIdentity(**certificate.identity) if judge is None else judge,
        checkpoint=checkpoint,
        agreements=[bool(row.agrees) for row in rows if row.base and row.agrees is not None],
        windows=windows,
        panel=_panel_agreements(rows, options),
        attacks=_attacked(judge, rows, certificate, lines) if options.attack else (),
        repetition=1 + sum(bool(row.get("attacked")) for row in _audits(path)),
        clean_checkpoint=clean_checkpoint(path),
    )
    if judge is None:
        lines.append("The judge's identity was not compared: name it with --judge.")
    lines += [
        f"window {k}: judge {w.raw:.3f}, corrected {w.corrected:.3f} ± {w.error:.3f}" for k, w in enumerate(windows)
    ]
    found = revoke(certificate, evidence)
    remember(path, certificate, evidence, found)
    if found is None:
        return [*lines, f"STANDS: {path} is valid until {certificate.expires}"], None
    first, last = found.quarantine
    lines += [f"REVOKED: {path}", *(f"  - {reason}" for reason in found.reasons)]
    return [*lines, f"quarantined: rewards of policy checkpoints {first} to {last}; the criterion's weight is 0"], found


def reward_windows(rows: Sequence[Audited]) -> list[Window]:
    """Stretches of training in order: the judge's mean reward of a seat, raw and corrected by labels.

    The reward of a seat is the probability of the option it defends. Taken is the seat whose raw mean rose most: it is
    the one that may have learnt the judge.
    """
    seats = sorted({seat for row in rows for seat in row.played.item.defends})
    series = [_windows_of(seat, rows) for seat in seats]
    return max((s for s in series if s), key=lambda s: s[-1].raw - s[0].raw, default=[])


def _windows_of(seat: str, rows: Sequence[Audited]) -> list[Window]:
    known = [r for r in rows if r.agrees is not None and seat in r.played.item.defends]
    known.sort(key=lambda r: r.played.checkpoint)
    windows = []
    for start in range(0, len(known) - WINDOW + 1, WINDOW):
        end = start + WINDOW if start + 2 * WINDOW <= len(known) else len(known)
        part = known[start:end]
        sides = [r.played.item.defends[seat] for r in part]
        judged = [(r.verdict.probabilities or ())[side] for r, side in zip(part, sides, strict=True)]
        labels = [float(r.truth == side) for r, side in zip(part, sides, strict=True)]
        # Within a window every verdict weighs 1/π, as if it stood for that many: the ratio form of Horvitz–Thompson.
        weights = [1.0 / r.inclusion for r in part]
        raw = sum(w * f for w, f in zip(weights, judged, strict=True)) / sum(weights)
        gaps = [f - y for f, y in zip(judged, labels, strict=True)]
        gap = sum(w * g for w, g in zip(weights, gaps, strict=True)) / sum(weights)
        spread = sum((w * (g - gap)) ** 2 for w, g in zip(weights, gaps, strict=True)) ** 0.5 / sum(weights)
        windows.append(Window(raw, raw - gap, spread))
    return windows


def _certificate(path: Path) -> Certificate:
    try:
        return Certificate.load(path)
    except ValueError as error:
        raise UserError(str(error)) from None


def _drawn(certificate: Certificate, place: str, options: AuditOptions) -> tuple[Any, list[Audited]]:
    """The judge as it is now (None where it is not named), and the drawn verdicts."""
    labels = [label for file in options.ratings for label in read_labels_of(Path(file))]
    if (Path(place) / "store.sqlite").is_file():
        played = [p for p in played_cases(Path(place), "train/") if certificate.judge in p.verdicts]
        if not played:
            raise UserError(f"{place}: no verdict of {certificate.judge!r} in this run's training")
        judge = named_judge(options.judge, [p.item for p in played], options.settings) if options.judge else None
        terms = certificate.terms
        doubt = [1.0 - max(p.verdicts[certificate.judge].probabilities or (0.0,)) for p in played]
        draws = draw_audit([p.item.id for p in played], doubt, terms["audit_rate"], terms["audit_floor"], options.seed)
        at = {p.item.id: p for p in played}
        chosen = [(at[d.item], at[d.item].verdicts[certificate.judge], d.base, d.inclusion) for d in draws]
    else:
        if not options.judge:
            raise UserError(f"{place}: cases hold no verdicts; name the judge to ask with --judge")
        items = read_cases(place)
        judge = named_judge(options.judge, items, options.settings)
        verdicts = asyncio.run(ask_many(judge, [item.case for item in items]))
        chosen = [(Played(i, {}, options.checkpoint or 0), v, True, 1.0) for i, v in zip(items, verdicts, strict=True)]
    said = consensus(labels)
    return judge, [
        Audited(one, verdict, base, p, said.get(one.item.id) if one.item.label is None else one.item.label)
        for one, verdict, base, p in chosen
    ]


def consensus(labels: Sequence[Label]) -> Mapping[str, int]:
    """Item → the answer most experts gave first; items on which they are tied are left out."""
    votes: dict[str, Counter[int]] = {}
    for label in labels:
        if label.value is not None and label.repeat == 0:
            votes.setdefault(label.item, Counter())[label.value] += 1
    top = {item: count.most_common(2) for item, count in votes.items()}
    return {item: ranks[0][0] for item, ranks in top.items() if len(ranks) == 1 or ranks[0][1] > ranks[1][1]}


def _counts(rows: Sequence[Audited]) -> list[str]:
    known = [row.agrees for row in rows if row.agrees is not None]
    answers = Counter(row.truth for row in rows if row.agrees is not None)
    lines = [f"{len(rows)} verdicts drawn, {len(known)} of them with a label and an answer."]
    if known:
        constant = max(answers.values()) / len(known)  # of the judge that reads nothing, on the same cases
        lines.append(f"agreement {sum(known) / len(known):.1%}, beside {constant:.1%} of the best constant judge")
    return lines


def _panel_agreements(rows: Sequence[Audited], options: AuditOptions) -> list[bool]:
    """Whether the verdict is what most other judges say, in order; ties and silence are left out."""
    if not options.panel:
        return []
    items = [row.played.item for row in rows]
    judges = [named_judge(name, items, options.settings) for name in options.panel]
    asked = [asyncio.run(ask_many(judge, [item.case for item in items])) for judge in judges]
    agreements = []
    for k, row in enumerate(rows):
        ranks = Counter(v[k].answer for v in asked if v[k].answer is not None).most_common(2)
        if row.verdict.answer is not None and ranks and (len(ranks) == 1 or ranks[0][1] > ranks[1][1]):
            agreements.append(row.verdict.answer == ranks[0][0])
    return agreements


def _attacked(judge: Any, rows: Sequence[Audited], certificate: Certificate, lines: list[str]) -> tuple[AttackRow, ...]:
    if judge is None:
        raise UserError("--attack: name the judge to attack with --judge")
    items = [row.played.item for row in rows]
    confidence = float(certificate.terms["confidence"])
    cases, defends = [item.case for item in items], [item.defends for item in items]
    found = asyncio.run(run_attacks(judge, cases, defends, confidence=confidence))
    constant = asyncio.run(run_attacks(constant_judge(0), cases, defends, confidence=confidence))
    lines += ["", attack_table(found, certificate.terms["attack_rate"], constant), ""]
    return found


# --- what an audit leaves behind -----------------------------------------------------------------------------------


def audit_log(path: Path) -> Path:
    """The file of audits beside a certificate."""
    return path.with_name(f"{path.stem}.audits.jsonl")


def clean_checkpoint(path: Path) -> int | None:
    """The checkpoint of the last audit that had evidence and found nothing.

    Raises:
        UserError: a damaged line.
    """
    clean = [row["checkpoint"] for row in _audits(path) if not row["reasons"] and row["agreements"]]
    return clean[-1] if clean else None


def _audits(path: Path) -> list[dict[str, Any]]:
    """The audits of a certificate so far.

    Raises:
        UserError: a damaged line.
    """
    log, rows = audit_log(path), []
    if log.is_file():
        for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                rows.append({**row, "checkpoint": int(row["checkpoint"]), "reasons": row["reasons"]})
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(f"{log}, line {number}: not the record of an audit ({error})") from None
    return rows


def remember(path: Path, certificate: Certificate, evidence: Evidence, found: Revocation | None) -> None:
    """Writes an audit down beside its certificate, and a revocation into it.

    Args:
        path: the certificate's file.
        certificate: as it was.
        evidence: what the audit had.
        found: what it came to.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    row = {
        "when": now,
        "checkpoint": evidence.checkpoint,
        "agreements": len(evidence.agreements),
        "agreed": sum(evidence.agreements),
        "attacked": bool(evidence.attacks),
        "reasons": [] if found is None else list(found.reasons),
    }
    with audit_log(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    if found is not None:
        revoked = {"when": now, "reasons": found.reasons, "quarantine": found.quarantine}
        data = {"revoked": revoked, **asdict(certificate), "digest": certificate.digest}
        write_atomic(path, json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
