"""What a queue is opened with, and the small things that all its moves share."""

import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from code_evolver.edges.queue_sqlite import sql

NO_DUE = 1e18
"""Where no due date stands in the order: behind every date."""


@dataclass(slots=True)
class Options:
    """How the queue behaves; `reports` may be switched while it is open."""

    clock: Callable[[], float] = time.time
    token: Callable[[], str] = lambda: secrets.token_hex(8)
    max_failures: int = 5
    use_priority: bool = True
    use_due_date: bool = True
    skip_closed: bool = True
    """Record closed tasks instead of working on them."""
    reports: bool = False
    lease_seconds: float = 3600.0
    longest_wait: float = 900.0
    """The longest backoff, seconds: no due time may lie further ahead, for the clock may be set back at any time."""
    reserve_bytes: int = 1 << 20
    cache_kib: int = 16 * 1024
    forget_after: float = 90 * 86400.0
    remember_at_most: int = 10_000_000
    keep_done: float = 7 * 86400.0
    keep_done_at_most: int = 100_000

    def ranks(self, priority: int, due: float | None) -> tuple[int, float]:
        """Give what a task's place goes by, before its arrival."""
        return priority if self.use_priority else 0, NO_DUE if due is None or not self.use_due_date else due


def count(db: sqlite3.Connection, counted: Counter[str]) -> None:
    """Add to the lifetime counters, in the transaction under way."""
    changed = [(number, name) for name, number in counted.items() if number]
    if changed:
        db.executemany(sql.COUNT, changed)


def counters(db: sqlite3.Connection) -> dict[str, int]:
    """Read the lifetime counters."""
    return dict(db.execute(sql.COUNTERS))


def note(db: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a remark (the last error, who works, the order in force)."""
    db.execute(sql.NOTE, (name, value))
