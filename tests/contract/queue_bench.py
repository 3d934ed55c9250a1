"""The implementations of the queue, each on a bench. A new one is one more factory here."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.ports import Lease, Queue
from tests.queue_helpers import Clock

Open = Callable[..., Any]


def sqlite(folder: Path, clock: Clock, **settings: Any) -> SqliteQueue:
    return SqliteQueue.open(folder / "queue.db", clock=clock, **settings)


FACTORIES = {"sqlite": sqlite}
KEEPS_TO_THE_PORT: list[type[Queue]] = [SqliteQueue]  # mypy holds each implementation against the port


class Bench:
    """One implementation, its folder and its clock."""

    def __init__(self, factory: Open, folder: Path) -> None:
        self.factory, self.folder, self.clock = factory, folder, Clock()

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Any]:
        queue = self.factory(self.folder, self.clock, **settings)
        try:
            yield queue
        finally:
            await queue.close()

    def run(self, story: Callable[[Any], Awaitable[None]], **settings: Any) -> None:
        async def play() -> None:
            async with self.open(**settings) as queue:
                await story(queue)

        asyncio.run(asyncio.wait_for(play(), 30))


async def only(queue: Queue) -> Lease:
    (lease,) = await queue.lease(1)
    return lease
