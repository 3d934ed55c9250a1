"""The queue file's tables, its version, and the way from older versions to this one."""

from collections.abc import Mapping, Sequence

APPLICATION_ID = 0x43455651
"""Stands in the header of our files ("CEVQ"): another program's database is not ours to write."""
VERSION = 4

_DAILY = """CREATE TABLE daily (
    day INTEGER NOT NULL, type TEXT NOT NULL, outcome TEXT NOT NULL, tasks INTEGER NOT NULL,
    tokens_in REAL NOT NULL, tokens_out REAL NOT NULL, llm_seconds REAL NOT NULL, llm_calls REAL NOT NULL,
    repairs REAL NOT NULL, PRIMARY KEY (day, type, outcome)) WITHOUT ROWID"""
"""Accounts that survive pruning; day = days since 1970 (UTC)."""
_LOADING = "ALTER TABLE daily ADD COLUMN llm_load_seconds REAL NOT NULL DEFAULT 0"

TABLES: Sequence[str] = (
    # by_priority and by_due are what the order goes by: constants where a setting turns that order off.
    """CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, state INTEGER NOT NULL,
    priority INTEGER NOT NULL, due REAL, by_priority INTEGER NOT NULL, by_due REAL NOT NULL, at REAL NOT NULL,
    not_before REAL, token TEXT, expires REAL, begun INTEGER NOT NULL DEFAULT 0, starts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    node TEXT, code TEXT, reason TEXT, ended REAL)""",
    "CREATE INDEX tasks_ready ON tasks (by_priority, by_due, seq) WHERE state = 0",
    "CREATE INDEX tasks_delayed ON tasks (not_before) WHERE state = 1",
    "CREATE INDEX tasks_leased ON tasks (expires) WHERE state = 2",
    "CREATE INDEX tasks_ended ON tasks (ended) WHERE ended IS NOT NULL",
    "CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    # In order of arrival, so that pruning takes from one end; only the index is touched at random.
    "CREATE TABLE seen (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, digest BLOB NOT NULL, at REAL NOT NULL)",
    "CREATE INDEX seen_id ON seen (id)",
    """CREATE TABLE dead (
    key INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, seq INTEGER, id TEXT NOT NULL, code TEXT NOT NULL,
    reason TEXT NOT NULL, at REAL NOT NULL, count INTEGER NOT NULL, fingerprint BLOB UNIQUE, raw BLOB NOT NULL,
    body BLOB, drafts BLOB)""",
    "CREATE TABLE reports (key INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL, attempts INTEGER NOT NULL)",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    _DAILY,
    _LOADING,
)
COUNTERS = (
    "seq",
    "received",
    "recorded",
    "generated",
    "reused",
    "failed",
    "rejected",
    "duplicates",
    "pending",
    "resumed",
)
"""Lifetime counters, kept in the transaction of what they count; "seq" is the last arrival number given."""

MIGRATIONS: Mapping[int, Sequence[str]] = {1: (_DAILY,), 2: (_LOADING,), 3: ()}
"""Version → statements that make it the next version. Version 1 had no accounts, version 2 not how long models loaded;
version 3 wrote more of a task down (core.task.read_again) and the digest of every content at once (sql.UNREAD)."""
