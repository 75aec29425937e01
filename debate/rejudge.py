"""`debate judge RUN`: stored debates before another judge. Nothing is played; the old verdicts stay beside the new.

1. Every whole transcript's case goes to the new judges; their verdicts are stored as they come, so that a judging that
   was stopped goes on where it stopped.
2. Rewards follow by the protocol's own rules, from the recorded moves.
3. The new panel is held against the old one, and against the constant judge.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from debate.errors import UserError
from debate.play import Arena
from debate.run.files import write_atomic
from debate.run.folder import RunFolder
from debate.run.store import Store
from debate.transcript import Episode
from judges.rewards import Rewards
from judges.types import Case, Judge, Verdict

PAGE = 256  # transcripts judged in one batch, and verdicts in one commit


@dataclass(frozen=True)
class Renamed:
    """A judge under another name, so that its verdicts can stand beside those of its namesake."""

    judge: Judge
    name: str

    async def __call__(self, case: Case) -> Verdict:
        """The judge's verdict."""
        (verdict,) = await self.judge_many([case])
        return verdict

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict a case, in order."""
        from judges.judges.asking import ask_many

        return [replace(verdict, judge=self.name) for verdict in await ask_many(self.judge, cases)]


@dataclass
class Comparison:
    """The old panel, the new one and the constant judge on the same cases, by question.

    Attributes:
        rows: (question, label or None, options, old answer, new answer) of each case; an answer is an option, "tie", or
            None without a verdict.
        rewards: (policy, criterion) → [sum old, n old, sum new, n new].
        failed: new verdicts with status error. abstained: with status abstain.
        left_out: transcripts that were not played to their end, or decided by no judge.
        unpaid: transcripts whose rewards could not be computed again.
    """

    rows: list[tuple[str, int | None, int, int | str | None, int | str | None]] = field(default_factory=list)
    rewards: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    failed: int = 0
    abstained: int = 0
    left_out: int = 0
    unpaid: int = 0


def rejudge_run(
    path: Path,
    names: Sequence[str],
    alias: str = "",
    settings: Any = None,
    out: Path | None = None,
    prefix: str = "",
) -> Iterator[str]:
    """Judges a run's stored transcripts; yields what came of it, line by line.

    Args:
        path: the run's folder.
        names: of the judges that make the new panel.
        alias: the one judge's name in the store.
        settings: of language-model judges (`judging_tools.named.JudgeSettings`).
        out: a new folder for the run with the new verdicts and rewards in place of the old.
        prefix: of the match ids to judge.

    Raises:
        UserError: no run there, no such judge, a name that is taken, or a folder that is.
    """
    run = RunFolder.open(path)
    if out is not None and out.exists():
        raise UserError(f"--out {out}: is there already; expected a new folder")
    judges = [_judge(name, path, settings) for name in names]
    if alias and len(judges) != 1:
        raise UserError(f"--as {alias}: names one judge, got {len(judges)}")
    if alias:
        judges = [Renamed(judges[0], alias)]
    if len({judge.name for judge in judges}) != len(judges):
        raise UserError(f"--judge: expected judges with names of their own, got {', '.join(j.name for j in judges)}")
    arenas = _arenas(run)
    found = Comparison()
    with run.store() as store, _copy(run, out, judges) as copied:
        _claim(store, judges, prefix)
        for page in _pages(store, prefix):
            judged = _judge_page(store, page, judges, arenas, found)
            if copied is not None:
                copied.put_many(judged)
    run.add_session()
    table = compare(found, "+".join(judge.name for judge in judges))
    folder = (out or path) / "judged"
    folder.mkdir(exist_ok=True)
    place = folder / f"{_plain('+'.join(judge.name for judge in judges))}.json"
    write_atomic(place, json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    yield from lines(table)
    yield f"table: {place}"


def _judge(name: str, path: Path, settings: Any) -> Any:
    from debate.judging_tools.named import named_judge
    from debate.judging_tools.played import played_cases

    items = [one.item for one in played_cases(path)] if name.startswith("simulated") else []
    return named_judge(name, items, settings)


def _arenas(run: RunFolder) -> dict[str, Arena]:
    """The run's arenas with their rules; none where it has no recipe."""
    from debate.recipe import build_arena
    from debate.run_questions import arena_questions, recipe_of

    recipe = recipe_of(run)
    if recipe is None:
        return {}
    return {spec.name: build_arena(spec, arena_questions(run.path, spec, recipe), ()) for spec in recipe.arenas}


@contextmanager
def _copy(run: RunFolder, out: Path | None, judges: Sequence[Judge]) -> Iterator[Store | None]:
    """The store of the new folder, beside the old one; None without a folder."""
    if out is None:
        yield None
        return
    out.mkdir(parents=True)
    for name in ("checkpoints", "questions"):
        if (run.path / name).is_dir():
            shutil.copytree(run.path / name, out / name)
    if run.log_path.is_file():
        shutil.copy2(run.log_path, out / run.log_path.name)
    manifest = {**run.manifest, "judged_by": [judge.name for judge in judges]}
    write_atomic(out / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    with RunFolder.open(out).store() as store:
        yield store


def _claim(store: Store, judges: Sequence[Judge], prefix: str) -> None:
    """Makes sure that a stored verdict of a judge's name was given by this very judge."""
    known = {key: row["identity"] for key, row in store.events("judge")}
    taken = {verdict.judge for episode in store.episodes(prefix) for verdict in episode.verdicts}
    for judge in judges:
        inner = judge.judge if isinstance(judge, Renamed) else judge
        identity = {k: str(v) for k, v in dict(getattr(inner, "identity", {"name": inner.name})).items()}
        if judge.name in known and known[judge.name] != identity:
            raise UserError(
                f"judge {judge.name!r}: the run holds verdicts of another judge of that name; give --as NAME"
            )
        if judge.name not in known and judge.name in taken:
            raise UserError(
                f"judge {judge.name!r}: the run's own panel has a judge of that name; give --as NAME to judge again"
            )
        store.log("judge", {judge.name: {"identity": identity}})


def _pages(store: Store, prefix: str) -> Iterator[list[Episode]]:
    page: list[Episode] = []
    for episode in store.episodes(prefix):
        page.append(episode)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _judge_page(
    store: Store, page: Sequence[Episode], judges: Sequence[Judge], arenas: Mapping[str, Arena], found: Comparison
) -> list[Episode]:
    """The page's episodes under the new panel; what no judge decides stays as it is."""
    judged = list(page)
    places = [i for i, episode in enumerate(page) if _by_judge(episode, arenas)]
    found.left_out += len(page) - len(places)
    panels: dict[int, list[Verdict]] = {i: [] for i in places}
    for judge in judges:
        for i, verdict in _verdicts(store, page, places, judge).items():
            panels[i].append(verdict)
            found.failed += verdict.status == "error"
            found.abstained += verdict.status == "abstain"
    for i in places:
        episode = page[i]
        rewards, label = _rewards(episode, arenas.get(episode.match.arena), tuple(panels[i]))
        judged[i] = replace(episode, verdicts=tuple(panels[i]), rewards=rewards)
        found.unpaid += rewards is None
        options = len(episode.transcript.case().options)
        old, new = (_answer(e.verdicts, options) for e in (episode, judged[i]))
        found.rows.append((f"{episode.match.arena}/{episode.match.question_id}", label, options, old, new))
        _add_rewards(found, episode, judged[i])
    return judged


def _by_judge(episode: Episode, arenas: Mapping[str, Arena]) -> bool:
    arena = arenas.get(episode.match.arena)
    decided = arena is None or arena.protocol.decision.by == "judge"
    return decided and episode.transcript.error is None and len(episode.transcript.case().options) > 1


def _verdicts(store: Store, page: Sequence[Episode], places: Sequence[int], judge: Judge) -> dict[int, Verdict]:
    """One verdict a case: those the store holds are read, the others given now and stored."""
    from judges.judges.asking import ask_many

    known: dict[int, Verdict] = {}
    for i in places:
        rows = store.verdicts(page[i].match.id)
        old = next((verdict for name, _, verdict in rows if name == judge.name), None)
        if old is not None:
            known[i] = old
    asked = [i for i in places if i not in known]
    if asked:
        fresh = asyncio.run(ask_many(judge, [page[i].transcript.case() for i in asked]))
        with store.batch():
            for i, verdict in zip(asked, fresh, strict=True):
                store.put_verdict(page[i].match.id, verdict, 0)
        known.update(zip(asked, fresh, strict=True))
    return known


def _rewards(episode: Episode, arena: Arena | None, verdicts: tuple[Verdict, ...]) -> tuple[Rewards | None, int | None]:
    """The rewards by the protocol's rules, and the true option.

    Both are None where the run does not say how to pay, or its data or protocol is not what was played.
    """
    from debate.learning.stored import restate
    from debate.records import pay, record

    if arena is None:
        return None, None
    try:
        state = restate(arena, episode.transcript)
    except ValueError:  # counted, and said
        return None, None
    found = record(state, episode.transcript, verdicts)
    return pay(arena.protocol, arena.rules, found), found.label


def _add_rewards(found: Comparison, old: Episode, new: Episode) -> None:
    for place, rewards in ((0, old.rewards), (2, new.rewards)):
        if rewards is None:
            continue
        for seat, row in zip(rewards.seats, rewards.values.tolist(), strict=True):
            for name, value in zip(rewards.criteria, row, strict=True):
                if math.isfinite(value):
                    sums = found.rewards.setdefault((old.match.seats[seat], name), [0.0, 0.0, 0.0, 0.0])
                    sums[place] += value
                    sums[place + 1] += 1


def _answer(verdicts: Sequence[Verdict], options: int) -> int | str | None:
    """The option that the mean of the verdicts finds most probable, "tie", or None."""
    good = [v.probabilities for v in verdicts if v.probabilities is not None and len(v.probabilities) == options]
    if not good:
        return None
    mean = np.mean(good, axis=0)
    best = np.flatnonzero(mean >= mean.max() - 1e-9)
    return int(best[0]) if len(best) == 1 else "tie"


# --- the comparison --------------------------------------------------------------------------------------------------


def compare(found: Comparison, name: str) -> dict[str, Any]:
    """Agreement and accuracies with their intervals, clustered by question, as JSON.

    An undecided verdict counts ½ towards accuracy; it agrees with another undecided one. κ is Cohen's, chance-corrected
    agreement over the cases both panels judged.
    """
    from debate.tournaments.standings import told

    both = [row for row in found.rows if row[3] is not None and row[4] is not None]
    labelled = [row for row in found.rows if row[1] is not None]
    old = [(q, _hit(o, y)) for q, y, _, o, _ in labelled if o is not None]
    new = [(q, _hit(n, y)) for q, y, _, _, n in labelled if n is not None]
    return {
        "judge": name,
        "cases": len(found.rows),
        "failed": found.failed,
        "abstained": found.abstained,
        "left_out": found.left_out,
        "rewards_not_recomputed": found.unpaid,
        "agreement": told(_clustered([(q, float(o == n)) for q, _, _, o, n in both])),
        "kappa": _kappa([(o, n) for _, _, _, o, n in both]),
        "constant_agreement": told(_clustered([(q, float(o == "tie")) for q, _, _, o, _ in both])),
        "accuracy": {
            "old": told(_clustered(old)),
            "new": told(_clustered(new)),
            "constant": told(_clustered([(row[0], 0.5) for row in labelled])),
        },
        "rewards": [
            {"policy": policy, "criterion": criterion, "old": _mean(a, n), "new": _mean(b, m), "n": int(m)}
            for (policy, criterion), (a, n, b, m) in sorted(found.rewards.items())
        ],
    }


def _clustered(values: Sequence[tuple[str, float]]) -> Any:
    from debate.tournaments.clustered import mean_of

    places = {q: i for i, q in enumerate(dict.fromkeys(q for q, _ in values))}
    sums, counts = np.zeros(len(places)), np.zeros(len(places))
    for question, value in values:
        sums[places[question]] += value
        counts[places[question]] += 1
    return mean_of(sums, counts)


def _hit(answer: int | str | None, label: int | None) -> float:
    return 0.5 if answer == "tie" else float(answer == label)


def _kappa(pairs: Sequence[tuple[Any, Any]]) -> float | None:
    from judges.statistics.agreement import cohen_kappa

    kinds = sorted({str(x) for pair in pairs for x in pair})
    if not kinds:
        return None
    table = np.zeros((len(kinds), len(kinds)))
    for one, other in pairs:
        table[kinds.index(str(one)), kinds.index(str(other))] += 1
    value = cohen_kappa(table)
    return value if math.isfinite(value) else None


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None


def lines(table: Mapping[str, Any]) -> Iterator[str]:
    """The comparison as text."""
    from debate.tournaments.show import aligned, spanned

    yield (
        f"{table['cases']:,} cases judged by {table['judge']}: {table['failed']:,} failed, {table['abstained']:,} "
        f"abstained; {table['left_out']:,} matches left out (not played to their end, or not decided by a judge)"
    )
    accuracy, kappa = table["accuracy"], table["kappa"]
    rows = [["judge", "accuracy [95 %]", "agrees with the old verdicts [95 %]"]]
    rows.append(["old", spanned(accuracy["old"], 3), "–"])
    rows.append(["new", spanned(accuracy["new"], 3), spanned(table["agreement"], 3)])
    rows.append(["constant", spanned(accuracy["constant"], 3), spanned(table["constant_agreement"], 3)])
    yield from aligned(rows)
    yield f"Cohen's kappa of new and old: {'not known' if kappa is None else format(kappa, '.3f')}"
    if table["rewards_not_recomputed"]:
        yield f"rewards of {table['rewards_not_recomputed']:,} matches are not known: the run's data does not fit them"
    if table["rewards"]:
        head = ["policy", "criterion", "old mean", "new mean", "matches"]
        body = [
            [
                r["policy"],
                r["criterion"],
                *("–" if r[k] is None else f"{r[k]:+.3f}" for k in ("old", "new")),
                str(r["n"]),
            ]
            for r in table["rewards"]
        ]
        yield from aligned([head, *body])


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "+-_." else "-" for c in name)
