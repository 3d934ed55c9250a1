"""Arriving tasks as rows, worked out by whoever puts them: the thread that writes has the longest way, and only inserts.

Numbers count from that of the last task that has come, which only the writer knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter

from code_evolver.core import lifecycle
from code_evolver.core.task import Refusal, Task
from code_evolver.edges.queue_sqlite import sql
from code_evolver.edges.queue_sqlite.codec import id_key
from code_evolver.edges.queue_sqlite.options import Options

Insert = tuple[str, list[object]]
"""A statement and its values; the first two are left for the writer: the last number given, and the time."""
_READY, _RECORDED = int(lifecycle.entry(closed=False)), int(lifecycle.entry(closed=True))


@dataclass(slots=True)
class Rows:
    """What is to be inserted."""

    options: Options
    seen: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    tasks: list[tuple[object, ...]] = field(default_factory=list)
    bodies: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, task: Task, key: bytes, mark: bytes) -> None:
        """Add a task that is remembered under `key` and by `mark` (sql.UNREAD: by what its body says)."""
        identifier, _, kind, priority, due, closed, _, written = task
        number = len(self.seen) + 1
        self.seen.append((number, key, mark))
        state = _RECORDED if closed and self.options.skip_closed else _READY
        self.tasks.append((number, identifier, kind, state, priority, due, *self.options.ranks(priority, due)))
        if state == _READY:
            self.bodies.append((number, written))

    def inserts(self) -> Iterator[Insert]:
        """Give few statements for many rows.

        executemany gives up the interpreter lock at each row, and gets it back milliseconds later where other threads work.
        """
        # In the order of their index: its pages are then gone through once, and that is a quarter of the work less.
        yield from _inserts(sql.REMEMBER, sorted(self.seen, key=itemgetter(1)))
        yield from _inserts(sql.ADD_TASK, self.tasks)
        yield from _inserts(sql.ADD_BODY, self.bodies)


def _inserts(into: sql.Into, rows: Sequence[tuple[object, ...]]) -> Iterator[Insert]:
    done = 0
    for size in sql.ROWS_AT_ONCE:
        while len(rows) - done >= size:
            yield sql.of_rows(into, size), [None, None, *chain.from_iterable(rows[done : done + size])]
            done += size


@dataclass(frozen=True, slots=True)
class Batch:
    """What one caller puts."""

    tasks: Sequence[Task]
    refusals: Sequence[Refusal]
    keys: Sequence[bytes]
    fresh: Sequence[Insert] | None
    """The inserts, should none of the ids be known; None where that is not all there is to see to."""


def batch_of(options: Options, tasks: Sequence[Task], refusals: Sequence[Refusal]) -> Batch:
    """Work out what can be known before the writer's turn."""
    keys = [id_key(task.id) for task in tasks]
    plain = len(set(keys)) == len(keys) and all(
        task.id_given and not (task.closed and options.skip_closed) for task in tasks
    )
    if not plain:
        return Batch(tasks, refusals, keys, None)
    rows = Rows(options)
    for task, key in zip(tasks, keys, strict=True):
        rows.add(task, key, sql.UNREAD)
    return Batch(tasks, refusals, keys, list(rows.inserts()))
