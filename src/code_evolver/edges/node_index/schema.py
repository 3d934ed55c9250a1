"""index.db: its tables, and how it is opened. All of it can be made anew from nodes/."""

import contextlib
import os
import sqlite3
from pathlib import Path

from code_evolver.edges.node_index.trouble import damaged, mapped

BUSY_SECONDS = 5.0
"""How long a statement waits for another program that has the file locked."""
_APPLICATION_ID = 0x43454958  # "CEIX"
_VERSION = 2
TABLES = """
CREATE TABLE nodes (
  number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, node_key TEXT NOT NULL, program_key TEXT NOT NULL, task_type TEXT NOT NULL,
  source_task TEXT NOT NULL, sha256 TEXT NOT NULL, generator TEXT NOT NULL, covers TEXT NOT NULL, title TEXT NOT NULL,
  summary TEXT NOT NULL, version INTEGER NOT NULL, rating TEXT NOT NULL DEFAULT ''
);
CREATE INDEX by_node_key ON nodes (node_key, number);
CREATE INDEX by_program_key ON nodes (program_key, number);
CREATE INDEX by_sha256 ON nodes (sha256, number);
CREATE INDEX by_type ON nodes (task_type, number);
CREATE INDEX by_original ON nodes (task_type, number) WHERE generator != 'copy' AND rating != 'bad';
CREATE INDEX originals ON nodes (number) WHERE generator != 'copy' AND rating != 'bad';
CREATE INDEX by_bad ON nodes (program_key, sha256) WHERE rating = 'bad';
CREATE TABLE lessons (
  program_key TEXT NOT NULL, task_type TEXT NOT NULL, rule TEXT NOT NULL, message TEXT NOT NULL, count INTEGER NOT NULL,
  number INTEGER NOT NULL, PRIMARY KEY (program_key, rule, message)
);
CREATE INDEX lessons_by_type ON lessons (task_type, count);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
WORDS = "CREATE VIRTUAL TABLE words USING fts5 (words, content='', tokenize=\"unicode61\")"


class _Foreign(sqlite3.DatabaseError):
    """The file is whole, and not ours."""


def open_database(path: Path, busy_seconds: float = BUSY_SECONDS) -> tuple[sqlite3.Connection, list[str]]:
    """Open, or make, index.db; give it with notices. A damaged or foreign file is set aside, an older one made anew.

    Raises StoreError (locked, not ours to write, disk) or DiskFull: the file is then left as it is.
    """
    with mapped(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path, busy_seconds), []
        except sqlite3.DatabaseError as error:
            if not isinstance(error, _Foreign) and not damaged(error):
                raise
            kept = set_aside(path)
            notice = f"index.db could not be used ({error}); it was kept as {kept.name} and is made anew from nodes/"
            return _connect(path, busy_seconds), [notice]


def _connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=busy_seconds)
    try:
        version = _version(connection)
        if 0 < version < _VERSION:  # ours, of an earlier day: nothing in it that nodes/ does not say
            connection.close()
            _remove(path)
            return _connect(path, busy_seconds)
        # Rebuildable from nodes/: a lost last transaction costs a look at the folder at the next start, so no sync a commit.
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000;")
        if not version:
            connection.executescript(
                f"{TABLES} PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={_VERSION};"
            )
            with contextlib.suppress(sqlite3.OperationalError):  # an SQLite without FTS5: LIKE serves, slower
                connection.execute(WORDS)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    """Give the version of our file, 0 for an empty one. Raises _Foreign for any other."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return 0
    if application != _APPLICATION_ID or version > _VERSION:
        raise _Foreign("another program's or version's file")
    return version


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def has_words(connection: sqlite3.Connection) -> bool:
    """Say whether full-text search is there."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone() is not None


def set_aside(path: Path) -> Path:
    """Rename a damaged file, with SQLite's companions, to the first free `<name>.damaged-<n>`."""
    number = 1
    while os.path.lexists(path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.name}.damaged-{number}{suffix}"))
    return path.with_name(f"{path.name}.damaged-{number}")
