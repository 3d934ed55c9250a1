"""Reports to a hub that is slow, refuses some, forgets some, or is gone: told at least once, and no more often than need be."""

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import Any

from code_evolver.core.errors import HubRefused, HubUnreachable
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import End
from code_evolver.reporter import TRIES, Reporter
from tests.hub_listening import seen
from tests.queue_helpers import task


class Told:
    """A hub's report method that answers as `answers` says, and keeps count."""

    def __init__(self, answer: Any) -> None:
        self.calls: Counter[str] = Counter()
        self._answer = answer

    async def __call__(self, _method: str, arguments: Any) -> None:
        name = arguments[0]["taskId"]
        self.calls[name] += 1
        await self._answer(name)


@contextlib.asynccontextmanager
async def reporting(path, count, answer, pause=0.05):
    """A reporter at work on `count` reports."""
    queue = SqliteQueue.open(path / "queue.db", reports=True)
    await queue.put([task(f"t{number}") for number in range(count)], [])
    while leases := await queue.lease(64):
        await queue.finish([End(lease, "generated", node="n") for lease in leases])
    told, events, wake = Told(answer), [], asyncio.Event()
    reporter = Reporter(queue, told, "Finished", lambda name, **fields: events.append((name, fields)))
    job = asyncio.ensure_future(reporter.run(wake, pause=pause))
    try:
        yield told, reporter, queue, job, events, wake
        assert not job.done() or job.cancelled()
    finally:
        job.cancel()
        await asyncio.wait([job])
        await reporter.close()
        await queue.close()


def test_a_method_that_takes_long_is_called_once_for_each_report(tmp_path):
    async def scene():
        serial = asyncio.Lock()
        open_gate = asyncio.Event()

        async def slow(_name):
            async with serial:  # as ASP.NET hubs work through one client's calls
                await open_gate.wait()

        async with reporting(tmp_path, 20, slow) as (told, _, queue, *_):
            await seen(lambda: len(told.calls) == 20)
            for _ in range(3):  # whoever sends again does so after a pause
                await asyncio.sleep(0.06)
            open_gate.set()
            while await queue.reports(1):  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0.01)
            assert set(told.calls.values()) == {1}

    asyncio.run(scene())


def test_reports_that_are_never_answered_hold_up_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("code_evolver.reporter._SLOW_SECONDS", 0.05)

    async def scene():
        async def forgets_the_first(name):
            if int(name[1:]) < 120:
                await asyncio.Event().wait()

        async with reporting(tmp_path, 200, forgets_the_first) as (told, _, queue, *_):
            while len(await queue.reports(1000)) > 120:  # noqa: ASYNC110 - a state, not an event
                await asyncio.sleep(0.01)
            assert set(told.calls.values()) == {1}

    asyncio.run(scene())


def test_a_report_that_is_refused_rests_between_its_tries_while_others_are_answered(tmp_path):
    pause, times = 0.2, []

    async def scene():
        loop = asyncio.get_running_loop()
        fresh = (f"more{number}" for number in itertools.count())

        async def refuses_one(name):
            if name == "t0":
                times.append(loop.time())
                raise HubRefused("A lock in the hub's database.", "Try again.")

        async with reporting(tmp_path, 1, refuses_one, pause) as (told, _, queue, _, events, wake):
            while not events:  # others come and are answered all the while
                await queue.put([task(next(fresh))], [])
                await queue.finish([End(lease, "generated", node="n") for lease in await queue.lease(9)])
                wake.set()
                await asyncio.sleep(0.01)
            assert told.calls["t0"] == TRIES
            assert events == [("report_failed", {"task_id": "t0", "reason": "A lock in the hub's database."})]
            assert sum(told.calls.values()) > 2 * TRIES

    asyncio.run(scene())
    assert all(later - earlier >= 0.9 * pause for earlier, later in itertools.pairwise(times))


def test_what_is_under_way_at_a_stop_is_waited_for_and_not_sent_twice(tmp_path):
    async def scene():
        gate = asyncio.Event()

        async def gated(_name):
            await gate.wait()

        async with reporting(tmp_path, 5, gated) as (told, reporter, queue, job, *_):
            await seen(lambda: len(told.calls) == 5)
            job.cancel()
            await asyncio.wait([job])
            last = asyncio.ensure_future(reporter.settle())
            gate.set()
            await last
            assert not await queue.reports(10)
            assert set(told.calls.values()) == {1}

    asyncio.run(scene())


def test_a_stop_without_a_hub_gives_up_after_one_try(tmp_path):
    async def scene():
        async def nobody(_name):
            raise HubUnreachable("There is no connection to the hub.", "It is opened again by itself.")

        async with reporting(tmp_path, 5, nobody, pause=30.0) as (told, reporter, queue, job, *_):
            await seen(lambda: len(told.calls) == 5)
            job.cancel()
            await asyncio.wait([job])
            await reporter.settle()
            assert set(told.calls.values()) <= {1, 2}
            assert len(await queue.reports(10)) == 5

    asyncio.run(scene())
