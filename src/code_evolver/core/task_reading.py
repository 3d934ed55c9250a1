"""What the object of a hub says: its id, type, texts, languages, dates, in whatever casing and form. Nothing raises.

Each question is answered alone, so that an arriving task costs only the answers without which it cannot be accepted.
"""

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
from code_evolver.core.task_types import TASK_TYPES, known

CONTENT_FIELDS = (
    "content", "prompt", "text", "instructions", "description", "context", "tone", "audience", "style", "format", "title",
    "subject", "topic", "keywords", "question", "body", "input", "source",
)  # fmt: skip
"""Fields that carry text for the work. Never ids, tenants, dates, priorities. Part of the program key (contracts)."""
MANNER_FIELDS = frozenset({"tone", "audience", "style", "format"})
"""Content fields that only say how to work: beside them a task still needs a text."""
PRIORITIES = {"high": 0, "urgent": 0, "critical": 0, "medium": 1, "normal": 1, "low": 2}

TYPE_KEYS = ("llmtasktype", "tasktype", "llmtype", "type")
NAME_KEYS = ("taskname", "name", "task")
_STRONG_KEYS = frozenset({"llmtasktype", "tasktype", "taskname", "prompt", "llmid", "translationlanguages"})
"""Keys that say "task" whatever else stands beside them."""
_STRONG_AS_SENT = frozenset({"llmTaskType", "taskType", "taskName", "LLMTaskType", "TaskType", "TaskName", "prompt"})
"""Some of them as most hubs write them."""
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
class Plan:
    """Which of an object's keys say what, each in order of preference. Objects of one sender share their keys: see plan_of."""

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


def _make_plan(keys: Iterable[str]) -> Plan:
    folded = [(key, fold(key)) for key in keys]

    def named(*wanted: str) -> tuple[str, ...]:
        return tuple(key for want in wanted for key, short in folded if short == want)

    return Plan(
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


_plans: dict[tuple[str, ...], Plan] = {}
_MOST_PLANS = 256


def plan_of(found: Mapping[str, Any]) -> Plan:
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
    return not _STRONG_AS_SENT.isdisjoint(found) or plan_of(found).strong


def looks_like_task(found: Mapping[str, Any]) -> bool:
    """Say whether the object has a type, a name or content (by folded key, not null)."""
    return any(value is not None and fold(key) in _TYPED for key, value in found.items())


def id_of(found: Mapping[str, Any], plan: Plan) -> str:
    """Give the id as text, "" where there is none that can be used (missing, empty, too long, no scalar)."""
    for key in plan.ids:
        text = _id_text(found[key])
        if text and len(text) <= LONGEST_ID:
            return _writable(text)
    return ""


def name_of(found: Mapping[str, Any], plan: Plan) -> str:
    """Give the task's name, "" where there is none."""
    return _text(_first(found, plan.names))


def type_of(found: Mapping[str, Any], plan: Plan) -> str:
    """Give the type's name, "" where neither a type nor a verb in the name says one.

    A number that contradicts the verb at the beginning of the name loses against it.
    """
    for key in plan.types:
        value = found[key]
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int:
            value = str(value) if 0 <= value < 1000 else ""
        if type(value) is str and value:
            word = _type_of_text(value[:200])
            if word and value.strip().isdecimal():
                return verb(name_of(found, plan), leading=True) or word
            if word:
                return word
    return verb(name_of(found, plan), leading=False)


def fields_of(found: Mapping[str, Any], plan: Plan) -> dict[str, str]:
    """Give the content fields that are there, as text."""
    fields: dict[str, str] = {}
    for key, field in plan.fields:
        value = found[key]
        if value is not None and field not in fields:
            fields[field] = _text(value)
    return fields


def languages_of(found: Mapping[str, Any], plan: Plan) -> tuple[tuple[str, str], ...]:
    """Give the pairs (from, to), in the hub's order, without repeats."""
    source = _first(found, plan.sources)
    for key in plan.languages:
        value = found[key]
        if value:
            languages = pairs(value, source)
            if languages:
                return languages
    return ()


def priority_of(found: Mapping[str, Any], plan: Plan) -> int:
    """Give 0 high, 1 medium, 2 low."""
    value = _first(found, plan.priorities)
    if type(value) is not str:
        return 1
    known_as = PRIORITIES.get(value)
    return PRIORITIES.get(value.strip().lower()[:20], 1) if known_as is None else known_as


def due_of(found: Mapping[str, Any], plan: Plan) -> float | None:
    """Read ISO 8601 (no offset: UTC), seconds or milliseconds since 1970, or .NET's /Date(…)/; None for the rest."""
    value = _first(found, plan.dues)
    if type(value) is str:
        return _due_text(value) if len(value) <= 64 else None
    if type(value) in {int, float} and 0 < value < 1e14:
        return float(value if value < 1e11 else value / 1000)
    return None


def closed_of(found: Mapping[str, Any], plan: Plan) -> bool:
    """Say whether the hub calls it completed or cancelled."""
    status = _first(found, plan.statuses)
    return type(status) is str and _is_closed(status if len(status) <= 64 else status.strip()[:64])


def digest_of(found: Mapping[str, Any], plan: Plan) -> str:
    """Give the SHA-256 (hex) of the canonical object without status, dates and priority: equal digest, equal content."""
    return sha256(canonical_text({key: found[key] for key in plan.kept}).encode("ascii")).hexdigest()


def too_deep(text: bytes) -> bool:
    """Say whether the JSON of an object nests too deep for those who will read it after us."""
    return text.count(b"{") + text.count(b"[") > MAX_DEPTH and depth_over(
        text.decode("utf-8", "surrogatepass"), MAX_DEPTH
    )


@lru_cache(maxsize=1024)
def _is_closed(status: str) -> bool:
    return status.strip().lower()[:20] in _CLOSED


def _first(found: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = found[key]
        if value is not None:
            return value
    return None


def canonical_text(value: Any) -> str:
    """Write equal values as equal text, as strict_json.canonical does; NaN does not cost a task. Raises RecursionError."""
    try:
        return _canonical(value)
    except ValueError:
        return _canonical_nan(value)


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
