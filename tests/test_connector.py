"""A run as a whole, without a hub or with one that is not there: what it does at its start and how it ends."""

import asyncio
import time

import pytest

from code_evolver.configuration import load
from code_evolver.connector import connect
from code_evolver.core.settings import Layer
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.edges.workspace import Workspace
from code_evolver.ports import End
from code_evolver.stopping import StopRequest
from tests.acceptance_kit import hub
from tests.queue_helpers import Clock, task
from tests.told import Told

LIMIT = 60.0


def queued(folder, story, clock=time.time):
    """Have something happen in the workspace's queue before the run."""
    workspace = Workspace.at(folder)
    workspace.prepare()

    async def play():
        queue = SqliteQueue.open(workspace.queue, clock=clock)
        await story(queue)
        await queue.close()

    asyncio.run(play())


def connected(folder, log=None, *, hub=False, **settings):
    resolved = load(Layer({"workspace": str(folder), "llm": "off", **settings}, {}))

    async def play():
        async with asyncio.timeout(LIMIT):
            return await connect(resolved, log or Told(), stop=StopRequest(), hub=hub)

    return asyncio.run(play())


def test_the_queue_is_worked_off_also_where_new_tasks_are_not_to_be_worked_on(tmp_path):
    queued(tmp_path, lambda queue: queue.put([task("1")], []))
    result, code = connected(tmp_path, auto_generate_workflows=False)
    assert (result["workflows_generated"], code) == (1, 0)


def test_a_run_prunes_the_queue_at_its_start(tmp_path):
    async def old(queue):
        await queue.put([task("1")], [])
        await queue.finish([End(lease, "generated", "node") for lease in await queue.lease(1)])
        clock.now = time.time()
        await queue.put([task("2")], [])

    async def look(queue):
        assert [row.id for row in await queue.tasks(9)] == ["2"]
        assert list(await queue.put([task("1")], [])) == ["queued"]

    clock = Clock()
    queued(tmp_path, old, clock)
    connected(tmp_path)
    queued(tmp_path, look)


def test_a_task_that_took_its_worker_down_too_often_is_told_and_the_counts_add_up(tmp_path):
    async def die(queue):
        await queue.put([task("1")], [])
        for _ in range(10):
            await queue.recover()
            assert await queue.begin((await queue.lease(1))[0])

    log = Told()
    queued(tmp_path, die)
    result, _ = connected(tmp_path, log)
    (letter,) = log.of("task_dead_lettered")
    assert (letter["task_id"], letter["code"]) == ("1", "crashed")
    assert (result["tasks_resumed"], result["tasks_failed"], result["tasks_pending"]) == (1, 1, 0)


def test_the_duration_counts_from_the_start_of_the_run_and_not_from_when_it_was_ready(tmp_path):
    at: dict[str, float] = {}

    def slow(name, /, **_fields):
        if name == "starting":
            time.sleep(2.0)  # a start that takes its time: it is what is tested
        at.setdefault(name, time.monotonic())

    connected(tmp_path, Told(slow), hub=True, hub_url="http://127.0.0.1:9/hub", duration_seconds=2)
    assert at["shutdown_requested"] - at["starting"] < 1.5


@pytest.mark.parametrize("reports", [False, True], ids=["without a hub", "with reports"])
def test_a_stop_while_a_task_of_a_known_program_is_in_work_ends_the_run(reports, tmp_path):
    """Its end is committed while the worker winds up: what that wakes is cancelled within the same turns of the loop."""

    async def scene(**settings):
        stop = StopRequest()
        log = Told(
            lambda name, /, **told: (
                stop.ask("test") if (name, told.get("task_id")) == ("processing_task", "4") else None
            )
        )
        resolved = load(Layer({"workspace": str(tmp_path), "llm": "off", **settings}, {}))
        async with asyncio.timeout(LIMIT):
            result, code = await connect(resolved, log, stop=stop, hub=reports)
        assert (result["workflows_reused"], result["tasks_pending"], code) == (1, 1, 0)

    known = [task(str(number), "word " * 10**number) for number in (1, 4, 5)]  # more than the proof before covered
    queued(tmp_path, lambda queue: queue.put(known, []))
    if not reports:
        asyncio.run(scene())
        return
    with hub("demo") as server:
        asyncio.run(scene(hub_url=server.url, report_method="TaskFinished"))
