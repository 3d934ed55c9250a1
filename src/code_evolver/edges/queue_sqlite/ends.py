"""How tasks end: outcome, counters, accounts, dead letter and report; dead letters put back or dropped; pruning.

Runs inside the writer's transaction.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence

from code_evolver.core import lifecycle
from code_evolver.core.lifecycle import Event
from code_evolver.core.task import Task, read_again
from code_evolver.edges.queue_sqlite import sql
from code_evolver.edges.queue_sqlite.codec import as_json, digest_key, object_from
from code_evolver.edges.queue_sqlite.options import Options, count, counters, note
from code_evolver.ports import End, Report

USAGE = ("tokens_in", "tokens_out", "llm_seconds", "llm_calls", "repairs", "llm_load_seconds")
REPORT_TRIES = 5
"""An outcome that the hub answered with an error so often is not told again."""
PRUNE_STEP = 5_000
"""Rows that one pruning transaction takes at most: it must not hold up what arrives."""


def finish(db: sqlite3.Connection, options: Options, ends: Sequence[End]) -> list[bool]:
    """End tasks; False where the lease was lost, and then nothing is changed for it."""
    now = options.clock()
    done = [_end(db, end, now) for end in ends]
    kept = [end for end, good in zip(ends, done, strict=True) if good]
    drop_bodies(db, [(end.lease.seq, end.lease.task) for end in kept if end.outcome != "failed"])
    book(db, options, kept, now)
    return done


def book(db: sqlite3.Connection, options: Options, ends: Sequence[End], now: float) -> None:
    """Count ends, put them in the accounts, and leave their reports for the hub."""
    counted: Counter[str] = Counter(end.outcome for end in ends)
    counted["pending"] = -len(ends)
    count(db, counted)
    _account(db, ends, now)
    if options.reports:
        db.executemany(sql.ADD_REPORT, [(as_json(_report(end)),) for end in ends])


def _end(db: sqlite3.Connection, end: End, now: float) -> bool:
    before, after = lifecycle.move(lifecycle.ENDS[end.outcome])
    row = (int(after), end.node, end.code, end.reason, now, end.lease.seq, end.lease.token, int(before))
    if db.execute(sql.END, row).rowcount != 1:
        return False
    if end.outcome == "failed":
        bury(db, end.lease.seq, end.lease.task, end.code, end.reason, now, as_json(list(end.drafts)))
    return True


def drop_bodies(db: sqlite3.Connection, tasks: Sequence[tuple[int, Task]]) -> None:
    """Drop what tasks of these numbers were written down as; what they are recognised by goes before."""
    db.executemany(sql.READ_CONTENT, [(digest_key(task.digest), seq) for seq, task in tasks])
    db.executemany(sql.DROP_BODY, [(seq,) for seq, _ in tasks])


def bury(
    db: sqlite3.Connection, seq: int, task: Task, code: str, reason: str, now: float, drafts: bytes | None = None
) -> None:
    """Make a dead letter of a task, with its raw object, and drop its body from the queue."""
    db.execute(sql.BURY, (seq, task.id, code, reason, now, task.received, task.written, drafts))
    drop_bodies(db, [(seq, task)])
    note(db, "last_error", reason)
    note(db, "last_error_at", str(now))


def _report(end: End) -> dict[str, str]:
    return {"taskId": end.lease.task.id, "nodeId": end.node, "status": end.outcome, "reason": end.reason}


def _account(db: sqlite3.Connection, ends: Sequence[End], now: float) -> None:
    sums: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0] * (1 + len(USAGE)))
    for end in ends:
        total = sums[end.lease.task.type, end.outcome]
        total[0] += 1
        for place, name in enumerate(USAGE, 1):
            total[place] += end.usage.get(name, 0.0)
    day = int(now // 86400)
    db.executemany(sql.ADD_DAY, [(day, *key, int(total[0]), *total[1:]) for key, total in sums.items()])


def retry_dead(db: sqlite3.Connection, options: Options, keys: Sequence[int]) -> list[bool]:
    """Put dead tasks back as they came; False where there is no such dead task, or none that can be read.

    Refused elements are no tasks.
    """
    now = options.clock()
    return [_revive(db, options, key, now) for key in keys]


def _revive(db: sqlite3.Connection, options: Options, key: int, now: float) -> bool:
    found = db.execute(sql.DEAD_TASK, (key,)).fetchone() if key <= sql.LAST_KEY else None
    seq, identifier, body = found or (0, "", b"")
    task = read_again(body)
    if task is None:
        return False
    state = int(lifecycle.move(Event.RETRY)[1])
    row = (identifier, task.type, state, task.priority, task.due, *options.ranks(task.priority, task.due), now)
    if db.execute(sql.REVIVE, (seq, *row)).rowcount != 1:  # a damaged file lost its number, and another task has it
        db.execute(sql.COUNT, (1, "seq"))
        seq = counters(db)["seq"]
        db.execute(sql.REVIVE, (seq, *row))
    db.execute(sql.PUT_BODY_BACK, (seq, body))
    db.execute(sql.DROP_DEAD, (key,))
    db.executemany(sql.COUNT, [(1, "resumed"), (1, "pending"), (-1, "failed")])
    return True


def drop_dead(db: sqlite3.Connection, keys: Sequence[int]) -> list[bool]:
    """Forget dead letters; the tasks stay counted as failed."""
    return [key <= sql.LAST_KEY and db.execute(sql.DROP_DEAD, (key,)).rowcount == 1 for key in keys]


def reports(db: sqlite3.Connection, limit: int) -> list[Report]:
    """Give reports that the hub has not answered, oldest first; one that can be read no more is dropped."""
    rows = [(key, object_from(stored), tries) for key, stored, tries in db.execute(sql.REPORTS, (limit,)).fetchall()]
    db.executemany(sql.DROP_REPORT, [(key,) for key, payload, _ in rows if payload is None])
    return [Report(key, payload, tries) for key, payload, tries in rows if payload is not None]


def reported(db: sqlite3.Connection, answers: Sequence[tuple[int, bool]]) -> list[None]:
    """Drop reports that the hub took; count an error answer, and drop at the fifth."""
    for key, failed in answers:
        if failed:
            db.execute(sql.FAIL_REPORT, (key,))
            db.execute(sql.DROP_TRIED_REPORTS, (key, REPORT_TRIES))
        else:
            db.execute(sql.DROP_REPORT, (key,))
    return [None] * len(answers)


def prune(db: sqlite3.Connection, options: Options, now: float) -> int:
    """Take one step of pruning: ended tasks and remembered ids over age or number. Give the rows taken."""
    taken = db.execute(sql.PRUNE_AGED, (now - options.keep_done, PRUNE_STEP)).rowcount
    surplus = db.execute(sql.ENDED_COUNT).fetchone()[0] - options.keep_done_at_most
    if surplus > 0:
        taken += db.execute(sql.PRUNE_OLDEST, (min(surplus, PRUNE_STEP),)).rowcount
    taken += db.execute(sql.FORGET_BEFORE, (PRUNE_STEP, now - options.forget_after)).rowcount
    first, last = db.execute(sql.SEEN_RANGE).fetchone()
    if first is not None and last - first >= options.remember_at_most:
        taken += db.execute(sql.FORGET_UP_TO, (last - options.remember_at_most, PRUNE_STEP)).rowcount
    return int(taken)
