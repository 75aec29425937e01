"""The durable store of a run: what was acknowledged is never lost, never stored twice, never paid for twice.

SQLite in write-ahead mode with `synchronous=FULL`: when `put_many` or the outermost `batch` returns, everything in it
is on the disk; when it raises, nothing of it is. One process writes; any number read beside it.

Keys are idempotent. Putting a key that is there already changes nothing: the first stays, since it was acknowledged.

    match id                      the planned pairing, and the transcript once it is played
    (match id, judge, repeat)     one verdict; judging again adds repeats
    match id                      the rewards given when it was played
    completion key                an engine's answer to a paid call (`debate.run.cache`)
    event key                     a row of the log
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from debate.errors import Failed, UserError
from debate.run import codec
from debate.run.database import open_database
from debate.run.lock import WriterLock
from debate.transcript import Episode, Match, Transcript
from judges.types import Completion, Cost, Verdict

PAGE = 256  # rows read at a time while iterating: memory stays flat, and no read holds the log back for long


class StoreError(Failed):
    """The store could not keep what it was given (disk full, input/output error). Nothing of it was acknowledged."""


class Store:
    """A run's store. Use it as a context manager, or call `close`.

    Args:
        path: the database file. A writer creates it where there is none.
        read_only: open beside a writer, or without one; nothing can be changed.

    Raises:
        UserError: no such store, a folder that cannot be written, another writer, a damaged file, another version.
    """

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._depth = 0
        self._broken = False
        self.hurt = ""  # why the last write that failed did
        self._lock: WriterLock | None = None
        if read_only and not self.path.is_file():
            raise UserError(f"{self.path}: no such store; expected the store.sqlite of a run folder")
        if not read_only and not self.path.parent.is_dir():
            raise UserError(f"{self.path.parent}: no such folder")
        if not read_only:
            self._lock = WriterLock(self.path.with_name(self.path.name + ".lock"))
        try:
            self._db = open_database(self.path, read_only)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def close(self) -> None:
        """Closes the file and frees the right to write; doing so twice is harmless."""
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- writing ---------------------------------------------------------------------------------------------

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything put inside is kept together: acknowledged when the outermost batch ends, or not at all.

        Raises:
            UserError: the store is open read-only.
            StoreError: the disk is full, or failed; nothing of the batch was kept.
        """
        if self.read_only:
            raise UserError(f"{self.path}: opened read-only, nothing can be put")
        if self._depth:
            with self._inner_batch():
                yield
            return
        self._broken = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            with self._inner_batch():
                yield
            if self._broken:
                raise StoreError(f"{self.path}: not kept, since a part of the batch failed")
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError):
                self.hurt = str(error)
                raise StoreError(f"{self.path}: not kept ({error}); what was acknowledged before is safe") from error
            raise

    @contextmanager
    def unhurt(self) -> Iterator[None]:
        """Work whose results count only where the store kept all it was given meanwhile.

        A judge takes every failure of its engine for a failed verdict. Where it was the disk that failed, beneath the
        engine's cache, that verdict is not to be believed, nor stored once there is room again.

        Raises:
            StoreError: something was not kept.
        """
        self.hurt = ""
        yield
        if self.hurt:
            raise StoreError(f"{self.path}: an answer could not be kept ({self.hurt}); what it led to is not stored")

    @contextmanager
    def _inner_batch(self) -> Iterator[None]:
        """A part of a batch. When it fails the whole batch does, even if somebody on the way catches the error."""
        self._depth += 1
        try:
            yield
        except BaseException:
            self._broken = True
            raise
        finally:
            self._depth -= 1

    def _insert(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        with self.batch():
            before = self._db.total_changes
            self._db.executemany(f"INSERT INTO {statement} ON CONFLICT DO NOTHING", rows)
            return self._db.total_changes - before

    def plan(self, matches: Iterable[Match]) -> int:
        """Puts matches that are to be played; returns how many were new."""
        return self._insert("matches VALUES (?, ?)", ((m.id, codec.encode_match(m)) for m in matches))

    def put(self, episode: Episode) -> bool:
        """Puts one episode whole (match, transcript, verdicts, rewards); returns whether it was new."""
        return self.put_many([episode]) == 1

    def put_many(self, episodes: Iterable[Episode]) -> int:
        """Puts episodes, each whole, in one commit; returns how many were new. The episodes may be a generator."""
        new = 0
        with self.batch():
            for episode in episodes:
                new += self._put(episode)
        return new

    def _put(self, episode: Episode) -> bool:
        key, transcript = episode.match.id, episode.transcript
        if transcript.id != key:
            raise ValueError(f"an episode's transcript must carry its match's id {key!r}, got {transcript.id!r}")
        failure = None if transcript.error is None else transcript.error.kind
        self.plan([episode.match])
        row = (key, failure, codec.encode_transcript(transcript))
        if not self._insert("transcripts VALUES (?, ?, ?)", [row]):
            return False
        repeats: Counter[str] = Counter()
        rows = []
        for place, verdict in enumerate(episode.verdicts):
            rows.append((key, verdict.judge, repeats[verdict.judge], place, codec.encode_verdict(verdict)))
            repeats[verdict.judge] += 1
        self._insert("verdicts VALUES (?, ?, ?, ?, ?)", rows)
        if episode.rewards is not None:
            self._insert("rewards VALUES (?, ?)", [(key, codec.encode_rewards(episode.rewards))])
        return True

    def put_verdict(self, match_id: str, verdict: Verdict, repeat: int) -> bool:
        """Puts a verdict on a stored transcript, given after the episode; returns whether it was new.

        Args:
            match_id: which transcript.
            verdict: the verdict.
            repeat: 0, 1, …: which of the judge's verdicts on it. The panel's own verdicts count too.

        Raises:
            UserError: no such transcript.
        """
        if self.transcript(match_id) is None:
            raise UserError(f"{self.path}: no transcript {match_id!r} to put a verdict on")
        row = (match_id, verdict.judge, repeat, None, codec.encode_verdict(verdict))
        return self._insert("verdicts VALUES (?, ?, ?, ?, ?)", [row]) == 1

    def put_completions(self, completions: Mapping[str, Completion]) -> int:
        """Puts engine answers under their keys; returns how many were new."""
        rows = ((key, codec.encode_completion(c)) for key, c in completions.items())
        return self._insert("completions VALUES (?, ?)", rows)

    def log(self, kind: str, rows: Mapping[str, Mapping[str, Any]]) -> int:
        """Appends rows to the log under their keys (such as "update/000012/alice"); returns how many were new."""
        return self._insert(
            "events (kind, key, body) VALUES (?, ?, ?)",
            ((kind, key, codec.dumps(dict(row))) for key, row in rows.items()),
        )

    # --- reading ---------------------------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path}: cannot be read ({error})") from error

    def _body(self, table: str, column: str, key: str) -> str | None:
        rows = self._rows(f"SELECT body FROM {table} WHERE {column} = ?", (key,))
        return rows[0][0] if rows else None

    def __contains__(self, match_id: str) -> bool:
        """Whether the match was played."""
        return bool(self._rows("SELECT 1 FROM transcripts WHERE id = ?", (match_id,)))

    def __len__(self) -> int:
        """How many matches were played."""
        return self.count()

    def count(self, prefix: str = "") -> int:
        """How many matches were played whose id starts with `prefix`."""
        return int(self._rows(f"SELECT count(*) FROM transcripts WHERE {_STARTS}", _starts(prefix))[0][0])

    def match(self, match_id: str) -> Match | None:
        """The planned match; None where there is none."""
        body = self._body("matches", "id", match_id)
        return None if body is None else codec.decode_match(body, f"{self.path}: match {match_id}")

    def transcript(self, match_id: str) -> Transcript | None:
        """The match's transcript; None where it was not played."""
        body = self._body("transcripts", "id", match_id)
        return None if body is None else codec.decode_transcript(body, f"{self.path}: transcript {match_id}")

    def verdicts(self, match_id: str) -> list[tuple[str, int, Verdict]]:
        """Every verdict on a transcript with judge and repeat, later ones included, in order of judge and repeat."""
        query = "SELECT judge, repeat, body FROM verdicts WHERE transcript = ? ORDER BY judge, repeat"
        what = f"{self.path}: verdict on {match_id}"
        return [
            (judge, repeat, codec.decode_verdict(body, what)) for judge, repeat, body in self._rows(query, (match_id,))
        ]

    def get(self, match_id: str) -> Episode | None:
        """The episode as it was put; None where the match was not played."""
        match, transcript = self.match(match_id), self.transcript(match_id)
        if match is None or transcript is None:
            return None
        what = f"{self.path}: episode {match_id}"
        panel = "SELECT body FROM verdicts WHERE transcript = ? AND place IS NOT NULL ORDER BY place"
        verdicts = tuple(codec.decode_verdict(body, what) for (body,) in self._rows(panel, (match_id,)))
        rewards = self._body("rewards", "transcript", match_id)
        return Episode(match, transcript, verdicts, None if rewards is None else codec.decode_rewards(rewards, what))

    def ids(self, prefix: str = "") -> Iterator[str]:
        """Ids of the played matches that start with `prefix`, sorted as text (so pad numbers with zeros)."""
        return self._ids("transcripts", prefix)

    def unplayed(self, prefix: str = "") -> Iterator[Match]:
        """Planned matches that were not played yet, in the order of their ids."""
        for match_id in self._ids("matches", prefix):
            if match_id not in self:
                match = self.match(match_id)
                assert match is not None, "a planned match is never removed"
                yield match

    def _ids(self, table: str, prefix: str) -> Iterator[str]:
        # Two forms of one query, not an OR: only so does each page start at its place in the index.
        low, end = _starts(prefix)
        above = ">="
        while True:
            query = f"SELECT id FROM {table} WHERE id {above} ? AND id < ? ORDER BY id LIMIT {PAGE}"
            page = self._rows(query, (low, end))
            yield from (row[0] for row in page)
            if len(page) < PAGE:
                return
            low, above = page[-1][0], ">"

    def episodes(self, prefix: str = "") -> Iterator[Episode]:
        """Played episodes whose match id starts with `prefix` (a stage such as "train/0003/"), sorted by id.

        Memory stays flat; episodes put meanwhile may or may not appear.
        """
        for match_id in self.ids(prefix):
            episode = self.get(match_id)
            if episode is not None:
                yield episode

    def completion(self, key: str) -> Completion | None:
        """The stored answer to a call; None where it was never made."""
        body = self._body("completions", "key", key)
        return None if body is None else codec.decode_completion(body, f"{self.path}: completion {key}")

    def completions(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Key → stored answer, for those that are there."""
        return {key: found for key in dict.fromkeys(keys) if (found := self.completion(key)) is not None}

    def completions_cost(self) -> Cost:
        """What all stored answers cost when they were paid for; dollars are NaN where a price was not known."""
        parts = ", ".join(f"total(json_extract(body, '$.cost[{k}]'))" for k in range(4))
        unknown = "sum(json_extract(body, '$.cost[3]') IS NULL)"
        calls, prompt_tokens, tokens, usd, free = self._rows(f"SELECT {parts}, {unknown} FROM completions")[0]
        return Cost(int(calls), int(prompt_tokens), int(tokens), math.nan if free else float(usd))

    def events(self, kind: str, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of the log of one kind with their keys, in the order they were appended."""
        last = 0
        while True:
            query = f"SELECT id, key, body FROM events WHERE kind = ? AND id > ? ORDER BY id LIMIT {PAGE}"
            page = self._rows(query, (kind, last))
            yield from ((key, json.loads(body)) for _, key, body in page if key.startswith(prefix))
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def failures(self, prefix: str = "") -> dict[str, int]:
        """How many matches ended in a failure, by its kind."""
        failed = f"failure IS NOT NULL AND {_STARTS}"
        query = f"SELECT failure, count(*) FROM transcripts WHERE {failed} GROUP BY failure ORDER BY failure"
        return dict(self._rows(query, _starts(prefix)))

    def failed(self, most: int) -> list[str]:
        """Ids of the first matches that ended in a failure, sorted, at most so many."""
        query = "SELECT id FROM transcripts WHERE failure IS NOT NULL ORDER BY id LIMIT ?"
        return [row[0] for row in self._rows(query, (most,))]

    def check(self) -> list[str]:
        """What SQLite and the references between tables find wrong; empty when the store is sound. Reads all of it."""
        try:
            found = [row[0] for row in self._rows("PRAGMA integrity_check") if row[0] != "ok"]
            broken = self._rows("PRAGMA foreign_key_check")
        except StoreError as error:
            return [str(error)]
        what = "table {}, row {}: refers to a missing row of {}"
        return found + [what.format(table, row, parent) for table, row, parent, _ in broken]


_STARTS = "id >= ?1 AND id < ?2"  # unlike LIKE, it knows no wildcards and always uses the index


def _starts(prefix: str) -> tuple[str, str]:
    return prefix, prefix + "\U0010ffff"  # sorts after every id that starts with the prefix
