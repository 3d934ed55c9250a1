"""The system clock was a year ahead when the queue was written, and has been set right since."""

import asyncio
import signal
import time

from code_evolver.core.message import read_message
from code_evolver.edges.queue_sqlite import SqliteQueue, read_tasks
from code_evolver.edges.workspace import Workspace
from tests.acceptance_kit import connector, hub
from tests.dying_kit import status, task
from tests.queue_helpers import Clock

YEAR = 365 * 86400.0
LONGEST_WAIT = 900.0


async def written_ahead(workspace):
    """Six tasks: two postponed, three leased by a connector that is gone, one that only waits."""
    queue = SqliteQueue.open(workspace.queue, clock=Clock(time.time() + YEAR), reserve=workspace.reserve)
    await queue.put(read_message([[task(number) for number in range(6)]]).tasks, [])
    leases = await queue.lease(5)
    await queue.begin_many(leases)
    for lease in leases[:2]:
        await queue.postpone(lease, 5.0, "later", failure=True)
    await queue.close()
    return {lease.task.id for lease in leases[:2]}


def test_a_clock_that_was_set_back_holds_up_nothing(tmp_path):
    workspace = Workspace.at(tmp_path)
    workspace.prepare()
    postponed = asyncio.run(written_ahead(workspace))
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            door.wait_event("task_completed", 4)
            server.post("send", [task(0), task(6)], method="TaskHub")
            door.wait_event("task_completed", 5)
            found = status(tmp_path)
            waiting = {row.id: row.not_before or 0.0 for row in read_tasks(workspace.queue, 10, pending=True)}
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert waiting.keys() == postponed
    assert all(due <= time.time() + LONGEST_WAIT for due in waiting.values()), waiting
    assert (found["received"], found["pending"], found["duplicates"], found["failed"]) == (7, 2, 1, 0)
    assert found["oldest_pending_seconds"] >= 0
    assert (code, result["tasks_resumed"], result["tasks_received"], result["tasks_pending"]) == (0, 6, 1, 2)
