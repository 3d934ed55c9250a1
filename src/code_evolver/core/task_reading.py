"""One object of a hub → a Task. An odd optional field never costs a task; an object that says nothing is refused."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from code_evolver.core.keys import fold
from code_evolver.core.languages import pairs
from code_evolver.core.strict_json import MAX_DEPTH, depth_over, encoder
from code_evolver.core.task import CONTENT_FIELDS, PRIORITIES, Task
from code_evolver.core.task_types import TASK_TYPES, known

TYPE_KEYS = ("llmtasktype", "tasktype", "llmtype", "type")
NAME_KEYS = ("taskname", "name", "task")
_STRONG_KEYS = frozenset({"llmtasktype", "tasktype", "taskname", "prompt", "llmid", "translationlanguages"})
"""Keys that say "task" whatever else stands beside them."""
_STRONG_AS_SENT = frozenset({"llmTaskType", "taskType", "taskName", "LLMTaskType", "TaskType", "TaskName", "prompt"})
"""Some of them as most hubs write them."""
UNTYPED = "untyped"
"""The type of an object that says neither a type nor, in its name, a verb: goes to the router."""
LONGEST_ID = 256

_ID_KEYS = ("id", "taskid", "uuid", "guid")
_CONTENT = frozenset(CONTENT_FIELDS)
_LANGUAGE_KEYS = (
    "translationlanguages",
    "translationlanguage",
    "languages",
    "languagepairs",
    "targetlanguages",
    "targetlanguage",
)
_SOURCE_KEYS = ("sourcelanguage", "sourcelang", "fromlanguage")
_DUE_KEYS = ("duedate", "due", "dueat", "deadline")
_CLOSED = frozenset({"completed", "complete", "done", "cancelled", "canceled"})
_VOLATILE = frozenset(
    """status state taskstatus priority duedate due dueat deadline date timestamp time createdat created createddate
    createdon creationdate updatedat updated updateddate updatedon modifiedat modified modifieddate modifiedon
    lastmodified lastupdated sentat senton sentdate receivedat queuedat enqueuedat startedat completedat finishedat""".split()  # noqa: SIM905 - words read better than a hundred quoted strings
)
"""Folded keys that do not belong to a task's content: status, dates, priority."""
_TYPED = frozenset(TYPE_KEYS) | frozenset(NAME_KEYS) | _CONTENT
_WORD = re.compile(r"[^\W\d_]+")
_BEFORE_VERB = frozenset({"llm", "ai", "gpt", "auto", "automatic", "automated", "please", "the", "a", "an"})
_DOTNET_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/\Z")

_canonical = encoder(ascii_only=True, nan=False, sort=True)
_canonical_nan = encoder(ascii_only=True, nan=True, sort=True)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which of an object's keys say what, each in order of preference. Objects of one sender share their keys: see _plan."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    """(key as sent, content field)"""
    languages: tuple[str, ...]
    sources: tuple[str, ...]
    priorities: tuple[str, ...]
    dues: tuple[str, ...]
    statuses: tuple[str, ...]
    kept: tuple[str, ...]
    """Keys of the content that the digest is made of, sorted: the canonical text is then sorted already."""
    strong: bool
    """One of them says "task" whatever else stands beside it."""


def _make_plan(keys: Iterable[str]) -> _Plan:
    folded = [(key, fold(key)) for key in keys]

    def named(*wanted: str) -> tuple[str, ...]:
        return tuple(key for want in wanted for key, short in folded if short == want)

    return _Plan(
        ids=named(*_ID_KEYS),
        names=named(*NAME_KEYS),
        types=named(*TYPE_KEYS),
        fields=tuple((key, short) for key, short in folded if short in _CONTENT),
        languages=named(*_LANGUAGE_KEYS),
        sources=named(*_SOURCE_KEYS),
        priorities=named("priority"),
        dues=named(*_DUE_KEYS),
        statuses=named("status"),
        kept=tuple(sorted(key for key, short in folded if short not in _VOLATILE)),
        strong=any(short in _STRONG_KEYS for _, short in folded),
    )


_plans: dict[tuple[str, ...], _Plan] = {}
_MOST_PLANS = 256


def _plan(found: Mapping[str, Any]) -> _Plan:
    """Give the plan of the object's keys; odd ones (many, or long) are not worth the memory they would be kept in."""
    keys = tuple(found)
    plan = _plans.get(keys)
    if plan is None:
        plan = _make_plan(keys)
        if sum(map(len, keys)) <= 1000:
            if len(_plans) >= _MOST_PLANS:
                _plans.clear()
            _plans[keys] = plan
    return plan


def is_task(found: Mapping[str, Any]) -> bool:
    """Say whether a key of the object says that it is a task, and neither an envelope nor a map."""
    return not _STRONG_AS_SENT.isdisjoint(found) or _plan(found).strong


def looks_like_task(found: Mapping[str, Any]) -> bool:
    """Say whether the object has a type, a name or content (by folded key, not null)."""
    return any(value is not None and fold(key) in _TYPED for key, value in found.items())


def read_task(found: Mapping[str, Any], given_id: str = "", text: bytes = b"") -> Task | str:
    """Read one object; `given_id` is the key it stood under, used where it has no id. Gives the reason of a refusal as text.

    `text`: what `found` was read from, where that is at hand.
    """
    plan = _plan(found)
    canonical = _shallow_text({key: found[key] for key in plan.kept})
    if not canonical:
        return f"The task nests deeper than {MAX_DEPTH} levels."
    name = _text(_first(found, plan.names)) if plan.names else ""
    fields = _fields(found, plan)
    kind = _type(found, plan, name)
    if not kind and not name and not fields:
        return "The object has neither a type, nor a name, nor content."
    digest = sha256(canonical.encode("ascii")).hexdigest()
    own_id = _id(found, plan.ids) or given_id
    return Task(
        own_id or "task-" + digest[:16],
        bool(own_id),
        name,
        kind or UNTYPED,
        fields,
        _languages(found, plan) if plan.languages else (),
        _priority(_first(found, plan.priorities)) if plan.priorities else 1,
        _due(_first(found, plan.dues)) if plan.dues else None,
        _closed(found, plan) if plan.statuses else False,
        digest,
        found,
        text,
    )


def read_again(found: Mapping[str, Any], text: bytes) -> Task:
    """Read an object that was accepted before, maybe by an older version of these rules: it is a task whatever it says."""
    task = read_task(found, "", text)
    if isinstance(task, Task):
        return task
    digest = sha256(text).hexdigest()
    own_id = read_id(found)
    return Task(
        id=own_id or "task-" + digest[:16], id_given=bool(own_id), name="", type=UNTYPED, fields={}, languages=(),
        priority=1, due=None, closed=False, digest=digest, raw=found, text=text,
    )  # fmt: skip


def _shallow_text(kept: Mapping[str, Any]) -> str:
    """Give the canonical text, "" where it nests too deep for those who will read it after us."""
    try:
        canonical = canonical_text(kept)
    except RecursionError:
        return ""
    if canonical.count("{") + canonical.count("[") > MAX_DEPTH and depth_over(canonical, MAX_DEPTH):
        return ""
    return canonical


def _first(found: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = found[key]
        if value is not None:
            return value
    return None


def _fields(found: Mapping[str, Any], plan: _Plan) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, field in plan.fields:
        value = found[key]
        if value is not None and field not in fields:
            fields[field] = _text(value)
    return fields


def canonical_text(value: Any) -> str:
    """Write equal values as equal text, as strict_json.canonical does; NaN does not cost a task. Raises RecursionError."""
    try:
        return _canonical(value)
    except ValueError:
        return _canonical_nan(value)


def read_id(found: Mapping[str, Any]) -> str:
    """Give the object's id as text, "" where there is none that can be used (missing, empty, too long, no scalar)."""
    return _id(found, _plan(found).ids)


def _id(found: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        text = _id_text(found[key])
        if text and len(text) <= LONGEST_ID:
            return _writable(text)
    return ""


def _id_text(value: Any) -> str:
    if type(value) is str:
        return value.strip()
    if type(value) is int:
        return str(value) if abs(value) < 10**300 else ""
    if type(value) is float and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    return ""


def _writable(text: str) -> str:
    """Replace halves of surrogate pairs: neither a database nor a pipe takes them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str:
    """Give foreign content as text: numbers and truth values as JSON writes them, lists a line an item, objects as JSON."""
    if type(value) is str:
        return _writable(value)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return "\n".join(_text(item) for item in value)
    return canonical_text(value)


def _type(found: Mapping[str, Any], plan: _Plan, name: str) -> str:
    """Give the type's name; a number that contradicts the verb at the beginning of the name loses against it."""
    for key in plan.types:
        value = found[key]
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int:
            value = str(value) if 0 <= value < 1000 else ""
        if type(value) is str and value:
            word = _type_of_text(value[:200])
            if word and value.strip().isdecimal():
                return verb(name, leading=True) or word
            if word:
                return word
    return verb(name, leading=False) if name else ""


@lru_cache(maxsize=1024)
def _type_of_text(text: str) -> str:
    row = known(text)
    if row:
        return row.name
    return "".join(char for char in _writable(text).strip().lower() if char.isalnum() or char == "_")[:64]


@lru_cache(maxsize=1024)
def _verbs() -> Mapping[str, str]:
    return {
        word: row.name
        for row in TASK_TYPES.values()
        for word in (*row.filler, *row.aliases, row.name)
        if isinstance(word, str)
    }


@lru_cache(maxsize=1024)
def _verb(words: str, leading: bool) -> str:
    for word in _WORD.findall(words.lower()):
        kind = _verbs().get(word)
        if kind or (leading and word not in _BEFORE_VERB):
            return kind or ""
    return ""


def verb(name: str, *, leading: bool) -> str:
    """Give the known type that a word of `name` means (`leading`: its first word, "llm", "ai" aside), else ""."""
    head = name[:200]
    return _verb(head, leading) or ("" if leading else _verb(_split_humps(head), leading))


def _split_humps(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _languages(found: Mapping[str, Any], plan: _Plan) -> tuple[tuple[str, str], ...]:
    source = _first(found, plan.sources)
    for key in plan.languages:
        value = found[key]
        if value:
            languages = pairs(value, source)
            if languages:
                return languages
    return ()


def _priority(value: Any) -> int:
    return PRIORITIES.get(value.strip().lower()[:20], 1) if type(value) is str else 1


def _closed(found: Mapping[str, Any], plan: _Plan) -> bool:
    status = _first(found, plan.statuses)
    return type(status) is str and status.strip().lower()[:20] in _CLOSED


def _due(value: Any) -> float | None:
    """Read ISO 8601 (no offset: UTC), seconds or milliseconds since 1970, or .NET's /Date(…)/; None for the rest."""
    if type(value) is str:
        return _due_text(value) if len(value) <= 64 else None
    if type(value) in {int, float} and 0 < value < 1e14:
        return float(value if value < 1e11 else value / 1000)
    return None


@lru_cache(maxsize=1024)
def _due_text(text: str) -> float | None:
    old = _DOTNET_DATE.match(text.strip())
    if old:
        return int(old[1]) / 1000
    try:
        when = datetime.fromisoformat(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
