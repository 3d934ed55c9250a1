"""Tells the hub each outcome, at least once: reports are stored with the task's end and sent until the hub has answered."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from code_evolver.core.errors import HubError, HubRefused
from code_evolver.patience import patiently
from code_evolver.ports import Emit, Queue, Report

TRIES = 5
"""So often an error answer of the hub is taken before a report is given up."""
_BATCH = 50


class Reporter:
    """Sends reports while connected."""

    def __init__(
        self, queue: Queue, invoke: Callable[[str, Sequence[Any]], Awaitable[Any]], method: str, emit: Emit
    ) -> None:
        """`invoke` calls a hub method and gives its result; it raises HubUnreachable without a connection."""
        self._queue = queue
        self._invoke = invoke
        self._method = method
        self._emit = emit
        self._unsent = False

    async def run(self, wake: asyncio.Event, *, pause: float = 1.0) -> None:
        """Send for ever; cancel it to stop. What the hub did not take is sent again after `pause` seconds, not sooner."""
        while True:
            wake.clear()
            if await self.send_waiting():
                continue
            if self._unsent:
                await asyncio.sleep(pause)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()

    async def send_waiting(self) -> bool:
        """Send up to 50 waiting reports; say whether any was settled."""
        waiting = await self._queue.reports(_BATCH)
        self._unsent = False
        if not waiting:
            return False
        told = await asyncio.gather(*(self._send(report) for report in waiting))
        self._unsent = any(end != "answered" for end in told)
        done = [report.key for report, end in zip(waiting, told, strict=True) if end == "answered"]
        wrong = [report.key for report, end in zip(waiting, told, strict=True) if end == "error"]
        for keys, failed in ((done, False), (wrong, True)):
            if keys:  # what cannot be noted would be told again at once: first there must be room
                await patiently(partial(self._queue.reported, keys, failed=failed), self._emit)
        return bool(done)

    async def _send(self, report: Report) -> str:
        try:
            await self._invoke(self._method, [fitted(report.payload)])
        except HubRefused as error:
            if report.attempts + 1 >= TRIES:
                self._emit("report_failed", task_id=str(report.payload.get("taskId", "")), reason=error.message)
            return "error"
        except HubError:
            return "unsent"
        return "answered"


def fitted(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Cut the reason so that the call stays far below the hub's 32 KB."""
    return {**payload, "reason": str(payload.get("reason") or "")[:500] or None}
