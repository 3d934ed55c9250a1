"""What the queue file says, for its own methods and for commands that only read.

Commands open it read-only: that works beside a running connector and after it died, and never checkpoints.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_evolver.core.errors import StoreError
from code_evolver.core.lifecycle import State
from code_evolver.core.task import read_again
from code_evolver.edges.queue_sqlite import schema, sql
from code_evolver.edges.queue_sqlite.codec import drafts_from
from code_evolver.edges.queue_sqlite.options import counters
from code_evolver.edges.queue_sqlite.trouble import mapped
from code_evolver.ports import Counts, DeadLetter

RATE_SECONDS = 60.0
"""Rates are means over so many seconds."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as `code-evolver status` lists it."""

    id: str
    type: str
    state: State
    node: str
    code: str
    reason: str
    at: float
    ended: float | None
    starts: int
    failures: int
    not_before: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """The queue at one moment. Rates are tasks a second over the last minute."""

    counts: Counts
    ready: int
    delayed: int
    leased: int
    resumed: int
    recorded: int
    received_rate: float
    ended_rate: float
    last_error: str
    last_error_at: float | None
    owner: str
    """Who opened the file last (JSON of pid, started, host); whether it still runs says the workspace's lock."""


@dataclass(frozen=True, slots=True)
class Day:
    """What one day's tasks of one type and outcome cost; `day` counts from 1970 (UTC)."""

    day: int
    type: str
    outcome: str
    tasks: int
    tokens_in: float
    tokens_out: float
    llm_seconds: float
    llm_calls: float
    repairs: float
    llm_load_seconds: float


def counts(db: sqlite3.Connection, now: float, first: int = 0) -> tuple[Counts, int]:
    """Give the counts, and the arrival number before which nothing waits (pass it as `first` next time)."""
    number = counters(db)
    oldest, since = db.execute(sql.OLDEST, (first,)).fetchone() if number["pending"] else (None, None)
    (dead,) = db.execute(sql.DEAD_COUNT).fetchone()
    found = Counts(
        generated=number["generated"], reused=number["reused"], failed=number["failed"], pending=number["pending"],
        rejected=number["rejected"], duplicates=number["duplicates"], received=number["received"], dead=dead,
        oldest_pending_seconds=None if since is None else max(0.0, now - since),
    )  # fmt: skip
    return found, first if oldest is None else oldest


def dead_letters(db: sqlite3.Connection, after: int, limit: int) -> list[DeadLetter]:
    """Give dead letters with a key above `after`, in order of their keys."""
    return [_dead_letter(row) for row in db.execute(sql.DEAD_PAGE, (after, min(limit, sql.LAST_KEY)))]


def dead_letter(db: sqlite3.Connection, key: int) -> DeadLetter | None:
    """Give one dead letter."""
    row = db.execute(sql.DEAD_ONE, (key,)).fetchone() if key <= sql.LAST_KEY else None
    return _dead_letter(row) if row else None


def dead_keys(db: sqlite3.Connection, above: int, up_to: int, limit: int) -> list[int]:
    """Give keys of dead letters in that range, in order, without reading what they hold."""
    above, up_to = min(above, sql.LAST_KEY), min(up_to, sql.LAST_KEY)
    return [key for (key,) in db.execute(sql.DEAD_KEYS, (above, up_to, limit))]


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
    key, identifier, kind, reason, code, at, count, raw, body, drafts = row
    task = read_again(body) if body is not None else None
    return DeadLetter(key, identifier, kind, reason, code, at, count, raw, task, drafts_from(drafts))


def tasks(db: sqlite3.Connection, limit: int, *, pending: bool) -> list[TaskRow]:
    """Give the latest tasks, newest first; `pending`: only those that wait, oldest first."""
    where = " WHERE state < 3 ORDER BY seq LIMIT ?" if pending else " ORDER BY seq DESC LIMIT ?"
    return [_task_row(row) for row in db.execute(sql.LATEST_TASKS + where, (limit,))]


def _task_row(row: Sequence[Any]) -> TaskRow:
    identifier, kind, state, node, code, reason, at, ended, starts, failures, not_before = row
    return TaskRow(
        identifier, kind, State(state), node or "", code or "", reason or "", at, ended, starts, failures, not_before
    )


def status(db: sqlite3.Connection, now: float) -> Status:
    """Give the queue at this moment."""
    number = counters(db)
    notes = dict(db.execute(sql.NOTES))
    ready, delayed, leased = db.execute(sql.COUNT_STATES).fetchone()
    since = now - RATE_SECONDS
    error_at = notes.get("last_error_at")
    return Status(
        counts(db, now)[0], ready, delayed, leased, number["resumed"], number["recorded"],
        received_rate=db.execute(sql.RECEIVED_SINCE, (since,)).fetchone()[0] / RATE_SECONDS,
        ended_rate=db.execute(sql.ENDED_SINCE, (since,)).fetchone()[0] / RATE_SECONDS,
        last_error=notes.get("last_error", ""),
        last_error_at=float(error_at) if error_at else None,
        owner=notes.get("owner", ""),
    )  # fmt: skip


def days(db: sqlite3.Connection) -> list[Day]:
    """Give the accounts, by day, type and outcome."""
    return [Day(*row) for row in db.execute(sql.DAYS)]


@contextmanager
def reader(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open read-only, one consistent moment for all that is read; None where there is no queue file yet.

    Raises StoreError where the file is no queue file of this version, damaged, or not readable.
    """
    if not path.exists() or path.stat().st_size == 0:
        yield None
        return
    try:
        with closing(sqlite3.connect(_address(path), uri=True, isolation_level=None, timeout=5.0)) as db:
            db.text_factory = _lenient
            db.execute("BEGIN")
            _check(db, path)
            yield db
    except sqlite3.Error as error:
        raise mapped(error, path) from error


def _lenient(text: bytes) -> str:
    """Read a text of which a disk may have changed a byte: that must not hide the others."""
    return text.decode("utf-8", "replace")


def _address(path: Path) -> str:
    """Give the URI; in a folder that we may not write, a file without a -wal can only be read as unchanging."""
    wal = Path(f"{path}-wal")
    quiet = not wal.exists() or wal.stat().st_size == 0
    unchanging = quiet and not os.access(path.parent, os.W_OK)
    return path.absolute().as_uri() + ("?immutable=1" if unchanging else "?mode=ro")


def _check(db: sqlite3.Connection, path: Path) -> None:
    (identity,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if identity != schema.APPLICATION_ID:
        raise StoreError(f"{path} is not a queue file of Code Evolver.", "Name the workspace's folder.")
    if version != schema.VERSION:
        raise StoreError(f"The queue file {path} has version {version}, this program reads {schema.VERSION}.",
                         "Start the connector once: it migrates an older file; for a newer one, upgrade.")  # fmt: skip


_NOTHING = Counts(0, 0, 0, 0, 0, 0, 0, 0, None)


def read_status(path: Path, now: float | None = None) -> Status:
    """Give the queue's status from any process; all zero where there is no queue file yet."""
    with reader(path) as db:
        if db is None:
            return Status(_NOTHING, 0, 0, 0, 0, 0, 0.0, 0.0, "", None, "")
        return status(db, time.time() if now is None else now)


def read_tasks(path: Path, limit: int, *, pending: bool = False) -> list[TaskRow]:
    """Give the latest tasks, newest first; `pending`: those that wait, oldest first."""
    with reader(path) as db:
        return [] if db is None else tasks(db, limit, pending=pending)


def read_dead_letters(path: Path, after: int = 0, limit: int = 100) -> list[DeadLetter]:
    """Give dead letters with a key above `after`, in order of their keys."""
    with reader(path) as db:
        return [] if db is None else dead_letters(db, after, limit)


def read_dead_letter(path: Path, key: int) -> DeadLetter | None:
    """Give one dead letter, None where there is none of that key."""
    with reader(path) as db:
        return None if db is None else dead_letter(db, key)


def read_last_dead_key(path: Path) -> int:
    """Give the key of the latest dead letter, 0 where there is none."""
    with reader(path) as db:
        return 0 if db is None else db.execute(sql.DEAD_LAST).fetchone()[0] or 0


def read_days(path: Path) -> list[Day]:
    """Give the accounts, by day, type and outcome."""
    with reader(path) as db:
        return [] if db is None else days(db)
