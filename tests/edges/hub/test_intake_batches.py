"""Reception in a flood: what waits is read while what was read before is being stored; order and bounds hold."""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence

import pytest

from code_evolver.core.errors import DiskFull, StoreError
from code_evolver.core.session import HubSettings
from code_evolver.core.strict_json import LARGE
from code_evolver.edges.hub.conversation import Conversation
from code_evolver.edges.hub.inbox import Inbox
from code_evolver.edges.hub.intake import BATCH, STORED_AT_ONCE, Intake
from code_evolver.ports import Received

FULL = DiskFull("No room.", "Make some.")


class Reception:
    """An intake whose batches are stored when they are let; `faults`: what the next attempts end in."""

    def __init__(self) -> None:
        self.inbox: Inbox[Conversation] = Inbox()
        self.events: list[str] = []
        self.under_way = 0
        self.most = 0
        self.stored: list[str] = []
        self.faults: list[Exception | None] = []
        self.full = False
        self.refused = 0
        self.gate = asyncio.Event()
        settings = HubSettings("http://hub/x")
        self.source = Conversation(1, None, settings, self.inbox, self._emit, time.monotonic)  # type: ignore[arg-type]
        self.intake = Intake(settings, self.inbox, self._receive, self._emit)

    def _emit(self, name: str, **_fields: object) -> None:
        self.events.append(name)

    async def _receive(self, batch: Sequence[Received]) -> Sequence[None]:
        fault = self.faults.pop(0) if self.faults else FULL if self.full else None
        self.refused += fault is not None
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        if fault:
            raise fault
        self.stored += [task.id for one in batch if one.message for task in one.message.tasks]
        return [None] * len(batch)

    def push_each(self, *elements: object) -> None:
        """Push a record an element, all at once."""
        texts = [json.dumps([element]).encode() for element in elements]
        self.inbox.add(self.source, [b'{"type":1,"target":"TaskHub","arguments":' + text + b"}" for text in texts])

    def push(self, first: int, count: int) -> None:
        records = [
            b'{"type":1,"target":"TaskHub","arguments":[' + json.dumps({"id": number, "taskName": "x"}).encode() + b"]}"
            for number in range(first, first + count)
        ]
        self.inbox.add(self.source, records)


@contextlib.asynccontextmanager
async def reception():
    made = Reception()
    running = asyncio.create_task(made.intake.run())
    try:
        async with asyncio.timeout(20):
            yield made, running
    finally:
        running.cancel()
        await asyncio.wait([running])


async def turns(condition) -> None:
    while not condition():  # noqa: ASYNC110 - turns of the loop are what is counted
        await asyncio.sleep(0)


def test_batches_are_read_ahead_within_bounds_and_stored_in_order():
    async def scene() -> None:
        async with reception() as (made, _):
            count = (STORED_AT_ONCE + 3) * BATCH
            made.push(0, count)
            await turns(lambda: made.under_way == STORED_AT_ONCE)
            for _ in range(100):  # turns enough for one more, were there no bound
                await asyncio.sleep(0)
            made.gate.set()
            await made.inbox.idle()
            assert made.most == STORED_AT_ONCE
            assert made.stored == [str(number) for number in range(count)]

    asyncio.run(scene())


def test_the_inbox_is_idle_only_when_everything_is_stored():
    async def scene() -> None:
        async with reception() as (made, _):
            made.push(0, 10)
            await turns(lambda: made.under_way == 1)
            idle = asyncio.ensure_future(made.inbox.idle())
            for _ in range(100):
                await asyncio.sleep(0)
            assert not idle.done()
            made.gate.set()
            await idle
            assert len(made.stored) == 10

    asyncio.run(scene())


def test_on_a_full_disk_batches_wait_behind_each_other_and_it_is_told_once():
    async def scene() -> None:
        async with reception() as (made, _):
            made.full = True
            made.push(0, 3 * BATCH)
            made.gate.set()
            await turns(lambda: made.refused >= 5)
            made.full = False
            await made.inbox.idle()
            assert made.stored == [str(number) for number in range(3 * BATCH)]
            assert made.events == ["intake_paused", "intake_resumed"]

    asyncio.run(scene())


def test_one_odd_message_is_set_aside_alone_also_while_the_disk_is_full():
    async def scene() -> None:
        async with reception() as (made, _):
            made.faults = [KeyError("whole"), FULL, KeyError("whole"), None, KeyError("second")]
            made.push(0, 3)
            made.gate.set()
            await made.inbox.idle()
            assert made.stored == ["0", "2"]
            assert made.events == ["intake_paused", "intake_resumed"]

    asyncio.run(scene())


def test_a_store_that_is_broken_ends_the_intake_and_leaves_no_task_behind():
    async def scene() -> None:
        async with reception() as (made, running):
            before = asyncio.all_tasks()
            made.faults = [None, StoreError("Damaged.", "Restore it.")]
            made.push(0, 3 * BATCH)
            made.gate.set()
            await asyncio.wait([running])
            with pytest.raises(StoreError, match="Damaged"):
                running.result()
            assert asyncio.all_tasks() <= before

    asyncio.run(scene())


async def turns_until_stored(made: Reception) -> int:
    """Count the turns that others have on the loop until everything is stored."""
    made.gate.set()
    idle = asyncio.ensure_future(made.inbox.idle())
    count = 0
    while not idle.done():
        await asyncio.sleep(0)
        count += 1
    return count


def test_a_record_of_many_elements_leaves_others_their_turns_on_the_loop():
    async def scene() -> None:
        async with reception() as (made, _):
            made.push_each([{"id": 1, "taskName": "x"}, *range(300_000)])
            assert await turns_until_stored(made) > 100
            assert made.stored == ["1"]

    asyncio.run(scene())


def test_records_of_some_size_leave_others_their_turns_too():
    async def scene() -> None:
        async with reception() as (made, _):
            made.push_each(*({"id": n, "taskName": "x", "content": "y" * (LARGE // 2)} for n in range(200)))
            assert await turns_until_stored(made) > 45
            assert made.stored == [str(number) for number in range(200)]

    asyncio.run(scene())


def test_what_comes_behind_a_large_record_is_stored_behind_it():
    async def scene() -> None:
        async with reception() as (made, _):
            made.push(0, 1)
            made.push_each([{"id": f"large {number}", "taskName": "x"} for number in range(5000)])
            await turns(lambda: made.under_way == 1)
            made.push(1, 1)
            for _ in range(100):  # turns enough for one more, were it not held back
                await asyncio.sleep(0)
            assert made.most == 1
            made.gate.set()
            await made.inbox.idle()
            assert made.stored == ["0", *(f"large {number}" for number in range(5000)), "1"]

    asyncio.run(scene())
