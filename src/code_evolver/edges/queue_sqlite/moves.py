"""A task's way through the queue up to its end. Runs inside the writer's transaction; what moves where says core.lifecycle."""

import math
import sqlite3
from collections.abc import Sequence

from code_evolver.core import lifecycle
from code_evolver.core.lifecycle import Event
from code_evolver.core.task import Task, read_again, unreadable
from code_evolver.edges.queue_sqlite import sql
from code_evolver.edges.queue_sqlite.ends import book, bury, finish
from code_evolver.edges.queue_sqlite.options import Options, counters, note
from code_evolver.ports import End, Lease

CRASHED = "Its worker died {count} times while it worked on this task, so it is not tried again."
UNREADABLE = "What the queue file holds of this task cannot be read any more: the disk, or another program, changed it."


def lease(db: sqlite3.Connection, options: Options, limits: Sequence[int]) -> list[tuple[list[Lease], list[End]]]:
    """Lease up to each limit of the tasks that are due, in the order in force; with each, what was given up."""
    now = options.clock()
    _bring_near(db, options, now)
    db.execute(sql.COME_DUE, (lifecycle.move(Event.COME_DUE)[1], now))
    lost = reclaim(db, options, now, now)
    return [_lease(db, options, limit, now, [] if place else lost) for place, limit in enumerate(limits)]


def _lease(
    db: sqlite3.Connection, options: Options, limit: int, now: float, lost: list[End]
) -> tuple[list[Lease], list[End]]:
    """Lease up to `limit`; what cannot be read ends here, for it would stand before all others at every lease."""
    expires = now + options.lease_seconds
    token = options.token()
    state = int(lifecycle.move(Event.LEASE)[1])
    leases: list[Lease] = []
    while rows := db.execute(sql.READY, (max(0, limit - len(leases)),)).fetchall():
        db.executemany(sql.LEASE, [(state, token, expires, row[0]) for row in rows])
        spoilt = []
        for seq, starts, failures, body in rows:
            task = read_again(body)
            held = Lease(seq, token, task or _named(db, seq, body), starts, failures, expires)
            if task is None:
                spoilt.append(End(held, "failed", reason=UNREADABLE, code="unreadable"))
            else:
                leases.append(held)
        if not spoilt:
            break
        finish(db, options, spoilt)
        lost += spoilt
    return leases, lost


def _named(db: sqlite3.Connection, seq: int, body: bytes) -> Task:
    """Give what stands for a task whose body cannot be read."""
    identifier, kind = db.execute(sql.NAMED, (seq,)).fetchone()
    return unreadable(identifier.decode("utf-8", "replace"), kind.decode("utf-8", "replace"), body)


def begin(db: sqlite3.Connection, options: Options, leases: Sequence[Lease]) -> list[bool]:
    """Count a start of each and renew its lease."""
    expires = options.clock() + options.lease_seconds
    state = int(lifecycle.move(Event.BEGIN)[0])
    return [db.execute(sql.BEGIN, (expires, held.seq, held.token, state)).rowcount == 1 for held in leases]


def postpone(db: sqlite3.Connection, options: Options, asked: Sequence[tuple[Lease, float, str, bool]]) -> list[bool]:
    """Give each back, due in so many seconds, counted as a failure or not."""
    now = options.clock()
    before, after = lifecycle.move(Event.POSTPONE)
    given = []
    for held, seconds, reason, failure in asked:
        row = (int(after), now + max(0.0, seconds), reason, int(failure), held.seq, held.token, int(before))
        given.append(db.execute(sql.POSTPONE, row).rowcount == 1)
        if failure and given[-1]:
            note(db, "last_error", reason)
            note(db, "last_error_at", str(now))
    return given


def release(db: sqlite3.Connection, leases: Sequence[Lease]) -> list[bool]:
    """Give leases back unworked, due now."""
    before, after = lifecycle.move(Event.RELEASE)
    rows = [(int(after), held.seq, held.token, int(before)) for held in leases]
    return [db.execute(sql.RELEASE, row).rowcount == 1 for row in rows]


def reclaim(db: sqlite3.Connection, options: Options, expired_at: float, now: float) -> list[End]:
    """Take back leases that expired; a task that took its worker down too often becomes a dead letter, and is given."""
    lost: list[End] = []
    for seq, crashes in db.execute(sql.EXPIRED, (expired_at,)).fetchall():
        if not lifecycle.worn_out(crashes):
            db.execute(sql.RECLAIM, (int(lifecycle.move(Event.RECLAIM)[1]), crashes, seq))
            continue
        reason = CRASHED.format(count=crashes)
        db.execute(sql.CRASH, (int(lifecycle.move(Event.CRASH)[1]), crashes, "crashed", reason, now, seq))
        (body,) = db.execute(sql.BODY, (seq,)).fetchone() or (b"",)
        task = read_again(body) or _named(db, seq, body)
        bury(db, seq, task, "crashed", reason, now)
        lost.append(End(Lease(seq, "", task, crashes, 0, 0.0), "failed", reason=reason, code="crashed"))
    book(db, options, lost, now)
    return lost


def recover(db: sqlite3.Connection, options: Options) -> tuple[int, list[End]]:
    """Reset former leases, clamp due times, set the number pending right; give it, and what was given up."""
    now = options.clock()
    lost = reclaim(db, options, math.inf, now)
    _bring_near(db, options, now)
    pending = sum(db.execute(sql.COUNT_STATES).fetchone())
    if counters(db)["pending"] != pending:
        db.execute(sql.SET_COUNTER, (pending, "pending"))
    return int(pending), lost


def _bring_near(db: sqlite3.Connection, options: Options, now: float) -> None:
    """Clamp due times and expiries that lie further ahead than any wait: the clock was set back since."""
    for clamp, longest in ((sql.CLAMP_DUE, options.longest_wait), (sql.CLAMP_EXPIRY, options.lease_seconds)):
        db.execute(clamp, (now + longest, now + longest))


def next_due(db: sqlite3.Connection, options: Options) -> float | None:
    """Say when something can be leased: now, when a postponed task comes due, or when a lease runs out."""
    now = options.clock()
    if db.execute(sql.FIRST_READY).fetchone():
        return now
    firsts = ((sql.FIRST_DELAYED, options.longest_wait), (sql.FIRST_EXPIRY, options.lease_seconds))
    times = [(db.execute(query).fetchone()[0], now + longest) for query, longest in firsts]
    return min((min(time, latest) for time, latest in times if time is not None), default=None)
