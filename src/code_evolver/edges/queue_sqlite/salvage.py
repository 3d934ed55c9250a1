"""Take over what can still be read of a damaged queue file: every table of the schema, row by row, and counters that fit.

The damaged file itself is left as it is.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from code_evolver.core.task import Refusal, read_again
from code_evolver.edges.queue_sqlite import schema, sql
from code_evolver.edges.queue_sqlite.codec import refusal_key
from code_evolver.edges.queue_sqlite.options import NO_DUE, Options

Row = tuple[Any, ...]
_KINDS: Mapping[str, tuple[type, ...]] = {"INTEGER": (int,), "REAL": (float, int), "TEXT": (str,), "BLOB": (bytes,)}
"""What a column of each kind may hold; other values are a flipped bit's."""
_END = 1 << 53
"""No number of ours comes near it."""
_UNREADABLE = "The queue file was damaged, and nothing but these bytes is left of the task."


class Saved(NamedTuple):
    """What came of it."""

    waiting: int = 0
    """Waiting tasks that were taken over."""
    known: int = 0
    """How many had waited, as far as the damaged file says."""
    left_out: int = 0
    """Rows that could be read, and make no sense."""


def salvage(db: sqlite3.Connection, damaged: Path, options: Options) -> Saved:
    """Copy what can be read into the fresh file, one transaction. Raises sqlite3.Error of the fresh file only."""
    if damaged.stat().st_size == 0:  # nothing to read, and SQLite would delete the -wal beside it
        return Saved()
    db.execute("BEGIN IMMEDIATE")
    numbers: dict[str, int] = {}
    left_out = 0
    with closing(sqlite3.connect(damaged.absolute().as_uri() + "?mode=ro", uri=True)) as old:
        old.text_factory = _text
        if _is_ours(old):
            _keep_sequences(db, old)
            left_out = sum(_copy(db, old, table) for table in _tables(db) if table != "counters")
            numbers = _numbers(old)
    left_out += _make_whole(db, options)
    waiting = _count(db, numbers)
    db.execute("COMMIT")
    return Saved(waiting, max(waiting, numbers.get("pending", 0)), left_out)


def _text(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored  # which no text column may hold: the row is left out, and the reading goes on


def _is_ours(old: sqlite3.Connection) -> bool:
    with suppress(sqlite3.Error):
        return bool(old.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID)
    return False


def _tables(db: sqlite3.Connection) -> list[str]:
    return [
        name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name[:7] != "sqlite_"
    ]


# ── row by row ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _copy(db: sqlite3.Connection, old: sqlite3.Connection, table: str) -> int:
    """Copy the rows of a table; give how many were left out. What the fresh file says already (notes) stays."""
    columns, keys = _columns(db, old, table)
    names = ", ".join(columns)
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - names of ours
    kinds = [_KINDS[kind] for kind in columns.values()]
    left_out = 0
    for row in _rows(old, table, names, keys) if columns else ():
        if not _fits(row, kinds) or (db.execute(insert, row).rowcount != 1 and table != "notes"):
            left_out += 1
    return left_out


def _columns(db: sqlite3.Connection, old: sqlite3.Connection, table: str) -> tuple[dict[str, str], dict[str, str]]:
    """Give the columns that both files have, and those of them that are its key: name → kind."""
    ours = {row[1]: (row[2], row[5]) for row in db.execute(f"PRAGMA table_info({table})")}
    with suppress(sqlite3.Error):
        there = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
        both = {name: kind for name, (kind, _) in ours.items() if name in there}
        return both, {name: kind for name, kind in both.items() if ours[name][1]}
    return {}, {}


def _fits(row: Row, kinds: Sequence[tuple[type, ...]]) -> bool:
    """Say whether each value is of its column's kind; that a column may not be empty is left to the fresh file."""
    return all(
        value is None or (isinstance(value, kind) and not (type(value) is int and not -_END < value < _END))
        for value, kind in zip(row, kinds, strict=True)
    )


def _rows(old: sqlite3.Connection, table: str, names: str, keys: Mapping[str, str]) -> Iterator[Row]:
    select = f"SELECT {names} FROM {table}"  # noqa: S608 - names of ours only
    if list(keys.values()) == ["INTEGER"]:
        (key,) = keys
        return (row[1:] for row in _by_number(old, select.replace("SELECT ", f"SELECT {key}, "), key))
    return _from_both_ends(old, select, list(keys))


def _by_number(old: sqlite3.Connection, select: str, key: str) -> Iterator[Row]:
    """Give rows in order of their numbers; past torn pages in steps that double, and then back to what was stepped over."""
    done, start, step = 0, 0, 1
    while start < _END:
        found = _read(old, f"{select} WHERE {key} >= ? ORDER BY {key}", start)
        try:
            first = next(found, None)
        except sqlite3.Error:
            start, step = start + step, step * 2
            continue
        if start > done:
            with suppress(sqlite3.Error):
                yield from _read(old, f"{select} WHERE {key} >= ? AND {key} < ? ORDER BY {key} DESC", done, start)
        try:
            for row in chain([first] if first else (), found):
                done = row[0] + 1
                yield row
        except sqlite3.Error:
            start, step = done, 1
        else:
            return


def _from_both_ends(old: sqlite3.Connection, select: str, keys: Sequence[str]) -> Iterator[Row]:
    """Give rows of a small table from the first on, and from the last back: none twice."""
    given: set[Row] = set()
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error):
            for row in _read(old, f"{select} ORDER BY {', '.join(f'{key} {order}' for key in keys)}"):
                if row not in given:
                    given.add(row)
                    yield row


def _read(old: sqlite3.Connection, query: str, *values: int) -> Iterator[Row]:
    """Give rows up to the first that cannot be read. Raises sqlite3.Error there."""
    given = 0
    try:
        for given, row in enumerate(old.execute(query, values), 1):  # noqa: B007 - the count is wanted
            yield row
    except sqlite3.Error:  # met when the cursor looked ahead: it has kept the row before to itself
        yield from old.execute(f"{query} LIMIT 1 OFFSET {given}", values)
        raise


def _keep_sequences(db: sqlite3.Connection, old: sqlite3.Connection) -> None:
    """Keep which keys were given last: a person may know one of a dead letter that is gone, so none is given twice."""
    for name, last in _from_both_ends(old, "SELECT name, seq FROM sqlite_sequence", ["rowid"]):
        if name in _tables(db) and _fits((last,), [(int,)]):
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))


# ── what belongs together ────────────────────────────────────────────────────────────────────────────────────────────
def _make_whole(db: sqlite3.Connection, options: Options) -> int:
    """See to it that exactly the waiting tasks have bodies, due now, in the order in force; give the rows left out."""
    left_out = sum(db.execute(statement).rowcount for statement in sql.SENSELESS)
    db.execute(sql.DROP_ENDED_BODIES)
    db.execute(sql.RESTART)
    now = options.clock()
    for seq, body, at in db.execute(sql.BODIES_ALONE):
        if not _make_row(db, seq, body, now if at is None else at):
            left_out += 1
            db.execute(sql.REFUSE, ("", _UNREADABLE, now, refusal_key(Refusal(0, "", _UNREADABLE, body)), body))
            db.execute(sql.DROP_BODY, (seq,))
    db.execute(sql.REORDER, (options.use_priority, options.use_due_date, NO_DUE))
    return left_out


def _make_row(db: sqlite3.Connection, seq: int, body: bytes, at: float) -> bool:
    """Make the row of a waiting task from its body; False where that says none."""
    task = read_again(body)
    if task is None:
        return False
    db.execute(sql.REVIVE, (seq, task.id, task.type, 0, task.priority, task.due, 0, NO_DUE, at))
    return True


def _numbers(old: sqlite3.Connection) -> dict[str, int]:
    found = _from_both_ends(old, sql.COUNTERS, ["name"])
    return {name: value for name, value in found if name in schema.COUNTERS and _fits((value,), [(int,)]) and value > 0}


def _count(db: sqlite3.Connection, numbers: Mapping[str, int]) -> int:
    """Set the counters: what the old ones say, but at least what the rows say; give the number of waiting tasks."""
    counted = {name: max(numbers.get(name, 0), 0) for name in schema.COUNTERS}
    for name, query in sql.AT_LEAST.items():
        counted[name] = max(counted[name], db.execute(query).fetchone()[0] or 0)
    (waiting,) = db.execute(sql.BODY_COUNT).fetchone()
    ended = sum(counted[name] for name in ("generated", "reused", "failed"))
    counted |= {"pending": waiting, "received": ended + waiting}
    db.executemany(sql.SET_COUNTER, [(value, name) for name, value in counted.items()])
    return int(waiting)
