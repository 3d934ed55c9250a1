"""A task as the rest of the program sees it: made of a hub's object, never changed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from code_evolver.core import task_reading as reading
from code_evolver.core.strict_json import MAX_DEPTH, encoder

UNTYPED = "untyped"
"""The type of an object that says neither a type nor, in its name, a verb: goes to the router."""
_compact = encoder(ascii_only=False, nan=False)
_compact_odd = encoder(ascii_only=False, nan=True)
_INFINITE = re.compile(r'"(?:[^"\\]|\\.)*"|Infinity')


class _Accepted(NamedTuple):
    id: str
    """As given (numbers as text), else "task-" and 16 hex digits of the digest."""
    id_given: bool
    """False: derived from the content, so a duplicate only within 24 hours."""
    type: str
    """A known type's name, else the foreign type in lower case, at most 64 characters."""
    priority: int
    """0 high, 1 medium, 2 low."""
    due: float | None
    """Seconds since 1970 UTC."""
    closed: bool
    """The hub says it is completed or cancelled: recorded, not worked on."""
    raw: Mapping[str, Any]
    """The object as received, unknown fields kept."""
    written: bytes
    """The task as it is written down, for read_again: the JSON of its object, as the hub wrote it where that was at hand;
    or [object, id] where its id was no part of it. UTF-8, lone surrogates passed."""


class Task(_Accepted):
    """One unit of work from the hub. What is needed to accept it is read at once, the rest when it is first asked for.

    A tuple, for thousands are made a second: a frozen class costs three times as much.
    """

    @cached_property
    def name(self) -> str:
        """taskName, "" where there was none. Foreign text: show it with strict_json.show."""
        return reading.name_of(self.raw, reading.plan_of(self.raw))

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """Content fields that were there (a subset of CONTENT_FIELDS), text for the work."""
        return reading.fields_of(self.raw, reading.plan_of(self.raw))

    @cached_property
    def languages(self) -> tuple[tuple[str, str], ...]:
        """Pairs (from, to), in the hub's order, without repeats; `from` may be "auto"."""
        return reading.languages_of(self.raw, reading.plan_of(self.raw))

    @property
    def received(self) -> bytes:
        """The JSON of its object, as the hub wrote it where that was at hand."""
        behind = b"".join((b",", _as_text(self.id), b"]"))
        own_id = not (self.written.startswith(b"[") and self.written.endswith(behind))
        return self.written if own_id else self.written[1 : -len(behind)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical object without status, dates and priority: equal digest, equal content."""
        return reading.digest_of(self.raw, reading.plan_of(self.raw))


def read_task(found: Mapping[str, Any], given_id: str = "", text: bytes = b"") -> Task | str:
    """Read one object. An odd optional field never costs a task; gives the reason of a refusal as text.

    `given_id` is the key it stood under, used where it has no id. `text`: what `found` was read from, where that is at
    hand.
    """
    plan = reading.plan_of(found)
    text = text or _as_text(found)
    if not text or reading.too_deep(text):
        return f"The task nests deeper than {MAX_DEPTH} levels."
    kind = reading.type_of(found, plan)
    if not kind and not reading.name_of(found, plan) and not reading.fields_of(found, plan):
        return "The object has neither a type, nor a name, nor content."
    return _task(found, plan, kind, given_id, text)


def read_again(written: bytes) -> Task | None:
    """Read a task that was accepted before, maybe by an older version of these rules: it is one whatever it says.

    None where the bytes are not what was written down: a disk changes some. Up to version 3 of the queue file more was
    written down: [object, id, whether that was given, …].
    """
    try:
        found = json.loads(written.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    parts = [found, ""] if isinstance(found, dict) else found
    if not isinstance(parts, list) or len(parts) < 2 or not isinstance(parts[0], dict) or not isinstance(parts[1], str):
        return None
    raw, identifier, *more = parts
    given_id = identifier if not more or more[0] else ""
    plan = reading.plan_of(raw)
    return _task(raw, plan, reading.type_of(raw, plan), given_id, written if raw is found else _as_text(raw))


def unreadable(identifier: str, kind: str, written: bytes) -> Task:
    """Give what stands for a task that read_again could not read: it says nothing, and is equal in content to none."""
    return Task(identifier, id_given=True, type=kind, priority=1, due=None, closed=False, raw={}, written=written)


def _task(found: Mapping[str, Any], plan: reading.Plan, kind: str, given_id: str, text: bytes) -> Task:
    identifier = reading.id_of(found, plan)
    if not identifier and given_id:
        identifier = given_id
        text = b"".join((b"[", text, b",", _as_text(identifier), b"]"))
    return Task(
        identifier or "task-" + reading.digest_of(found, plan)[:16],
        bool(identifier),
        kind or UNTYPED,
        reading.priority_of(found, plan) if plan.priorities else 1,
        reading.due_of(found, plan) if plan.dues else None,
        reading.closed_of(found, plan) if plan.statuses else False,
        found,
        text,
    )


def _as_text(value: Any) -> bytes:
    try:
        text = _strict(value)
    except RecursionError:
        return b""
    return text.encode("utf-8", "surrogatepass")


def _strict(value: Any) -> str:
    try:
        return _compact(value)
    except ValueError:  # 1e400 is JSON; what Python would write for it is none
        return _INFINITE.sub(lambda found: "1e999" if found[0] == "Infinity" else found[0], _compact_odd(value))


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
    elements: int = 1
    """How many elements it stands for: over one only for the rest of a message with very many, of which `raw` is the whole."""


def node_input(task: Task) -> dict[str, Any]:
    """Give the JSON object that a node reads for this task: id, taskName, content fields, translationLanguages.

    Missing or empty content: the text field takes the task's name.
    """
    text = {key: value for key, value in task.fields.items() if value}
    if reading.MANNER_FIELDS.issuperset(text):
        text = {"content": task.name, **text}
    pairs = [{"from": source, "to": target} for source, target in task.languages]
    return {"id": task.id, "taskName": task.name, **text, **({"translationLanguages": pairs} if pairs else {})}


Put = Literal["queued", "revised", "duplicate", "recorded"]
"""What became of a task that was put: new, new content under a known id, known, or closed by the hub."""
