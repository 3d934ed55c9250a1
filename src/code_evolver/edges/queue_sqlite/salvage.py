"""Take over what can still be read of a damaged queue file: waiting tasks, remembered ids, dead letters, counters."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from code_evolver.edges.queue_sqlite import schema, sql

_TASKS = (
    "SELECT t.seq, t.id, t.type, 0, t.priority, t.due, t.by_priority, t.by_due, t.at, NULL, b.body"
    " FROM tasks AS t JOIN bodies AS b ON b.seq = t.seq WHERE t.seq {side} ? AND t.state < 3 ORDER BY t.seq {order}"
)
_SEEN = "SELECT seq, id, digest, at FROM seen WHERE seq {side} ? ORDER BY seq {order}"
_DEAD = (
    "SELECT key, kind, seq, id, code, reason, at, count, fingerprint, raw, body, drafts FROM dead"
    " WHERE key {side} ? ORDER BY key {order}"
)
_KEEP_DEAD = "INSERT OR IGNORE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_KEEP_TASK = (
    "INSERT INTO tasks (seq, id, type, state, priority, due, by_priority, by_due, at, ended)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LAST = (1 << 63) - 1


def salvage(db: sqlite3.Connection, damaged: Path) -> int:
    """Copy what can be read into the fresh file, one transaction; give the number of waiting tasks.

    The damaged file itself is left as it is. Each table is read from both ends up to the torn page.
    """
    db.execute("BEGIN IMMEDIATE")
    saved = 0
    with suppress(sqlite3.Error), closing(sqlite3.connect(damaged.absolute().as_uri() + "?mode=ro", uri=True)) as old:
        if old.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID:
            saved = _copy(db, old)
    db.execute("COMMIT")
    return saved


def _copy(db: sqlite3.Connection, old: sqlite3.Connection) -> int:
    last = 0
    for row in _both_ways(old, _SEEN):
        db.execute("INSERT OR IGNORE INTO seen (seq, id, digest, at) VALUES (?, ?, ?, ?)", row)
        last = max(last, row[0])
    for row in _both_ways(old, _TASKS):
        db.execute(_KEEP_TASK, row[:-1])
        db.execute(sql.PUT_BODY_BACK, (row[0], row[-1]))
        last = max(last, row[0])
    for row in _both_ways(old, _DEAD):
        db.execute(_KEEP_DEAD, row)
    (saved,) = db.execute("SELECT count(*) FROM bodies").fetchone()
    numbers: dict[str, int] = {}
    with suppress(sqlite3.Error):
        numbers = dict(old.execute(sql.COUNTERS))
    ended = sum(numbers.get(name, 0) for name in ("generated", "reused", "failed"))
    numbers |= {"seq": max(last, numbers.get("seq", 0)), "pending": saved, "received": ended + saved}
    db.executemany(sql.SET_COUNTER, [(value, name) for name, value in numbers.items() if name in schema.COUNTERS])
    return int(saved)


def _both_ways(old: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Give rows from the first on; where a torn page ends that, from the last back to it. No row twice."""
    highest = -1
    try:
        for row in old.execute(query.format(side=">", order="ASC"), (-1,)):
            highest = row[0]
            yield row
    except sqlite3.Error:
        with suppress(sqlite3.Error):
            for row in old.execute(query.format(side="<", order="DESC"), (_LAST,)):
                if row[0] <= highest:
                    return
                yield row
