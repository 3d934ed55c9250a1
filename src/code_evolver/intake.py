"""Reception: what the hub said becomes tasks in the queue, refusals among the dead letters, and an answer to the hub.

`receive` returns only when everything is committed and synced: what it answers is a promise.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from code_evolver.core.message import Message, read_message, receipt
from code_evolver.core.task import Refusal, Task
from code_evolver.ports import Emit, Put, Queue, Received

_EVENTS: Mapping[Put, str] = {
    "queued": "task_queued",
    "revised": "task_revised",
    "duplicate": "task_duplicate",
    "recorded": "task_recorded",
}


class Intake:
    """Implements the `receive` of the hub listener."""

    def __init__(
        self,
        queue: Queue,
        emit: Emit,
        hub_name: str,
        *,
        pending: int,
        keep: Callable[[Sequence[Mapping[str, Any]]], None],
        wake: Callable[[], None],
    ) -> None:
        """`pending` is the queue's size now; `keep` writes the output file; `wake` tells the worker that there is work."""
        self._queue = queue
        self._emit = emit
        self._hub_name = hub_name
        self._keep = keep
        self._wake = wake
        self.queue_size = pending

    async def receive(self, batch: Sequence[Received]) -> Sequence[Mapping[str, Any] | None]:
        """Store a batch; give one receipt for each record that wants one. Raises StoreError, DiskFull (nothing kept)."""
        messages = [self._read(one) for one in batch]
        tasks = [task for message in messages for task in message.tasks]
        refusals = [refusal for message in messages for refusal in message.refusals]
        puts = await self._queue.put(tasks, refusals) if tasks or refusals else ()
        self._tell(batch, tasks, puts, refusals)
        return self._receipts(batch, messages, puts)

    def _read(self, one: Received) -> Message:
        if one.problem:
            return Message((), (Refusal(0, "", one.problem[:500], one.raw),), 1)
        return read_message(one.arguments, raw=one.raw, hub_name=self._hub_name, text=one.text)

    def _tell(
        self, batch: Sequence[Received], tasks: Sequence[Task], puts: Sequence[Put], refusals: Sequence[Refusal]
    ) -> None:
        for target, count in Counter(one.target for one in batch).items():
            self._emit("message_received", target=target, count=count)
        fresh = []
        for task, put in zip(tasks, puts, strict=True):
            if put in ("queued", "revised"):
                self.queue_size += 1
                fresh.append(task.raw)
            self._emit(_EVENTS[put], task_id=task.id, task_type=task.type, queue_size=self.queue_size)
        for refusal in refusals:
            self._emit("task_rejected", task_id=refusal.id, index=refusal.index, reason=refusal.reason)
        if fresh:
            self._keep(fresh)
            self._wake()

    @staticmethod
    def _receipts(
        batch: Sequence[Received], messages: Sequence[Message], puts: Sequence[Put]
    ) -> list[Mapping[str, Any] | None]:
        answers: list[Mapping[str, Any] | None] = []
        at = 0
        for one, message in zip(batch, messages, strict=True):
            mine = puts[at : at + len(message.tasks)]
            at += len(message.tasks)
            answers.append(receipt(message.tasks, mine, message.refusals) if one.invocation_id else None)
        return answers
