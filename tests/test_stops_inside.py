"""What a stop meets inside: a feeder that is leasing, ends that are being committed, a reporter without a hub, two ways to ask."""

import asyncio
import itertools

from code_evolver.core.errors import HubUnreachable
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.edges.workspace import Workspace
from code_evolver.ports import End, Lease
from code_evolver.reporter import Reporter
from code_evolver.requests import serve_requests
from code_evolver.stopping import StopRequest
from code_evolver.worker import feed_leases
from tests.queue_helpers import task as make_task


async def _ended(job):
    job.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([job])


def test_a_feeder_that_is_cancelled_at_any_moment_keeps_no_lease(tmp_path):
    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db")
        await queue.put([make_task(f"t-{number}") for number in range(5)], [])
        for turns in range(12):  # another moment each time
            feed: asyncio.Queue[Lease] = asyncio.Queue(64)
            wake = asyncio.Event()
            job = asyncio.ensure_future(feed_leases(queue, feed, wake))
            for _ in range(turns):
                await asyncio.sleep(0)
            await _ended(job)
            await queue.release([feed.get_nowait() for _ in range(feed.qsize())])
            assert (await queue.status()).leased == 0, turns
        await queue.close()

    asyncio.run(scene())


def test_who_waits_for_work_ends_at_one_cancellation_in_whichever_turn_after_it_was_woken(tmp_path):
    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db", reports=True)
        waiting = (
            lambda wake: feed_leases(queue, asyncio.Queue(64), wake),
            lambda wake: Reporter(queue, _nobody, "Finished", lambda *_, **__: None).run(wake, pause=30.0),
        )
        for make, turns in itertools.product(waiting, range(6)):
            wake = asyncio.Event()
            job = asyncio.ensure_future(make(wake))
            while not wake._waiters:  # noqa: ASYNC110 - nothing else tells that somebody waits
                await asyncio.sleep(0)
            wake.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            await _ended(job)
            assert job.cancelled(), turns
        await queue.close()

    asyncio.run(scene())


async def _nobody(_method, _arguments):
    raise HubUnreachable("There is no connection to the hub.", "It is opened again by itself.")


def test_a_reporter_without_a_hub_tries_once_a_pause_however_often_it_is_woken(tmp_path):
    calls = itertools.count()

    async def nobody(_method, _arguments):
        next(calls)
        raise HubUnreachable("There is no connection to the hub.", "It is opened again by itself.")

    async def scene():
        queue = SqliteQueue.open(tmp_path / "queue.db", reports=True)
        await queue.put([make_task("t")], [])
        lease = (await queue.lease(1))[0]
        await queue.finish([End(lease, "generated", node="n")])
        wake = asyncio.Event()
        job = asyncio.ensure_future(Reporter(queue, nobody, "Finished", lambda *_, **__: None).run(wake, pause=0.2))
        end = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < end:
            wake.set()
            await asyncio.sleep(0)
        await _ended(job)
        assert len(await queue.reports(10)) == 1
        await queue.close()

    asyncio.run(scene())
    assert 1 <= next(calls) <= 4


def test_requests_by_two_ways_are_one_and_two_by_one_way_are_two():
    async def scene():
        stop = StopRequest()
        stop.ask("SIGTERM")
        stop.ask("launcher", way="launcher")
        assert (stop.drain.is_set(), stop.now.is_set(), stop.reason) == (True, False, "SIGTERM")
        stop.ask_once("launcher gone")
        assert not stop.now.is_set()
        stop.ask("launcher", way="launcher")
        assert stop.now.is_set()

    asyncio.run(scene())


def test_a_request_of_nonsense_is_answered_and_ends_nothing(tmp_path):
    async def scene():
        workspace = Workspace.at(tmp_path)
        workspace.prepare()
        queue = SqliteQueue.open(workspace.queue)
        for number, body in enumerate(
            ['{"do": "dead_retry", "keys": ["x"]}', '{"do": "dance"}', '{"do": "dead_drop", "keys": 7}']
        ):
            (workspace.requests / f"{number:016x}.json").write_text(body, encoding="utf-8")
        job = asyncio.ensure_future(serve_requests(workspace, queue, lambda *_, **__: None, lambda: None, pause=0.01))
        async with asyncio.timeout(10):
            while len(list(workspace.requests.glob("*.answer.json"))) < 3:  # noqa: ASYNC110 - files are watched
                await asyncio.sleep(0.01)
        assert not job.done()
        await _ended(job)
        await queue.close()
        for path in workspace.requests.glob("*.answer.json"):
            assert '"success":false' in path.read_text(encoding="utf-8").replace(" ", "")

    asyncio.run(scene())
