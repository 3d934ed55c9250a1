"""What the tests of queues share: tasks to put, a clock to turn."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_evolver.core.task import Refusal, Task
from code_evolver.edges.queue_sqlite import SqliteQueue


@dataclass
class Clock:
    """A clock that stands until it is turned."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def task(identifier: str, content: str = "a text", **changes: Any) -> Task:
    """Make a summarize task."""
    raw: dict[str, Any] = {"id": identifier, "taskName": "Notes", "taskType": "Summarize", "content": content}
    fields: dict[str, Any] = {
        "id": identifier, "id_given": True, "name": "Notes", "type": "summarize", "fields": {"content": content},
        "languages": (), "priority": 1, "due": None, "closed": False,
        "digest": hashlib.sha256(content.encode()).hexdigest(), "raw": raw,
    }  # fmt: skip
    return Task(**(fields | changes))


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
