"""A whole scripted tournament with its durable store: time a match, memory, and the same rows in plain SQLite.

python -m benchmarks.tournament [MATCHES]
"""

from __future__ import annotations

import resource
import sqlite3
import sys
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from debate.agents.agent import Agent
from debate.agents.scripted import SCRIPTS, ScriptedSpeaker
from debate.data import load_questions
from debate.play import Arena
from debate.progress import Silent
from debate.protocol.load import load_protocol
from debate.run.codec import encode_match, encode_rewards, encode_transcript, encode_verdict
from debate.run.store import Store
from debate.tournaments.budget import Meter
from debate.tournaments.formats import rounds
from debate.tournaments.pairing import Field
from debate.tournaments.play import WAVE, play_tournament, waves
from debate.tournaments.results import Results
from debate.tournaments.spec import Plan
from debate.tournaments.standings import standings
from debate.transcript import Policy
from judges.judges.scripted import constant_judge
from judges.rules import make_rule

ENTRANTS = 10


def scene(matches):
    """A round robin of ten agents that say two sentences each, of about so many matches."""
    protocol = load_protocol("debate_simultaneous", {"rounds": 1})
    pairs = ENTRANTS * (ENTRANTS - 1)
    count = max(1, matches // pairs)
    base = load_questions({"adapter": "evidence", "n": 4, "limit": count}, 0)
    names = tuple(f"agent{k}-v0" for k in range(ENTRANTS))
    speaker = ScriptedSpeaker(SCRIPTS["random_legal"])
    cast = {name: Agent(Policy(name[:-3], 0, "scripted"), speaker) for name in names}
    rules = {c.name: make_rule(c.rule, **c.params) for c in protocol.rewards}
    arena = Arena("bench", protocol, {q.id: q for q in base}, (constant_judge(),), rules)
    field = Field("bench", protocol, names, ("A", "B"), {}, tuple(base), 0)
    plan = Plan("round_robin", names, count, 1, 1, matches, 1, 0.0, "win", False, False, 1)
    return field, plan, arena, cast


def memory():
    """Most memory the process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Watch(Silent):
    """Notes memory as the tournament goes on."""

    def __init__(self):
        self.done, self.seen = 0, []

    def advance(self, steps=1, note=""):
        """Adds a reading."""
        self.done += steps
        self.seen.append((self.done, memory()))


def ours(path, matches):
    """(matches, seconds in all, seconds of the processor, memory over time) of the tournament."""
    field, plan, arena, cast = scene(matches)
    watch = Watch()
    with Store(path) as store:
        results = Results(field, plan.criterion)
        clock, processor = time.perf_counter(), time.process_time()
        play_tournament(field, plan, arena, cast, store, results, Meter(), watch, WAVE)
        standings(results)
        spent = time.perf_counter() - clock, time.process_time() - processor
    return results.matches, *spent, watch.seen


def plain(source, path):
    """Seconds in which SQLite alone takes the same rows, in commits of the same size: the floor of durability."""
    with Store(source, read_only=True) as store:
        field, plan, _, _ = scene(len(store))
        matches = islice(next(rounds(field, plan, Results(field, "win"))), len(store))
        db = sqlite3.connect(path, isolation_level=None)
        db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE matches (id TEXT PRIMARY KEY, body); CREATE TABLE transcripts (id TEXT PRIMARY KEY, body);"
            "CREATE TABLE verdicts (id TEXT PRIMARY KEY, body); CREATE TABLE rewards (id TEXT PRIMARY KEY, body);"
        )
        seconds = 0.0
        for wave in waves(matches, WAVE):
            rows = []
            for match in wave:
                episode = store.get(match.id)
                parts = (
                    encode_match(episode.match),
                    encode_transcript(episode.transcript),
                    encode_verdict(episode.verdicts[0]),
                    encode_rewards(episode.rewards),
                )
                rows.append([(match.id, part) for part in parts])
            clock = time.perf_counter()
            db.execute("BEGIN")
            for k, table in enumerate(("matches", "transcripts", "verdicts", "rewards")):
                db.executemany(f"INSERT INTO {table} VALUES (?, ?)", [row[k] for row in rows])
            db.execute("COMMIT")
            seconds += time.perf_counter() - clock
        db.close()
    return seconds


def main():
    """Prints one row of numbers."""
    matches = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store.sqlite"
        count, seconds, processor, seen = ours(store, matches)
        size = store.stat().st_size / 2**20
        floor = plain(store, Path(folder) / "plain.sqlite")
    early = next(m for done, m in seen if done >= count // 10)
    print(f"{count:,} matches: {seconds:.1f} s, {1000 * seconds / count:.3f} ms a match, durable writes included")
    print(f"processor time: {1000 * processor / count:.3f} ms a match; store {size:.0f} MiB")
    print(f"plain SQLite inserts of the same rows: {1000 * floor / count:.3f} ms a match ({seconds / floor:.1f}x)")
    print(f"memory: {early:.0f} MiB after a tenth, {seen[-1][1]:.0f} MiB at the end")


if __name__ == "__main__":
    main()
