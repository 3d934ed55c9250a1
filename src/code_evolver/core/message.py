"""What a hub sent → tasks and refusals, and the receipt for it. Every form of the contract; nothing raises."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from code_evolver.core.keys import by_folded_key, fold
from code_evolver.core.strict_json import LARGE, MAX_DEPTH, depth_over, dumps, in_turns, kind, show
from code_evolver.core.task import UNTYPED, Put, Refusal, Task, read_task
from code_evolver.core.task_reading import canonical_text, id_of, is_task, looks_like_task, plan_of

LARGEST_RAW = 16 * 1024 * 1024
"""Bytes of an element that a refusal keeps: as many as a message may have."""
LARGEST_RECEIPT = 24 * 1024
"""Bytes of a receipt with lists: hubs refuse answers over 32 KB."""
LONGEST_REASON = 500
MOST_REFUSALS = 100
"""Elements of one message that are refused one by one. Those beyond are one refusal, which keeps the whole message."""

_ENVELOPES = ("tasks", "data", "payload", "task", "items", "$values")
_ABOUT = frozenset(
    """context method path timestamp version count total source event eventtype status messageid correlationid
    specversion time hub page""".split()  # noqa: SIM905 - words read better than a hundred quoted strings
)
"""Folded keys of scalars beside the tasks of a map that nobody knows: about the message, no elements."""
_MOST_WRAPS = 8


class Message(NamedTuple):
    """What one message held. `elements` = tasks + those that the refusals stand for; none of all: an empty message, no error."""

    tasks: tuple[Task, ...]
    refusals: tuple[Refusal, ...]
    elements: int


@dataclass(slots=True)
class _Reading:
    """What was found so far."""

    record: bytes
    tasks: list[Task] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    more: int = 0
    """Elements refused beyond MOST_REFUSALS."""
    more_from: int = 0
    """Place of the first of them."""

    def take(self, found: Mapping[str, Any], given_id: str) -> None:
        task = read_task(found, given_id)
        if isinstance(task, Task):
            self.tasks.append(task)
        else:
            self.refuse(found, task, given_id)

    @property
    def full(self) -> bool:
        """Whether a further refusal is only counted: nobody reads its reason."""
        return len(self.refusals) >= MOST_REFUSALS

    def refuse(self, element: Any, reason: str, given_id: str = "") -> None:
        if self.full:
            self.more_from = self.more_from or len(self.tasks) + len(self.refusals)
            self.more += 1
            return
        own_id = id_of(element, plan_of(element)) if isinstance(element, Mapping) else ""
        index = len(self.tasks) + len(self.refusals)
        self.refusals.append(Refusal(index, own_id or given_id, reason[:LONGEST_REASON], self._raw(element)))

    def message(self, arguments: Sequence[Any]) -> Message:
        """Give what was found in a message's arguments."""
        refusals = list(self.refusals)
        if self.more:
            reason = f"The message holds {self.more} more elements that are no tasks; it is kept here as a whole."
            whole = self.record if 0 < len(self.record) <= LARGEST_RAW else self._raw(arguments)
            refusals.append(Refusal(self.more_from, "", reason, whole, self.more))
        return Message(tuple(self.tasks), tuple(refusals), len(self.tasks) + len(self.refusals) + self.more)

    def _raw(self, element: Any) -> bytes:
        try:
            raw = canonical_text(element).encode("ascii")
        except RecursionError:
            raw = self.record
        if len(raw) > LARGEST_RAW:  # escapes made it longer than what came
            raw = self.record
        return raw if len(raw) <= LARGEST_RAW else b""


def read_message(arguments: Sequence[Any], *, raw: bytes = b"", hub_name: str = "", text: bytes = b"") -> Message:
    """Read one invocation's arguments, a stream item, or a result. Never raises.

    `raw` is the record as received: kept for an element that cannot be written again. `hub_name` names the message in
    a reason. `text` is what the only argument was read from, where that is at hand.
    """
    if text and len(arguments) == 1 and is_task(arguments[0]):
        task = read_task(arguments[0], "", text)
        if isinstance(task, Task):
            return Message((task,), (), 1)
    reading = _Reading(raw)
    if len(arguments) == 1 and type(arguments[0]) is dict:
        _object(arguments[0], "", 0, reading)
    else:
        _arguments(arguments, hub_name, reading)
    return reading.message(arguments)


def holds_tasks(message: Message) -> bool:
    """Say whether any of its tasks is surely one: a hub may answer a call with a word, or with an object about itself."""
    return any(_is_surely_one(task) for task in message.tasks)


def _is_surely_one(task: Task) -> bool:
    """Take what has a key that only tasks have; or says what is to be done, and by an id or a name which one it is."""
    if is_task(task.raw):
        return True
    to_do = task.type != UNTYPED or not _ABOUT.issuperset(task.fields)
    return to_do and (task.id_given or bool(task.name))


def _arguments(arguments: Sequence[Any], hub_name: str, reading: _Reading) -> None:
    """Several arguments: containers (and JSON text of them) hold the tasks, the rest is about them."""
    opened = [_opened(value) for value in arguments]
    containers = [value for value in opened if isinstance(value, dict | list)]
    for value in containers:
        _element(value, "", 0, reading)
    if containers or all(value is None for value in opened):
        return
    if len(opened) == 1:
        _element(opened[0], "", 0, reading)
        return
    where = f" of {show(hub_name)}" if hub_name else ""
    reading.refuse(list(arguments), f"None of the {len(opened)} arguments{where} is an object, a list or JSON text.")


def _element(value: Any, given_id: str, wraps: int, reading: _Reading) -> None:
    value = _opened(value)
    if wraps > _MOST_WRAPS:
        reading.refuse(value, f"The task lies in more than {_MOST_WRAPS} envelopes.", given_id)
    elif isinstance(value, dict):
        _object(value, given_id, wraps, reading)
    elif isinstance(value, list):
        for item in value:
            if item == {}:
                reading.refuse(item, "An element is an empty object.")
            else:
                _element(item, "", wraps + 1, reading)
    elif reading.full:
        reading.refuse(value, "")
    elif isinstance(value, str):
        reading.refuse(value, f"The text {show(value, 60)} is no JSON of a task.", given_id)
    else:
        reading.refuse(value, f"An element is {kind(value)}, not a task.", given_id)


def _object(found: Mapping[str, Any], given_id: str, wraps: int, reading: _Reading) -> None:
    """A task, an envelope, or a map of id to task."""
    if is_task(found):
        reading.take(found, given_id)
        return
    inner = _unwrapped(found)
    if inner is not None:
        for value in inner:
            _element(value, "", wraps + 1, reading)
    elif looks_like_task(found) or not _is_map(found):
        if found:
            reading.take(found, given_id)
    else:
        for key, value in found.items():
            if isinstance(_opened(value), dict | list) or fold(key) not in _ABOUT:
                _element(value, _short(key), wraps + 1, reading)


def _unwrapped(found: Mapping[str, Any]) -> list[Any] | None:
    """Give what lies in the object's envelope keys; None where it is no envelope."""
    values = by_folded_key(found)
    there = [key for key in _ENVELOPES if key in values]
    if not there:
        return None
    opened = [_opened(values[key]) for key in there]
    holding = [value for value in opened if isinstance(value, dict | list)]
    if holding and (not looks_like_task(_without(values, there)) or any(_promising(value) for value in holding)):
        return holding
    nothing = all(value is None for value in opened)
    return [] if nothing and not looks_like_task(_without(values, there)) else None


def _without(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Leave out the envelope keys, and `context` and `source`: a message has these as well as a task."""
    return {key: value for key, value in values.items() if key not in keys and key not in _ABOUT}


def _promising(value: Any, depth: int = 0) -> bool:
    """Say whether a container beside a type or name holds tasks itself rather than being one of a task's fields."""
    if isinstance(value, list):
        return not value or (depth <= _MOST_WRAPS and any(_promising(_opened(item), depth + 1) for item in value))
    if not isinstance(value, Mapping) or depth > _MOST_WRAPS:
        return False
    return looks_like_task(value) or any(_promising(_opened(item), depth + 1) for item in value.values()
                                         if isinstance(item, dict | list))  # fmt: skip


def _is_map(found: Mapping[str, Any]) -> bool:
    return any(isinstance(inner := _opened(value), Mapping) and (looks_like_task(inner) or _unwrapped(inner) is not None)
               for value in found.values())  # fmt: skip


def _short(key: str) -> str:
    return key if len(key) <= 256 and key.isprintable() else ""


def _opened(value: Any) -> Any:
    """Read JSON text of an object or a list, also doubly encoded once; anything else stays as it is."""
    if not isinstance(value, str):
        return value
    opened: Any = value
    for _ in range(2):
        if not isinstance(opened, str):
            break
        text = opened.strip().removeprefix("\ufeff")
        if text[:1] not in {"{", "[", '"'} or text[-1:] not in {"}", "]", '"'}:
            break
        if text.count("{") + text.count("[") > MAX_DEPTH and depth_over(text, MAX_DEPTH):
            break
        try:
            opened = json.loads(text) if len(text) < LARGE else in_turns.decode(text)
        except (ValueError, RecursionError):
            break
    return opened if isinstance(opened, dict | list) else value


def receipt(tasks: Sequence[Task], puts: Sequence[Put], refusals: Sequence[Refusal]) -> dict[str, Any]:
    """Give the answer to a hub that waits for a result: everything in the message is safe.

    `rejected` counts elements; the last of `errors` may stand for many (MOST_REFUSALS).
    Over 24 KB in UTF-8 the lists `accepted`, `duplicates` and `errors` are their lengths, and `ids_omitted` is true.
    """
    duplicates = [task.id for task, put in zip(tasks, puts, strict=True) if put == "duplicate"]
    accepted = [task.id for task, put in zip(tasks, puts, strict=True) if put != "duplicate"]
    errors = [{"index": refusal.index, "id": refusal.id, "reason": refusal.reason} for refusal in refusals]
    answer = {
        "received": True,
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": sum(refusal.elements for refusal in refusals),
        "errors": errors,
    }
    if len(dumps(answer).encode("utf-8", "backslashreplace")) <= LARGEST_RECEIPT:
        return answer
    counts = {"accepted": len(accepted), "duplicates": len(duplicates), "errors": len(errors)}
    return {**answer, **counts, "ids_omitted": True}
