"""The one thread that owns the queue's connection: it writes, it checkpoints, and nobody else does.

SQLite before 3.51.3 can corrupt a WAL when one connection commits while another checkpoints. All jobs that wait are
one transaction with one sync (group commit); their callers are told with one call an event loop.
"""

import asyncio
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from code_evolver.core.errors import CodeEvolverError, DiskFull, StoreError
from code_evolver.edges.queue_sqlite.options import note
from code_evolver.edges.queue_sqlite.reserve import Reserve
from code_evolver.edges.queue_sqlite.trouble import FOREIGN_ERRORS, FULL_HINT, is_fatal, mapped, mark_damage

Step = Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]]
"""Items in, one result an item out, inside a transaction."""
GROUP_ITEMS = 16_384
"""Items of one transaction: about 0.3 s of writing."""
CHECKPOINT_BYTES = 32 << 20
_CLOSE_SECONDS = 30.0
_LEFT_OPEN: list[sqlite3.Connection] = []
"""Connections after a fatal error, kept to the process's end: SQLite checkpoints at a close, and nothing more may be written."""


@dataclass(slots=True)
class Job:
    """One call of the port on its way through the thread."""

    step: Step
    items: Sequence[Any]
    future: "asyncio.Future[Sequence[Any]]"
    loop: asyncio.AbstractEventLoop
    size: int
    """How much it counts in a group: tasks and refusals."""
    intake: bool = False
    """Takes new tasks in: must not eat the room that was kept for ends."""
    result: Sequence[Any] = ()
    error: CodeEvolverError | None = None


@dataclass(slots=True)
class Writer:
    """The thread; start it with `start`."""

    db: sqlite3.Connection
    path: Path
    reserve: Reserve
    fatal: CodeEvolverError | None = None
    _jobs: "SimpleQueue[Job | None]" = field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None
    _closing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _checkpoint_at: int = CHECKPOINT_BYTES

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)
        self._thread.start()

    async def do(self, step: Step, items: Sequence[Any], *, size: int = 1, intake: bool = False) -> Sequence[Any]:
        """Have `items` done in a transaction; give one result each once it is synced. `size`: how much that is."""
        loop = asyncio.get_running_loop()
        job = Job(step, items, loop.create_future(), loop, max(size, len(items)), intake)
        with self._lock:  # nothing may be put behind the end mark: nobody would ever answer it
            if self._closing or self.fatal is not None:
                raise self.fatal or StoreError("The queue is closed.", "Open it again.")
            self._jobs.put(job)
        return await job.future

    async def close(self) -> None:
        """Finish what waits, checkpoint, close the file, end the thread."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)

    def _run(self) -> None:
        batch: list[Job] = []
        try:
            while (batch := self._collect()) and self.fatal is None:
                self._work(batch)
                _deliver(batch)
                batch = []
                self._checkpoint_if_due()
        finally:
            self._end(batch)

    def _collect(self) -> list[Job]:
        """Wait for a job; give all that wait, up to a group. Empty: the queue is being closed."""
        first = self._jobs.get()
        if first is None:
            return []
        batch, size = [first], first.size
        while size < GROUP_ITEMS:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
            size += job.size
        return batch

    def _work(self, batch: list[Job]) -> None:
        """Do a group in one transaction; where that fails, each job in one of its own, so that one cannot spoil others."""
        error = self._transact([job for job in batch if self._admitted(job)])
        if error is None:
            return
        for job in batch:
            if self.fatal is None and self._admitted(job):
                job.error = self._alone(job)
            job.error = job.error or self.fatal

    def _admitted(self, job: Job) -> bool:
        if job.intake and not self.reserve.restore():
            job.error = DiskFull(f"There is no room left for the queue file {self.path}.", FULL_HINT)
        return job.error is None

    def _alone(self, job: Job) -> CodeEvolverError | None:
        error = self._transact([job])
        if isinstance(error, DiskFull):
            self._checkpoint()  # a WAL that is copied back is written from its start again: that needs no room
            error = self._transact([job])
        if isinstance(error, DiskFull) and not job.intake and self.reserve.release():
            error = self._transact([job])
        return error

    def _transact(self, jobs: list[Job]) -> CodeEvolverError | None:
        if self.fatal is not None:
            return self.fatal
        try:
            self.db.execute("BEGIN IMMEDIATE")
            for step, group in groupby(jobs, key=lambda job: job.step):
                _run_group(self.db, step, list(group))
            self.db.execute("COMMIT")
        except FOREIGN_ERRORS as error:
            ours = self._judged(error)
            self._roll_back()
            return ours
        return None

    def _judged(self, error: Exception) -> CodeEvolverError:
        ours = mapped(error, self.path)
        if is_fatal(error, ours):
            self.fatal = ours
            mark_damage(error, self.path)
        return ours

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def _checkpoint_if_due(self) -> None:
        try:
            size = Path(f"{self.path}-wal").stat().st_size
        except OSError:
            return
        if size < CHECKPOINT_BYTES:
            self._checkpoint_at = CHECKPOINT_BYTES
        elif size >= self._checkpoint_at:
            self._checkpoint_at = size + CHECKPOINT_BYTES // 4  # a reader may hold it up: not again at each commit
            self._checkpoint()

    def _checkpoint(self) -> None:
        if self.fatal is not None:  # it would write frames that may never have reached the disk over good pages
            return
        try:
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            self._judged(error)

    def _end(self, unanswered: list[Job]) -> None:
        """Close the file, and answer everybody who still waits: nobody may hang on a thread that is gone."""
        with self._lock:
            self._closing = True
        if not unanswered and self.fatal is None:
            try:
                self.db.execute("BEGIN IMMEDIATE")
                note(self.db, "clean", "1")
                self.db.execute("COMMIT")
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.Error as error:
                self._judged(error)
        if self.fatal is None:
            with suppress(sqlite3.Error):
                self.db.close()
        else:
            _LEFT_OPEN.append(self.db)
        left = list(unanswered)
        with suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                left += [job] if job is not None else []
        for job in left:
            job.error = self.fatal or StoreError("The queue's writer ended before it answered.", "Please report this.")
        _deliver(left)


def _run_group(db: sqlite3.Connection, step: Step, group: list[Job]) -> None:
    if len(group) == 1:
        group[0].result = step(db, group[0].items)
        return
    results = step(db, [item for job in group for item in job.items])
    place = 0
    for job in group:
        job.result = results[place : place + len(job.items)]
        place += len(job.items)


def _deliver(jobs: Iterable[Job]) -> None:
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Job]] = defaultdict(list)
    for job in jobs:
        by_loop[job.loop].append(job)
    for loop, some in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, some)


def _settle(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue  # its caller was cancelled; the work is committed all the same
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
