"""A process that puts and ends tasks until it is killed; started by test_queue_sqlite_kills.

Each line on stdout is a fact that was synced before it was written: "put <id>" or "end <id>".
"""

import asyncio
import os
import sys
from pathlib import Path

from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import End
from tests.queue_helpers import task


def say(words: str) -> None:
    os.write(1, (words + "\n").encode())


async def produce(queue: SqliteQueue, start: int) -> None:
    for number in range(start, start + 1_000_000, 5):
        names = [f"t{number + place}" for place in range(5)]
        await queue.put([task(name, name) for name in names], [])
        say("\n".join(f"put {name}" for name in names))


async def consume(queue: SqliteQueue) -> None:
    while True:
        leases = await queue.lease(4)
        if not leases:
            await asyncio.sleep(0.001)
            continue
        for lease in leases[:1]:
            await queue.begin(lease)
        last = leases[-1]
        await queue.postpone(last, 0.0, "later", failure=False)
        done = await queue.finish([End(lease, "generated", "node") for lease in leases[:-1]])
        for lease, good in zip(leases, done, strict=False):
            say(f"end {lease.task.id}" if good else f"lost {lease.task.id}")


async def main(path: str, start: int) -> None:
    queue = SqliteQueue.open(Path(path))
    await queue.recover()
    say("ready")
    async with asyncio.TaskGroup() as group:
        group.create_task(produce(queue, start))
        group.create_task(consume(queue))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
