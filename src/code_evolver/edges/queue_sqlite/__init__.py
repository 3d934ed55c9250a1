"""The queue on SQLite, the standard library's own: one file, one writing thread, one sync a burst.

sql schema           every statement by name · tables, version, migrations
opening salvage      look at the file, set it aside, migrate · take over what can be read of a damaged one
intake moves ends    tasks come in · are leased, postponed, given back · end, with counters, dead letters, reports
writer reserve       the thread with group commit · room kept for ends on a full disk
reading              counts, status, dead letters: for the port, and read-only for commands
"""

from code_evolver.edges.queue_sqlite.reading import (
    Day,
    Status,
    TaskRow,
    read_days,
    read_dead_letter,
    read_dead_letters,
    read_last_dead_key,
    read_status,
    read_tasks,
)
from code_evolver.edges.queue_sqlite.store import SqliteQueue

__all__ = [
    "Day",
    "SqliteQueue",
    "Status",
    "TaskRow",
    "read_days",
    "read_dead_letter",
    "read_dead_letters",
    "read_last_dead_key",
    "read_status",
    "read_tasks",
]
