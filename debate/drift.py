"""A run audits its own judges: held-out questions with known answers, debated by the policies as they are now.

A judge that was blessed on other debates may be worth less on those that trained policies make, or may have been
changed behind its name. So every `every` updates, and once more after the last, the current policies debate `items`
held-out questions, drawn uniformly. Whether the verdicts are the labels is the evidence: of all audits of the run so
far, in their order. The charter decides as in `debate audit` (`judges.charter.revocation`): the file of a revoked
certificate says so, the judge's criteria weigh 0 from the next update on, and its rewards since the last clean audit
are in quarantine (`debate.withdrawal`).

An audit's debates are stored as they are played, so an interrupted run goes on with the same evidence. Each audit
leaves a line beside the certificate and one in the run's store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from debate.judging import certificate_of
from debate.judging_tools.auditing import Audited, remember, reward_windows
from debate.judging_tools.played import played_case
from debate.recipe import ArenaSpec
from debate.recipes.specs import AuditSpec
from debate.seeds import generator
from debate.session import Session, Tally, live_seats
from debate.transcript import Episode, Match
from judges.charter.certificate import Certificate
from judges.charter.revocation import Evidence, revoke
from judges.types import Judge

KIND = "audits"  # of the store's events
STAGE = "audit"


def audit_judges(session: Session) -> None:
    """Audits every judge that is due after so many updates; what is found is durable before this returns.

    Nothing happens before the first update, nor to a judge whose certificate is not valid any more.
    """
    for spec in session.recipe.arenas:
        for judge_spec, judge in zip(spec.judges, session.arenas[spec.name].judges, strict=True):
            plan, path = judge_spec.options.get("audit"), certificate_of(judge_spec, session.recipe)
            if plan is not None and path is not None and _due(session, plan):
                _audit(session, spec, judge, plan, path)
    if any(judge.options.get("audit") for spec in session.recipe.arenas for judge in spec.judges):
        session.tallies[STAGE] = Tally()
        for _, episode in _stored(session):
            session.tallies[STAGE].count(episode)


def audits(session: Session) -> list[dict[str, Any]]:
    """What the audits of this run found, in their order, for the summary."""
    rows = [row for _, row in session.store.events(KIND) if row["update"] <= session.update]
    return sorted(rows, key=lambda row: row["update"])


def _due(session: Session, plan: AuditSpec) -> bool:
    done = session.update
    return done > 0 and (done % plan.every == 0 or done == session.recipe.training.updates)


def _audit(session: Session, spec: ArenaSpec, judge: Judge, plan: AuditSpec, path: Path) -> None:
    checkpoint = min(session.update, session.recipe.training.updates - 1)  # the last under which anybody is paid
    try:
        certificate = Certificate.load(path)
    except ValueError:  # revoked, or not to be read: `Session.check_trust` says so
        return
    if certificate.problems(judge, checkpoint):  # not valid for this run: no reason to revoke it for every other one
        return
    past = [row for row in audits(session) if (row["arena"], row["judge"]) == (spec.name, judge.name)]
    known = any(row["update"] == session.update for row in past)
    if known and not past[-1]["reasons"]:
        return
    # 1. The debates of this audit: played, or read where they were played before.
    for _ in session.play(STAGE, _matches(session, spec, plan), advance=False):
        pass
    # 2. All that was audited so far.
    rows = dict(_rows(session, spec, judge))
    agreements = [bool(row.agrees) for row in rows.values() if row.agrees is not None]
    latest = [
        bool(row.agrees)
        for match, row in rows.items()
        if match.startswith(_prefix(session.update)) and row.agrees is not None
    ]
    # A small audit that cannot show a drop is not yet clean: its own verdicts must have kept the agreement asked for.
    kept = float(certificate.terms["agreement"])
    passed = [row for row in past if not row["reasons"] and row["items"] and row["agreed"] >= kept * row["items"]]
    evidence = Evidence(
        judge=judge,
        checkpoint=checkpoint,
        agreements=agreements,
        windows=reward_windows(list(rows.values())),
        clean_checkpoint=passed[-1]["checkpoint"] if passed else None,
    )
    found = revoke(certificate, evidence)
    # 3. In the store first, then beside the certificate: a revocation that is cut off between the two is found again.
    record = {
        "update": session.update,
        "arena": spec.name,
        "judge": judge.name,
        "checkpoint": checkpoint,
        "items": len(latest),
        "agreed": sum(latest),
        "agreements": len(agreements),
        "reasons": [] if found is None else list(found.reasons),
    }
    session.store.log(KIND, {f"{session.update:05d}/{spec.name}/{judge.name}": record})
    remember(path, certificate, evidence, found)
    if not known:
        session.progress.say(told(record))


def _prefix(update: int) -> str:
    return f"{STAGE}/{update:05d}/"


def _matches(session: Session, spec: ArenaSpec, plan: AuditSpec) -> list[Match]:
    """The audit's debates: the current policies on questions drawn without replacement, one match each."""
    questions = session.arenas[spec.name].questions
    labelled = [q for q in session.test_ids[spec.name] if questions[q].label is not None]
    rng = generator(session.recipe.seed, STAGE, spec.name, session.update)
    drawn = rng.permutation(len(labelled))[: plan.items]
    seats, prefix = live_seats(session, spec), _prefix(session.update)
    return [Match(f"{prefix}{spec.name}/{labelled[i]}", spec.name, labelled[i], dict(seats)) for i in drawn]


def _stored(session: Session) -> Iterator[tuple[int, Episode]]:
    """(update, episode) of the audits so far; not of updates that are about to be made again."""
    for episode in session.store.episodes(f"{STAGE}/"):
        update = int(episode.match.id.split("/")[1])
        if update <= session.update:
            yield update, episode


def _rows(session: Session, spec: ArenaSpec, judge: Judge) -> Iterator[tuple[str, Audited]]:
    """Match id → a verdict of the judge with its label, audit by audit. All are drawn alike, so all weigh the same."""
    questions = session.arenas[spec.name].questions
    for _, episode in _stored(session):
        if episode.match.arena != spec.name:
            continue
        one = played_case(episode, questions[episode.match.question_id].label)
        if one is not None and judge.name in one.verdicts:
            yield episode.match.id, Audited(one, one.verdicts[judge.name], True, 1.0, one.item.label)


def told(row: Mapping[str, Any]) -> str:
    """What an audit found, in one line."""
    found = f"REVOKED: {'; '.join(row['reasons'])}" if row["reasons"] else "its certificate stands"
    return (
        f"audit after update {row['update']}, arena {row['arena']}: judge {row['judge']!r} agrees with "
        f"{row['agreed']} of {row['items']} labels; {found}"
    )
