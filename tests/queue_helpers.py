"""What the tests of queues share: tasks to put, a clock to turn."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_evolver.core.task import Refusal, Task, read_task
from code_evolver.edges.queue_sqlite import SqliteQueue


@dataclass
class Clock:
    """A clock that stands until it is turned."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


PRIORITIES = ("high", "medium", "low")


def task(
    identifier: str, content: str = "a text", *, priority: int = 1, closed: bool = False, raw: Any = None, **more: Any
) -> Task:
    """Make a summarize task; `more`: further fields of its object."""
    found = {"id": identifier, "taskName": "Notes", "taskType": "Summarize", "content": content, **more}
    found |= {"priority": PRIORITIES[priority]} if priority != 1 else {}
    found |= {"status": "done"} if closed else {}
    return read(found if raw is None else raw)


def anonymous(content: str = "a text", **more: Any) -> Task:
    """Make one without an id of its own."""
    return read({"taskName": "Notes", "taskType": "Summarize", "content": content, **more})


def read(found: Any) -> Task:
    made = read_task(found)
    assert isinstance(made, Task), made
    return made


def refusal(raw: bytes = b'"nonsense"', reason: str = "It is no object.") -> Refusal:
    """Make an element that was no task."""
    return Refusal(0, "", reason, raw)


def tell(path: Path, story: Callable[[SqliteQueue], Any], **settings: Any) -> list[str]:
    """Open, play the story, close; give the notices."""

    async def play() -> list[str]:
        queue = SqliteQueue.open(path, **settings)
        try:
            await story(queue)
        finally:
            await queue.close()
        return queue.notices

    return asyncio.run(asyncio.wait_for(play(), 60))


async def nothing(_queue: SqliteQueue) -> None: ...


def fill(path: Path, number: int = 3, **settings: Any) -> None:
    async def story(queue: SqliteQueue) -> None:
        await queue.put([task(str(n), f"text {n} " + "x" * 300) for n in range(number)], [refusal()])

    tell(path, story, **settings)
