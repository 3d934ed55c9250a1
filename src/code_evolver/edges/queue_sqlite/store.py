"""The queue's port on SQLite: each method is a job for the writer thread."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self, cast

from code_evolver.core.task import Refusal, Task
from code_evolver.edges.queue_sqlite import ends, intake, moves, reading
from code_evolver.edges.queue_sqlite.batch import batch_of
from code_evolver.edges.queue_sqlite.opening import open_file
from code_evolver.edges.queue_sqlite.options import Options
from code_evolver.edges.queue_sqlite.reserve import Reserve
from code_evolver.edges.queue_sqlite.writer import Step, Writer
from code_evolver.ports import Counts, DeadLetter, End, Lease, Put, Report

AT_ONCE = 5_000
"""Tasks that are made ready at a stretch; then everybody else on the event loop has a turn."""


class SqliteQueue:
    """Durable tasks in one SQLite file. Use from one event loop; open it while holding the workspace's lock.

    `notices`: sentences for a person about what opening found (a file set aside, a migration).
    """

    def __init__(self, writer: Writer, options: Options, notices: Sequence[str]) -> None:
        self.notices = list(notices)
        self._writer = writer
        self._options = options
        self._oldest = 0
        self._lost: list[End] = []
        # One object a step, made once: the writer merges jobs whose steps are the same.
        self._put: Step = partial(_with, intake.put, options)
        self._lease: Step = partial(_with, moves.lease, options)
        self._begin: Step = partial(_with, moves.begin, options)
        self._finish: Step = partial(_with, ends.finish, options)
        self._postpone: Step = partial(_with, moves.postpone, options)
        self._retry: Step = partial(_with, ends.retry_dead, options)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        owner: Mapping[str, Any] | None = None,
        reserve: Path | None = None,
        **settings: Any,
    ) -> Self:
        """Open or make the file. `settings`: further fields of Options; `reserve`: default a file beside the queue's.

        Raises StoreError (newer version, not writable, disk) or DiskFull.
        """
        options = Options(clock=clock, **settings)
        kept = Reserve(reserve or path.with_name(path.name + ".reserve"), options.reserve_bytes)
        db, notices = open_file(path, options, json.dumps(dict(owner)) if owner else "")
        kept.released = not kept.ensure()
        writer = Writer(db, path, kept)
        writer.start()
        return cls(writer, options, notices)

    @property
    def max_failures(self) -> int:
        """How many failures a task may have before its worker should end it."""
        return self._options.max_failures

    def set_reports(self, *, wanted: bool) -> None:
        """Switch whether ends leave a report for the hub (settings.report_method)."""
        self._options.reports = wanted

    async def put(self, tasks: Sequence[Task], refusals: Sequence[Refusal]) -> Sequence[Put]:
        """Accept tasks and refusals in one transaction; one Put a task, in order."""
        if not tasks and not refusals:
            return ()
        batches = [batch_of(self._options, tasks[:AT_ONCE], refusals)]
        for start in range(AT_ONCE, len(tasks), AT_ONCE):
            await asyncio.sleep(0)
            batches.append(batch_of(self._options, tasks[start : start + AT_ONCE], ()))
        found = await self._writer.do(self._put, batches, size=len(tasks) + len(refusals), intake=True)
        return cast("Sequence[Put]", found[0] if len(found) == 1 else list(chain.from_iterable(found)))

    async def lease(self, limit: int) -> Sequence[Lease]:
        """Lease up to `limit` due tasks, in order of priority, due date, arrival."""
        found: Sequence[Lease]
        found, lost = (await self._writer.do(self._lease, [limit]))[0]
        self._lost += lost
        return found

    async def begin(self, lease: Lease) -> bool:
        """Count a start, right before work on it begins. False: the lease was lost."""
        return (await self.begin_many([lease]))[0]

    async def begin_many(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Count a start of each, one transaction."""
        return await self._writer.do(self._begin, leases) if leases else ()

    async def finish(self, ends: Sequence[End]) -> Sequence[bool]:
        """End tasks, one transaction for all. False where the lease was lost (nothing was changed for it)."""
        return await self._writer.do(self._finish, ends) if ends else ()

    async def postpone(self, lease: Lease, seconds: float, reason: str, *, failure: bool) -> bool:
        """Give it back, due in `seconds`; `failure` counts against its limit of attempts."""
        return bool((await self._writer.do(self._postpone, [(lease, seconds, reason, failure)]))[0])

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back unworked, due now."""
        if leases:
            await self._writer.do(moves.release, leases)

    async def recover(self) -> int:
        """At the start: reset former leases, clamp due times; give the number pending."""
        pending, lost = await self._ask(lambda db: moves.recover(db, self._options))
        self._lost += lost
        return int(pending)

    def take_lost(self) -> Sequence[End]:
        """Give the tasks that were given up, since the last call, for taking their worker down: nobody else tells of them."""
        lost, self._lost = self._lost, []
        return lost

    async def counts(self) -> Counts:
        """Count."""
        found: Counts
        found, self._oldest = await self._ask(lambda db: reading.counts(db, self._options.clock(), self._oldest))
        return found

    async def next_due(self) -> float | None:
        """When something can be leased next (now, if something is ready); None when nothing is pending."""
        due: float | None = await self._ask(lambda db: moves.next_due(db, self._options))
        return due

    async def reports(self, limit: int) -> Sequence[Report]:
        """Give reports that the hub has not answered yet, oldest first."""
        found: Sequence[Report] = await self._ask(lambda db: ends.reports(db, limit))
        return found

    async def reported(self, keys: Sequence[int], *, failed: bool) -> None:
        """The hub answered (or, `failed`, answered with an error): drop, or count an attempt and drop at the fifth."""
        if keys:
            await self._writer.do(ends.reported, [(key, failed) for key in keys])

    async def dead_letters(self, after: int = 0, limit: int = 100) -> Sequence[DeadLetter]:
        """Give dead letters with a key above `after`, in order of their keys."""
        found: Sequence[DeadLetter] = await self._ask(lambda db: reading.dead_letters(db, after, limit))
        return found

    async def dead_letter(self, key: int) -> DeadLetter | None:
        """Give one dead letter, None where there is none of that key."""
        found: DeadLetter | None = await self._ask(lambda db: reading.dead_letter(db, key))
        return found

    async def dead_keys(self, above: int, up_to: int, limit: int) -> Sequence[int]:
        """Give the keys of at most `limit` dead letters above `above` and not over `up_to`, in order."""
        found: Sequence[int] = await self._ask(lambda db: reading.dead_keys(db, above, up_to, limit))
        return found

    async def retry_dead(self, keys: Sequence[int]) -> int:
        """Put dead tasks back as they came, under their ids; give how many. Refused elements are no tasks and stay."""
        self._oldest = 0
        return sum(await self._writer.do(self._retry, keys)) if keys else 0

    async def drop_dead(self, keys: Sequence[int]) -> int:
        """Forget dead letters for good; give how many."""
        return sum(await self._writer.do(ends.drop_dead, keys)) if keys else 0

    async def tasks(self, limit: int, *, pending: bool = False) -> Sequence[reading.TaskRow]:
        """Give the latest tasks, newest first; `pending`: those that wait, oldest first."""
        found: Sequence[reading.TaskRow] = await self._ask(lambda db: reading.tasks(db, limit, pending=pending))
        return found

    async def status(self) -> reading.Status:
        """Give the queue at this moment."""
        found: reading.Status = await self._ask(lambda db: reading.status(db, self._options.clock()))
        return found

    async def prune(self, now: float, *, steps: int = 200) -> int:
        """Drop ended tasks and remembered ids over their age or number, in so many steps at most; give the rows dropped."""
        total = 0
        for _ in range(steps):
            # As intake: what is no task's end must not eat the room that is kept for ends.
            (taken,) = await self._writer.do(lambda db, _: [ends.prune(db, self._options, now)], [None], intake=True)
            total += taken
            if not taken:
                break
        return total

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        await self._writer.close()

    async def _ask(self, question: Callable[[sqlite3.Connection], Any]) -> Any:
        return (await self._writer.do(lambda db, _: [question(db)], [None]))[0]


def _with(
    move: Callable[..., Sequence[Any]], options: Options, db: sqlite3.Connection, items: Sequence[Any]
) -> Sequence[Any]:
    return move(db, options, items)
