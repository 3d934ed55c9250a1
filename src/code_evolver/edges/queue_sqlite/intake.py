"""Tasks and refusals come in: recognised, ordered, stored. Runs inside the writer's transaction."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from code_evolver.core import lifecycle
from code_evolver.core.lifecycle import Put
from code_evolver.core.task import Refusal, Task, read_again
from code_evolver.edges.queue_sqlite import sql
from code_evolver.edges.queue_sqlite.batch import Batch, Insert, Rows
from code_evolver.edges.queue_sqlite.codec import digest_key, refusal_key
from code_evolver.edges.queue_sqlite.options import Options, count, counters

Contents = dict[bytes, float]
"""Digest → when it was accepted, of one id."""


def put(db: sqlite3.Connection, options: Options, batches: Sequence[Batch]) -> list[list[Put]]:
    """Accept what callers put; for each the verdicts on its tasks, in order."""
    now = options.clock()
    last = counters(db)["seq"]
    counted: Counter[str] = Counter()
    verdicts: list[list[Put]] = []
    for batch in batches:
        known = _known(db, batch.keys)
        if batch.fresh is not None and not known:
            verdicts.append(["queued"] * len(batch.tasks))
            inserts = batch.fresh
        else:
            rows = Rows(options)
            verdicts.append(_admit(batch, known, rows, now))
            inserts = list(rows.inserts())
        _insert(db, inserts, last + counted["seq"], now)
        _count(counted, verdicts[-1])
        _refuse(db, batch.refusals, now, counted)
    count(db, counted)
    return verdicts


def _admit(batch: Batch, known: dict[bytes, Contents], rows: Rows, now: float) -> list[Put]:
    """Decide on each task in turn: ids may be known, or come twice."""
    first: dict[bytes, Task] = {}  # the first content of an id that came in this batch: read when a second one comes
    verdicts: list[Put] = []
    for task, key in zip(batch.tasks, batch.keys, strict=True):
        closed = task.closed and rows.options.skip_closed
        if key not in known and key not in first and task.id_given and not closed:
            first[key] = task
            verdict: Put = "queued"
            rows.add(task, key, sql.UNREAD)
        else:
            contents = known.setdefault(key, {})
            if key in first:
                contents[digest_key(first.pop(key).digest)] = now
            digest = digest_key(task.digest)
            verdict = lifecycle.admit(contents, digest, id_given=task.id_given, closed=closed, now=now)
            if verdict != "duplicate":
                mark = lifecycle.as_recorded(digest) if closed else digest
                contents[mark] = now
                rows.add(task, key, mark)
        verdicts.append(verdict)
    return verdicts


def _count(counted: Counter[str], verdicts: Sequence[Put]) -> None:
    duplicates, recorded = verdicts.count("duplicate"), verdicts.count("recorded")
    come = len(verdicts) - duplicates
    accepted = come - recorded
    counted.update(seq=come, received=accepted, pending=accepted, recorded=recorded, duplicates=duplicates)


def _known(db: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Contents]:
    known: dict[bytes, Contents] = {}
    keys = sorted(keys)  # in the order of their index
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
    task = read_again(found[0]) if found else None
    if task is None:  # the file was damaged: whatever comes under the id is new
        return sql.UNREAD
    digest = digest_key(task.digest)
    db.execute(sql.READ_CONTENT, (digest, seq))
    return digest


def _insert(db: sqlite3.Connection, inserts: Iterable[Insert], last: int, now: float) -> None:
    for statement, values in inserts:
        values[:2] = last, now
        db.execute(statement, values)


def _refuse(db: sqlite3.Connection, refusals: Sequence[Refusal], now: float, counted: Counter[str]) -> None:
    rows = [(item.id, item.reason, now, refusal_key(item), item.raw) for item in refusals]
    if rows:
        db.executemany(sql.REFUSE, rows)
        counted["rejected"] += sum(item.elements for item in refusals)
