"""A task as the rest of the program sees it: read once from a hub's object, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

CONTENT_FIELDS = (
    "content", "prompt", "text", "instructions", "description", "context", "tone", "audience", "style", "format", "title",
    "subject", "topic", "keywords", "question", "body", "input", "source",
)  # fmt: skip
"""Fields that carry text for the work. Never ids, tenants, dates, priorities. Part of the program key (contracts)."""

MANNER_FIELDS = frozenset({"tone", "audience", "style", "format"})
"""Content fields that only say how to work: beside them a task still needs a text."""

PRIORITIES = {"high": 0, "urgent": 0, "critical": 0, "medium": 1, "normal": 1, "low": 2}


class Task(NamedTuple):
    """One unit of work from the hub. A tuple, for thousands are made a second: a frozen class costs three times as much."""

    id: str
    """As given (numbers as text), else "task-" and 16 hex digits of the digest."""
    id_given: bool
    """False: derived from the content, so a duplicate only within 24 hours."""
    name: str
    """taskName, "" where there was none. Foreign text: show it with strict_json.show."""
    type: str
    """A known type's name, else the foreign type in lower case, at most 64 characters."""
    fields: Mapping[str, str]
    """Content fields that were there (a subset of CONTENT_FIELDS), text for the work."""
    languages: tuple[tuple[str, str], ...]
    """Pairs (from, to), in the hub's order, without repeats; `from` may be "auto"."""
    priority: int
    """0 high, 1 medium, 2 low."""
    due: float | None
    """Seconds since 1970 UTC."""
    closed: bool
    """The hub says it is completed or cancelled: recorded, not worked on."""
    digest: str
    """SHA-256 (hex) of the canonical object without status, dates and priority: equal digest, equal content."""
    raw: Mapping[str, Any]
    """The object as received, unknown fields kept."""
    text: bytes = b""
    """`raw` as the hub wrote it, JSON in UTF-8, where that is at hand and holds the whole task: reading it again gives
    this task, so that nobody need write anything else down."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An element of a message that is no task: becomes a dead letter with its raw bytes."""

    index: int
    """Place among the elements of the message, from 0."""
    id: str
    """The id if one could be read, else ""."""
    reason: str
    """One sentence, at most 500 characters, safe to show."""
    raw: bytes
    """The element as received, b"" where it was too large to keep."""


def node_input(task: Task) -> dict[str, Any]:
    """Give the JSON object that a node reads for this task: id, taskName, content fields, translationLanguages.

    Missing or empty content: the text field takes the task's name.
    """
    text = {key: value for key, value in task.fields.items() if value}
    if MANNER_FIELDS.issuperset(text):
        text = {"content": task.name, **text}
    pairs = [{"from": source, "to": target} for source, target in task.languages]
    return {"id": task.id, "taskName": task.name, **text, **({"translationLanguages": pairs} if pairs else {})}


Put = Literal["queued", "revised", "duplicate", "recorded"]
"""What became of a task that was put: new, new content under a known id, known, or closed by the hub."""
