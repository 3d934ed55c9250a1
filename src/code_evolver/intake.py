"""Reception: what the hub said becomes tasks in the queue, refusals among the dead letters, and an answer to the hub.

`receive` returns only when everything is committed and synced: what it answers is a promise.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

from code_evolver.core import strict_json
from code_evolver.core.errors import DiskFull, StoreError
from code_evolver.core.message import Message, read_message, receipt
from code_evolver.core.task import Refusal, Task
from code_evolver.ports import Emit, Log, Put, Queue, Received

_EVENTS: Mapping[Put, str] = {
    "queued": "task_queued",
    "revised": "task_revised",
    "duplicate": "task_duplicate",
    "recorded": "task_recorded",
}
COMMIT_SECONDS = 5.0
"""How long a batch that is being stored may hold up the end of a run."""
TOLD_AT_ONCE = 5_000
"""Tasks, or refusals, told at a stretch; then everybody else on the event loop has a turn."""
HELD_CHARACTERS = 16_000_000
"""So much text of tasks waits in memory for an output file that cannot be written."""
Keep = Callable[[Sequence[Mapping[str, Any]]], Awaitable[None]]


class Output(Protocol):
    """The output file, as far as it is needed here. Both methods block, and raise StoreError or DiskFull."""

    def spool(self, raw_tasks: Sequence[Mapping[str, Any]]) -> None:
        """Keep tasks; where it raises, none of them."""

    def flush(self) -> bool:
        """Put the file in place if that is due."""


class Keeping:
    """Writes the output file beside the event loop. What cannot be written is told once, and tried again.

    What waits meanwhile is held in memory, up to HELD_CHARACTERS; beyond that tasks are left out of the file, and counted:
    they are in the queue all the same.
    """

    def __init__(self, output: Output, emit: Emit) -> None:
        self._output = output
        self._emit = emit
        self._lock = threading.Lock()
        self._waiting: list[Mapping[str, Any]] = []
        self._held = 0
        self._missing = 0
        self._said = ""

    async def keep(self, raw: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write these tasks, and those that still wait: call it now and then without any. Raises nothing."""
        try:
            await asyncio.to_thread(self._write, raw)
        except (StoreError, DiskFull) as error:
            if error.message != self._said:
                self._emit("notice", message=f"{error.message} {error.hint}")
            self._said = error.message
        else:
            self._said = ""
            self._tell_missing(self._missing)
            self._missing = 0

    async def close(self) -> None:
        """Write what still waits; tell how many tasks the file lacks where that cannot be done. Raises nothing."""
        await self.keep()
        self._tell_missing(self._missing + len(self._waiting))

    def _tell_missing(self, count: int) -> None:
        if count:
            self._emit("notice", message=f"{count} tasks are missing in the output file, which could not be written.")

    def _write(self, raw: Sequence[Mapping[str, Any]]) -> None:
        with self._lock:
            if raw or self._waiting:
                try:
                    self._output.spool([*self._waiting, *raw])
                except (StoreError, DiskFull):
                    self._hold(raw)
                    raise
                self._waiting, self._held = [], 0
            self._output.flush()

    def _hold(self, raw: Sequence[Mapping[str, Any]]) -> None:
        for task in raw:
            size = len(strict_json.dumps_foreign(dict(task)))
            if self._held + size > HELD_CHARACTERS:
                self._missing += 1
            else:
                self._waiting.append(task)
                self._held += size


class Intake:
    """Implements the `receive` of the hub listener."""

    def __init__(
        self,
        queue: Queue,
        log: Log,
        hub_name: str,
        *,
        pending: Callable[[], int],
        wake: Callable[[], None],
        keep: Keep | None = None,
    ) -> None:
        """`pending` gives the queue's size; `wake` tells the worker that there is work; `keep` writes the output file."""
        self._queue = queue
        self._log = log
        self._hub_name = hub_name
        self._keep = keep
        self._wake = wake
        self._pending = pending
        self._taking: set[asyncio.Task[Sequence[Mapping[str, Any] | None]]] = set()
        self._keeping = asyncio.Lock()

    async def receive(self, batch: Sequence[Received]) -> Sequence[Mapping[str, Any] | None]:
        """Store a batch; give one receipt for each record that wants one. Raises StoreError, DiskFull (nothing kept)."""
        taking = asyncio.create_task(self._take_in(batch))
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        return await asyncio.shield(taking)

    async def settled(self) -> None:
        """Wait, in bounds, for batches whose `receive` was cancelled: they are committed all the same, so they must be told."""
        if not self._taking:
            return
        _, late = await asyncio.wait(set(self._taking), timeout=COMMIT_SECONDS)
        for taking in late:
            taking.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _take_in(self, batch: Sequence[Received]) -> Sequence[Mapping[str, Any] | None]:
        messages = [one.message if one.message is not None else await self._read(one) for one in batch]
        tasks = [task for message in messages for task in message.tasks]
        refusals = [refusal for message in messages for refusal in message.refusals]
        puts = await self._queue.put(tasks, refusals) if tasks or refusals else ()
        fresh = await self._tell(batch, tasks, puts, refusals)
        if fresh and self._keep:
            async with self._keeping:  # in the order of arrival
                await self._keep(fresh)
        return self._receipts(batch, messages, puts)

    async def _read(self, one: Received) -> Message:
        if one.problem:
            return Message((), (Refusal(0, "", one.problem[:500], one.raw),), 1)
        read = partial(read_message, one.arguments, raw=one.raw, hub_name=self._hub_name)
        return read() if len(one.raw) < strict_json.LARGE else await asyncio.to_thread(read)

    async def _tell(
        self, batch: Sequence[Received], tasks: Sequence[Task], puts: Sequence[Put], refusals: Sequence[Refusal]
    ) -> Sequence[Mapping[str, Any]]:
        """Tell what came in, and wake the worker; give the tasks that are to be worked on."""
        for target, count in Counter(one.target for one in batch).items():
            self._log.emit("message_received", target=target, count=count)
        fresh: list[Mapping[str, Any]] = []
        for start in range(0, max(len(tasks), len(refusals)), TOLD_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            some = slice(start, start + TOLD_AT_ONCE)
            self._tell_some(tasks[some], puts[some], refusals[some], fresh)
        if fresh:
            self._wake()
        return fresh

    def _tell_some(
        self, tasks: Sequence[Task], puts: Sequence[Put], refusals: Sequence[Refusal], fresh: list[Mapping[str, Any]]
    ) -> None:
        size = self._pending()
        for put, some in groupby(zip(puts, tasks, strict=True), key=itemgetter(0)):
            rows: list[tuple[str, str, int]] = []
            for _, task in some:
                if put in ("queued", "revised"):
                    fresh.append(task.raw)
                    size += 1
                rows.append((task.id, task.type, size))
            self._log.emit_all(_EVENTS[put], ("task_id", "task_type", "queue_size"), rows)
        for refusal in refusals:
            self._log.emit("task_rejected", task_id=refusal.id, index=refusal.index, reason=refusal.reason,
                           count=refusal.elements)  # fmt: skip

    @staticmethod
    def _receipts(
        batch: Sequence[Received], messages: Sequence[Message], puts: Sequence[Put]
    ) -> list[Mapping[str, Any] | None]:
        if not any(one.invocation_id for one in batch):
            return [None] * len(batch)
        answers: list[Mapping[str, Any] | None] = []
        at = 0
        for one, message in zip(batch, messages, strict=True):
            mine = puts[at : at + len(message.tasks)]
            at += len(message.tasks)
            answers.append(receipt(message.tasks, mine, message.refusals) if one.invocation_id else None)
        return answers
