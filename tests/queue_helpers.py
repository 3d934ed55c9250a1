"""What the tests of queues share: tasks to put, a clock to turn."""

import hashlib
from dataclasses import dataclass
from typing import Any

from code_evolver.core.task import Refusal, Task


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
