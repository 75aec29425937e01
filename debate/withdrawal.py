"""What follows when a judge loses its certificate while a run trains under it (charter, step 9).

1. Every criterion of that arena which reads the judge's verdicts weighs exactly 0 from the next update on; verifiers,
   counts and other arenas keep paying.
2. The rewards it gave since the last clean audit, and all it gives later, are in quarantine: they stay in the store as
   they were acknowledged, a mark beside them says so, and whoever learns from the store gets "abstain" in their place.
3. The mark is durable before the update begins, so an interrupted run goes on as the uninterrupted one would.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from debate.run.store import Store
from debate.transcript import Episode
from judges.rewards import Rewards

KIND = "withdrawn"  # of the store's events
_VERSION = re.compile(r"-v(\d+)$")


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A judge that may not pay any more.

    Attributes:
        arena: where it judged.
        judge: its name.
        criteria: what it paid; these weigh 0.
        reasons: why.
        first: the first policy checkpoint whose rewards are in quarantine; so are all later ones.
        update: how many updates were done when it was found out.
    """

    arena: str
    judge: str
    criteria: tuple[str, ...]
    reasons: tuple[str, ...]
    first: int
    update: int

    def covers(self, episode: Episode) -> bool:
        """Whether rewards of this episode are in quarantine."""
        judged = any(verdict.judge == self.judge for verdict in episode.verdicts)
        return judged and episode.match.arena == self.arena and checkpoint_of(episode) >= self.first


def checkpoint_of(episode: Episode) -> int:
    """The newest policy version that took part; 0 where none has a version."""
    versions = (_VERSION.search(policy) for policy in episode.transcript.seats.values())
    return max((int(found[1]) for found in versions if found), default=0)


def mark(store: Store, withdrawal: Withdrawal) -> None:
    """Marks rewards as quarantined, durably; a judge that is marked already stays as it was marked first."""
    store.log(KIND, {f"{withdrawal.arena}/{withdrawal.judge}": asdict(withdrawal)})


def marks(store: Store) -> list[Withdrawal]:
    """The judges that lost their certificate in this run, in the order in which they were found out."""
    return [
        Withdrawal(
            row["arena"], row["judge"], tuple(row["criteria"]), tuple(row["reasons"]), row["first"], row["update"]
        )
        for _, row in store.events(KIND)
    ]


def without_quarantined(episode: Episode, withdrawals: Sequence[Withdrawal]) -> Episode:
    """The episode with "abstain" in the place of quarantined rewards; itself where it has none."""
    gone = {name for one in withdrawals if one.covers(episode) for name in one.criteria}
    rewards = episode.rewards
    if rewards is None or not gone.intersection(rewards.criteria):
        return episode
    values, columns = rewards.values.copy(), [c for c, name in enumerate(rewards.criteria) if name in gone]
    values[:, columns] = math.nan
    status = tuple(tuple("abstain" if c in columns else s for c, s in enumerate(row)) for row in rewards.status)
    return replace(episode, rewards=Rewards(values, rewards.criteria, status, rewards.seats))


def quarantined(store: Store, withdrawals: Sequence[Withdrawal], prefix: str = "train/") -> dict[str, int]:
    """`arena/judge` → how many played episodes have a known reward of it in quarantine."""
    counts = {f"{one.arena}/{one.judge}": 0 for one in withdrawals}
    for episode in store.episodes(prefix) if withdrawals else ():
        for one in withdrawals:
            counts[f"{one.arena}/{one.judge}"] += one.covers(episode) and _pays(episode.rewards, one.criteria)
    return counts


def _pays(rewards: Rewards | None, criteria: Iterable[str]) -> bool:
    if rewards is None:
        return False
    columns = [c for c, name in enumerate(rewards.criteria) if name in criteria]
    return any(row[c] == "ok" for row in rewards.status for c in columns)


# --- what the certificate's file says ------------------------------------------------------------------------------


def first_quarantined(path: Path, judge: Any, update: int) -> int:
    """The first policy checkpoint whose rewards are not clean, by the certificate and the audits beside it.

    Where the certificate was revoked, its file says so. Where it is not valid for another reason (a changed judge, a
    checkpoint or a day out of range), rewards are clean up to the last audit that found nothing. Where it cannot be
    read at all, nothing is known to be clean.
    """
    from debate.judging_tools.auditing import clean_checkpoint
    from judges.charter.certificate import Certificate
    from judges.charter.revocation import Evidence, revoke

    written = read_raw(path).get("revoked")
    if isinstance(written, Mapping):
        quarantine = written.get("quarantine")
        if isinstance(quarantine, list) and quarantine and isinstance(quarantine[0], int):
            return min(quarantine[0], update)
        return 0
    try:
        found = revoke(Certificate.load(path), Evidence(judge, update, clean_checkpoint=clean_checkpoint(path)))
    except ValueError:  # not readable, or the log of its audits is not: nothing is known to be clean
        return 0
    return 0 if found is None else min(found.quarantine[0], update)


def read_raw(path: Path) -> dict[str, Any]:
    """The certificate's file as it stands, valid or not; empty where it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
