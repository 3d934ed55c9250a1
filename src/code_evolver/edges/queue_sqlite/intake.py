"""Tasks and refusals come in: recognised, ordered, stored. Runs inside the writer's transaction."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter

from code_evolver.core import lifecycle
from code_evolver.core.lifecycle import Put
from code_evolver.core.task import Refusal, Task, read_again
from code_evolver.edges.queue_sqlite import sql
from code_evolver.edges.queue_sqlite.codec import digest_key, id_key, refusal_key
from code_evolver.edges.queue_sqlite.options import Options, count, counters

Contents = dict[bytes, float]
"""Digest → when it was accepted, of one id."""
_READY, _RECORDED = int(lifecycle.entry(closed=False)), int(lifecycle.entry(closed=True))


@dataclass(slots=True)
class _Rows:
    """What is to be inserted, and the number of the last task that has come."""

    seq: int = 0
    seen: list[tuple[int, bytes, bytes, float]] = field(default_factory=list)
    tasks: list[tuple[object, ...]] = field(default_factory=list)
    bodies: list[tuple[int, bytes]] = field(default_factory=list)


def put(db: sqlite3.Connection, options: Options, items: Sequence[Task | Refusal]) -> list[Put | None]:
    """Accept tasks and refusals; one Put a task, None a refusal, in order."""
    tasks = [item for item in items if isinstance(item, Task)]
    counted: Counter[str] = Counter()
    verdicts: list[Put] = []
    if tasks:
        rows = _Rows(counters(db)["seq"])
        verdicts = _admit(db, options, tasks, rows)
        _store(db, rows)
        accepted, known = len(rows.bodies), len(rows.seen)
        counted.update(
            seq=known, received=accepted, pending=accepted, recorded=known - accepted, duplicates=len(tasks) - known
        )
    _refuse(db, [item for item in items if isinstance(item, Refusal)], options.clock(), counted)
    count(db, counted)
    if len(verdicts) == len(items):
        return [*verdicts]
    left = iter(verdicts)
    return [next(left) if isinstance(item, Task) else None for item in items]


def _admit(db: sqlite3.Connection, options: Options, tasks: Sequence[Task], rows: _Rows) -> list[Put]:
    keys = [id_key(task.id) for task in tasks]
    known = _known(db, sorted(keys))
    first: dict[bytes, Task] = {}  # the first content of an id that came in this batch: read when a second one comes
    now = options.clock()
    verdicts: list[Put] = []
    for task, key in zip(tasks, keys, strict=True):
        closed = task.closed and options.skip_closed
        if key not in known and key not in first and task.id_given and not closed:
            first[key] = task
            verdict: Put = "queued"
            _add(rows, options, task, key, sql.UNREAD, now)
        else:
            contents = known.setdefault(key, {})
            if key in first:
                contents[digest_key(first.pop(key).digest)] = now
            digest = digest_key(task.digest)
            verdict = lifecycle.admit(contents, digest, id_given=task.id_given, closed=closed, now=now)
            if verdict != "duplicate":
                mark = lifecycle.as_recorded(digest) if closed else digest
                contents[mark] = now
                _add(rows, options, task, key, mark, now)
        verdicts.append(verdict)
    return verdicts


def _add(rows: _Rows, options: Options, task: Task, key: bytes, mark: bytes, now: float) -> None:
    rows.seq = seq = rows.seq + 1
    rows.seen.append((seq, key, mark, now))
    identifier, _, kind, priority, due, closed, _, written = task
    if closed and options.skip_closed:
        state, ended = _RECORDED, now
    else:
        state, ended = _READY, None
        rows.bodies.append((seq, written))
    rows.tasks.append((seq, identifier, kind, state, priority, due, *options.ranks(priority, due), now, ended))


def _known(db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Contents]:
    known: dict[bytes, Contents] = {}
    largest = sql.LOOKUPS[-1]
    for start in range(0, len(keys), largest):
        some = keys[start : start + largest]
        size = next(size for size in sql.LOOKUPS if size >= len(some))
        padded = [*some, *([some[0]] * (size - len(some)))]
        for seq, key, digest, at in db.execute(sql.KNOWN_IDS[size], padded).fetchall():
            contents = known.setdefault(key, {})
            mark = digest or _read_content(db, seq)
            contents[mark] = max(at, contents.get(mark, at))
    return known


def _read_content(db: sqlite3.Connection, seq: int) -> bytes:
    """Work out what a waiting task's content is recognised by, and remember it."""
    found = db.execute(sql.BODY, (seq,)).fetchone()
    if found is None:  # lost with a page of a damaged file: whatever comes under the id is new
        return sql.UNREAD
    digest = digest_key(read_again(found[0]).digest)
    db.execute(sql.READ_CONTENT, (digest, seq))
    return digest


def _store(db: sqlite3.Connection, rows: _Rows) -> None:
    if rows.seen:
        # In the order of the index: its pages are then gone through once, and that is a quarter of the work less.
        _insert(db, sql.REMEMBER, sorted(rows.seen, key=itemgetter(1)))
        _insert(db, sql.ADD_TASK, rows.tasks)
        _insert(db, sql.ADD_BODY, rows.bodies)


def _insert(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert many rows with few statements.

    executemany gives up the interpreter lock at each row, and gets it back milliseconds later where other threads work.
    """
    done = 0
    for size in sql.ROWS_AT_ONCE:
        many = sql.of_rows(statement, size)
        while len(rows) - done >= size:
            db.execute(many, list(chain.from_iterable(rows[done : done + size])))
            done += size


def _refuse(db: sqlite3.Connection, refusals: Iterable[Refusal], now: float, counted: Counter[str]) -> None:
    rows = [(item.id, item.reason, now, refusal_key(item), item.raw) for item in refusals]
    if rows:
        db.executemany(sql.REFUSE, rows)
        counted["rejected"] += len(rows)
