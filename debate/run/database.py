"""The SQLite file under the store: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from debate.errors import UserError
from debate.run.files import sync_folder

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0  # how long to wait for a foreign program that holds the file

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE matches (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE transcripts (id TEXT PRIMARY KEY REFERENCES matches (id), failure TEXT, body TEXT NOT NULL);
CREATE TABLE verdicts (
    transcript TEXT NOT NULL REFERENCES transcripts (id),
    judge TEXT NOT NULL,
    repeat INTEGER NOT NULL,
    place INTEGER,  -- its place in the episode's panel; NULL for a verdict given later
    body TEXT NOT NULL,
    PRIMARY KEY (transcript, judge, repeat)
);
CREATE TABLE rewards (transcript TEXT PRIMARY KEY REFERENCES transcripts (id), body TEXT NOT NULL);
CREATE TABLE completions (key TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, key)
);
"""


def open_database(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection in autocommit mode, to a store of this version; a writer creates the tables where there are none.

    Raises:
        UserError: the file cannot be opened, is no store, is damaged, or is of another version.
    """
    db = None
    try:
        db = _open_read_only(path) if read_only else _open_writer(path)
        version = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise UserError(f"{path}: cannot be opened as a store ({error}); expected a run's store.sqlite") from None
    if version is None or version[0] != str(SCHEMA_VERSION):
        db.close()
        found = "none" if version is None else version[0]
        raise UserError(f"{path}: store version {found}; this program reads version {SCHEMA_VERSION}")
    return db


def _connect(path: Path, parameters: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?{parameters}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _open_writer(path: Path) -> sqlite3.Connection:
    db = _connect(path, "mode=rwc")
    try:
        # Where a file system cannot do write-ahead logging SQLite keeps its rollback journal: as durable, only slower.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            version = f"INSERT INTO meta VALUES ('version', '{SCHEMA_VERSION}');"
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {version} COMMIT;")
            sync_folder(path.parent)
    except BaseException:
        db.close()
        raise
    return db


def _open_read_only(path: Path) -> sqlite3.Connection:
    db = _connect(path, "mode=ro")
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
        return db
    except sqlite3.OperationalError:
        db.close()
        if path.with_name(path.name + "-wal").exists():
            raise
    # A folder that may not be written has no place for the shared memory of write-ahead mode. Without a log beside it
    # the file is complete, and since nobody can be writing it, reading it as immutable is safe.
    return _connect(path, "mode=ro&immutable=1")
