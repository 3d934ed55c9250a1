"""Tells the hub each outcome, at least once: reports are stored with the task's end and sent until the hub has answered."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from code_evolver.core.errors import CodeEvolverError, HubUnreachable
from code_evolver.patience import patiently
from code_evolver.ports import Emit, Queue, Report

TRIES = 5
"""So often an error answer of the hub is taken before a report is given up."""
_BATCH = 50
_MOST = 1_000
"""Calls that may wait for their answers at the same time."""
_SLOW_SECONDS = 10.0
"""A call that waits longer holds up no others; it is not made again while its connection lasts."""
_How = Literal["answered", "refused", "unsent"]


@dataclass(frozen=True, slots=True)
class _Call:
    task: "asyncio.Task[_How]"
    began: float


class Reporter:
    """Sends reports while connected."""

    def __init__(
        self, queue: Queue, invoke: Callable[[str, Sequence[Any]], Awaitable[Any]], method: str, emit: Emit
    ) -> None:
        """`invoke` calls a hub method and gives its result, however late; it raises HubUnreachable where the connection is, or gets, lost."""
        self._queue = queue
        self._invoke = invoke
        self._method = method
        self._emit = emit
        self._woken = asyncio.Event()
        self._calls: dict[int, _Call] = {}
        self._resting: dict[int, float] = {}
        """Refused reports, and when they may be sent again."""

    async def run(self, wake: asyncio.Event, *, pause: float = 1.0) -> None:
        """Send for ever; `wake` says that there is a new report. Cancel it to stop: calls under way stay so, for `settle` or `close`.

        What the hub did not take is sent again after `pause` seconds, not sooner.
        """
        self._woken = wake
        while True:
            wake.clear()
            if await self._take_answers(pause):
                await asyncio.sleep(pause)
            await self._begin()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()

    async def settle(self) -> None:
        """Send what waits and hear the answers, until nothing is left that the hub takes now."""
        self._woken = asyncio.Event()
        while True:
            self._woken.clear()
            if await self._take_answers(_SLOW_SECONDS):
                return
            await self._begin()
            if not self._calls:
                return
            await self._woken.wait()

    async def close(self) -> None:
        """Give up the calls under way: their reports are told at the next start."""
        tasks = [call.task for call in self._calls.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _begin(self) -> None:
        """Make calls for reports that wait, unless enough are under way."""
        now = asyncio.get_running_loop().time()
        self._resting = {key: until for key, until in self._resting.items() if until > now}
        quick = sum(now - call.began < _SLOW_SECONDS for call in self._calls.values())
        known = self._calls.keys() | self._resting.keys()
        if quick > _BATCH or len(known) >= _MOST:
            return
        for report in await self._queue.reports(len(known) + _BATCH):
            if report.key not in known:
                task = asyncio.ensure_future(self._call(report))
                task.add_done_callback(lambda _: self._woken.set())
                self._calls[report.key] = _Call(task, now)

    async def _call(self, report: Report) -> _How:
        try:
            await self._invoke(self._method, [fitted(report.payload)])
        except HubUnreachable:
            return "unsent"
        except CodeEvolverError as error:
            if report.attempts + 1 >= TRIES:
                self._emit("report_failed", task_id=str(report.payload.get("taskId", "")), reason=error.message)
            return "refused"
        return "answered"

    async def _take_answers(self, pause: float) -> bool:
        """Note in the queue what the hub answered; say whether something could not be sent."""
        found: dict[_How, list[int]] = {"answered": [], "refused": [], "unsent": []}
        for key, call in self._calls.items():
            if call.task.done():
                found[call.task.result()].append(key)
        for how in ("answered", "refused"):
            if keys := found[how]:  # what cannot be noted would be told again at once: first there must be room
                await patiently(partial(self._queue.reported, keys, failed=how == "refused"), self._emit)
        until = asyncio.get_running_loop().time() + pause
        self._resting.update(dict.fromkeys(found["refused"], until))
        for keys in found.values():
            for key in keys:
                del self._calls[key]
        return bool(found["unsent"])


def fitted(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Cut the reason so that the call stays far below the hub's 32 KB."""
    return {**payload, "reason": str(payload.get("reason") or "")[:500] or None}
