"""Every statement on the queue file, by name. State numbers are those of core.lifecycle.State.

A partial index serves a query only where its condition stands there word for word: hence literal numbers.
"""

from functools import lru_cache
from typing import NamedTuple

LOOKUPS = (4, 32, 500)
"""Ids that one look-up takes: few sizes, so that each statement is compiled once."""
KNOWN_IDS = {
    size: f"SELECT seq, id, digest, at FROM seen WHERE id IN ({','.join('?' * size)})"  # noqa: S608 - question marks only
    for size in LOOKUPS
}
LAST_KEY = (1 << 63) - 1
"""SQLite takes no larger number: there is no row of one."""
UNREAD = b""
"""Stands for the digest of a content until somebody needs it: a waiting task's body says it."""
READ_CONTENT = "UPDATE seen SET digest = ? WHERE seq = ? AND digest = x''"
REFUSE = (
    "INSERT INTO dead (kind, id, code, reason, at, count, fingerprint, raw) VALUES ('refused', ?, 'not_a_task', ?, ?, 1, ?, ?)"
    " ON CONFLICT (fingerprint) DO UPDATE SET count = count + 1, at = excluded.at"
)
ROWS_AT_ONCE = (512, 64, 8, 1)
"""Rows that one INSERT takes: few sizes, so that each statement is compiled once. SQLite allows 32,766 values."""


class Into(NamedTuple):
    """An INSERT of many rows: ?1 is the number before the first one's, ?2 the time, {0} and so on a row's own values."""

    table: str
    row: str
    width: int


REMEMBER = Into("seen (seq, id, digest, at)", "(?1 + {0}, {1}, {2}, ?2)", 3)
ADD_TASK = Into(
    "tasks (seq, id, type, state, priority, due, by_priority, by_due, at, ended)",
    "(?1 + {0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, ?2, CASE {3} WHEN 6 THEN ?2 END)", 8,
)  # fmt: skip
ADD_BODY = Into("bodies (seq, body)", "(?1 + {0}, {1})", 2)
PUT_BODY_BACK = "INSERT INTO bodies (seq, body) VALUES (?, ?)"


@lru_cache(maxsize=32)
def of_rows(into: Into, rows: int) -> str:
    """Give the statement for so many rows."""
    values = (into.row.format(*(f"?{first + place}" for place in range(into.width)))
              for first in range(3, 3 + rows * into.width, into.width))  # fmt: skip
    return f"INSERT INTO {into.table} VALUES {','.join(values)}"  # noqa: S608 - names and numbers of ours only


COUNT = "UPDATE counters SET value = value + ? WHERE name = ?"
COUNTERS = "SELECT name, value FROM counters"
SET_COUNTER = "UPDATE counters SET value = ? WHERE name = ?"
NOTE = "INSERT INTO notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
NOTES = "SELECT name, value FROM notes"

COME_DUE = "UPDATE tasks SET state = ?, not_before = NULL WHERE state = 1 AND not_before <= ?"
READY = (
    "SELECT t.seq, t.starts, t.failures, b.body FROM tasks AS t INDEXED BY tasks_ready JOIN bodies AS b ON b.seq = t.seq"
    " WHERE t.state = 0 ORDER BY t.by_priority, t.by_due, t.seq LIMIT ?"
)
LEASE = "UPDATE tasks SET state = ?, token = ?, expires = ?, begun = 0 WHERE seq = ?"
BEGIN = "UPDATE tasks SET starts = starts + 1, begun = 1, expires = ? WHERE seq = ? AND token = ? AND state = ?"
END = (
    "UPDATE tasks SET state = ?, node = ?, code = ?, reason = ?, ended = ?, token = NULL, expires = NULL"
    " WHERE seq = ? AND token = ? AND state = ?"
)
POSTPONE = (
    "UPDATE tasks SET state = ?, begun = 0, not_before = ?, reason = ?, failures = failures + ?, token = NULL, expires = NULL"
    " WHERE seq = ? AND token = ? AND state = ?"
)
RELEASE = (
    "UPDATE tasks SET state = ?, begun = 0, token = NULL, expires = NULL WHERE seq = ? AND token = ? AND state = ?"
)
# A start that never came back counts as a crash; one that was postponed or released in order does not.
EXPIRED = "SELECT seq, crashes + begun FROM tasks WHERE state = 2 AND expires <= ?"
RECLAIM = "UPDATE tasks SET state = ?, crashes = ?, begun = 0, token = NULL, expires = NULL WHERE seq = ?"
CRASH = "UPDATE tasks SET state = ?, crashes = ?, code = ?, reason = ?, ended = ?, token = NULL, expires = NULL WHERE seq = ?"
CLAMP_DUE = "UPDATE tasks SET not_before = ? WHERE state = 1 AND not_before > ?"
CLAMP_EXPIRY = "UPDATE tasks SET expires = ? WHERE state = 2 AND expires > ?"
FIRST_READY = "SELECT 1 FROM tasks WHERE state = 0 LIMIT 1"
FIRST_DELAYED = "SELECT min(not_before) FROM tasks WHERE state = 1"
FIRST_EXPIRY = "SELECT min(expires) FROM tasks WHERE state = 2"
COUNT_STATES = (
    "SELECT (SELECT count(*) FROM tasks WHERE state = 0), (SELECT count(*) FROM tasks WHERE state = 1),"
    " (SELECT count(*) FROM tasks WHERE state = 2)"
)
# Tasks wait in the order of their arrival, but for those that were put back: they wait since then. So the one that waits
# longest is the first, or stands behind some that were put back: behind more than so many it is not looked for.
OLDEST = (
    "SELECT min(seq), min(at) FROM (SELECT seq, at FROM tasks WHERE seq >= ? AND state < 3 ORDER BY seq LIMIT 1000)"
)
REORDER = (
    "UPDATE tasks SET by_priority = CASE WHEN ?1 THEN priority ELSE 0 END,"
    " by_due = CASE WHEN ?2 THEN coalesce(due, ?3) ELSE ?3 END WHERE state < 3"
)

NAMED = "SELECT CAST(id AS BLOB), CAST(type AS BLOB) FROM tasks WHERE seq = ?"
BODY = "SELECT body FROM bodies WHERE seq = ?"
DROP_BODY = "DELETE FROM bodies WHERE seq = ?"
BURY = "INSERT INTO dead (kind, seq, id, code, reason, at, count, raw, body, drafts) VALUES ('task', ?, ?, ?, ?, ?, 1, ?, ?, ?)"
DEAD = "SELECT key, id, kind, reason, code, at, count, raw, body, drafts FROM dead"
DEAD_PAGE = DEAD + " WHERE key > ? ORDER BY key LIMIT ?"
DEAD_ONE = DEAD + " WHERE key = ?"
DEAD_LAST = "SELECT max(key) FROM dead"
DEAD_KEYS = "SELECT key FROM dead WHERE key > ? AND key <= ? ORDER BY key LIMIT ?"
DEAD_COUNT = "SELECT count(*) FROM dead"
DEAD_TASK = "SELECT seq, id, body FROM dead WHERE key = ? AND kind = 'task' AND seq IS NOT NULL AND body IS NOT NULL"
DROP_DEAD = "DELETE FROM dead WHERE key = ?"
REVIVE = (
    "INSERT INTO tasks (seq, id, type, state, priority, due, by_priority, by_due, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (seq) DO UPDATE SET state = excluded.state, by_priority = excluded.by_priority, by_due = excluded.by_due,"
    " at = excluded.at, starts = 0, crashes = 0, failures = 0, code = NULL, reason = NULL, ended = NULL"
    " WHERE tasks.id = excluded.id AND tasks.state = 5"
)
ADD_DAY = (
    "INSERT INTO daily VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (day, type, outcome) DO UPDATE SET"
    " tasks = tasks + excluded.tasks, tokens_in = tokens_in + excluded.tokens_in,"
    " tokens_out = tokens_out + excluded.tokens_out, llm_seconds = llm_seconds + excluded.llm_seconds,"
    " llm_calls = llm_calls + excluded.llm_calls, repairs = repairs + excluded.repairs,"
    " llm_load_seconds = llm_load_seconds + excluded.llm_load_seconds"
)
DAYS = (
    "SELECT day, type, outcome, tasks, tokens_in, tokens_out, llm_seconds, llm_calls, repairs, llm_load_seconds"
    " FROM daily ORDER BY 1, 2, 3"
)

ADD_REPORT = "INSERT INTO reports (payload, attempts) VALUES (?, 0)"
REPORTS = "SELECT key, payload, attempts FROM reports ORDER BY key LIMIT ?"
DROP_REPORT = "DELETE FROM reports WHERE key = ?"
FAIL_REPORT = "UPDATE reports SET attempts = attempts + 1 WHERE key = ?"
DROP_TRIED_REPORTS = "DELETE FROM reports WHERE key = ? AND attempts >= ?"

LATEST_TASKS = "SELECT id, type, state, node, code, reason, at, ended, starts, failures, not_before FROM tasks"
ENDED_SINCE = "SELECT count(*) FROM tasks WHERE ended > ? AND state <> 6"
RECEIVED_SINCE = "SELECT count(*) FROM (SELECT at FROM seen ORDER BY seq DESC LIMIT 100000) WHERE at > ?"

PRUNE_AGED = (
    "DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks WHERE ended IS NOT NULL AND ended < ?"
    " ORDER BY ended LIMIT ?)"
)
ENDED_COUNT = "SELECT count(*) FROM tasks WHERE ended IS NOT NULL"
PRUNE_OLDEST = "DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks WHERE ended IS NOT NULL ORDER BY ended LIMIT ?)"
FORGET_BEFORE = "DELETE FROM seen WHERE seq IN (SELECT seq FROM seen ORDER BY seq LIMIT ?) AND at < ?"
SEEN_RANGE = "SELECT (SELECT min(seq) FROM seen), (SELECT max(seq) FROM seen)"
FORGET_UP_TO = "DELETE FROM seen WHERE seq IN (SELECT seq FROM seen WHERE seq <= ? ORDER BY seq LIMIT ?)"

# For a file that was damaged (opening, salvage).
RAISE_SEQ = (
    "UPDATE counters SET value = max(value, coalesce((SELECT max(seq) FROM seen), 0),"
    " coalesce((SELECT max(seq) FROM tasks), 0)) WHERE name = 'seq'"
)
BODY_COUNT = "SELECT count(*) FROM bodies"
SENSELESS = (
    "DELETE FROM tasks WHERE state NOT BETWEEN 0 AND 6 OR (state > 2) <> (ended IS NOT NULL)",
    "DELETE FROM tasks WHERE state < 3 AND seq NOT IN (SELECT seq FROM bodies)",
)
DROP_ENDED_BODIES = "DELETE FROM bodies WHERE seq IN (SELECT seq FROM tasks WHERE state > 2)"
RESTART = (
    "UPDATE tasks SET state = 0, not_before = NULL, token = NULL, expires = NULL, crashes = crashes + begun, begun = 0"
    " WHERE state < 3"
)
BODIES_ALONE = (
    "SELECT b.seq, b.body, s.at FROM bodies AS b LEFT JOIN seen AS s ON s.seq = b.seq"
    " WHERE b.seq NOT IN (SELECT seq FROM tasks)"
)
AT_LEAST = {
    "seq": (
        "SELECT max(seq) FROM (SELECT max(seq) AS seq FROM seen UNION ALL SELECT max(seq) FROM tasks"
        " UNION ALL SELECT max(seq) FROM dead)"
    ),
    "generated": (
        "SELECT max((SELECT count(*) FROM tasks WHERE state = 3),"
        " (SELECT coalesce(sum(tasks), 0) FROM daily WHERE outcome = 'generated'))"
    ),
    "reused": (
        "SELECT max((SELECT count(*) FROM tasks WHERE state = 4),"
        " (SELECT coalesce(sum(tasks), 0) FROM daily WHERE outcome = 'reused'))"
    ),
    "failed": (
        "SELECT max((SELECT count(*) FROM tasks WHERE state = 5), (SELECT count(*) FROM dead WHERE kind = 'task'))"
    ),
    "recorded": "SELECT count(*) FROM tasks WHERE state = 6",
    "rejected": "SELECT sum(count) FROM dead WHERE kind = 'refused'",
}
"""Counter → the least that it can be, as the rows say."""
