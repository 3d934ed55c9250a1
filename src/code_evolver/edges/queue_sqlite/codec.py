"""Tasks and drafts as bytes in the queue file, and back, exactly.

A task that was read from an object's text is that text, and is read again; that costs an arriving task nothing. Any other
is one JSON list: its raw object, then what the message reader made of it. A content field that stands in the raw object
under its own or a capitalised key is kept there as [key], so that long texts are stored once.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.strict_json import encoder
from code_evolver.core.task import Refusal, Task
from code_evolver.core.task_reading import read_again

_encode = encoder(ascii_only=False, nan=True, default=dict)


def as_json(value: Any) -> bytes:
    """Write compact JSON; what Python's json can read comes back (infinite numbers and lone surrogates included)."""
    return _encode(value).encode("utf-8", "surrogatepass")


def from_json(stored: bytes) -> Any:
    """Read what as_json wrote."""
    return json.loads(stored.decode("utf-8", "surrogatepass"))


def _reference(raw: Mapping[str, Any], name: str, text: str) -> str | list[str]:
    for key in (name, name.capitalize()):
        found = raw.get(key)
        if found is text or (type(found) is str and found == text):
            return [key]
    return text


def task_to_bytes(task: Task) -> bytes:
    """Write a task."""
    if task.text:
        return task.text
    raw = task.raw
    fields = {name: _reference(raw, name, text) for name, text in task.fields.items()}
    read = [task.id, task.id_given, task.name, task.type, fields, task.languages, task.priority, task.due, task.closed,
            task.digest]  # fmt: skip
    return as_json([raw, *read])


def task_from_bytes(stored: bytes) -> Task:
    """Read a task; equal to the one that was written."""
    if stored.startswith(b"{"):
        return read_again(from_json(stored), stored)
    raw, identifier, given, name, kind, fields, languages, priority, due, closed, digest = from_json(stored)
    texts = {key: raw[text[0]] if type(text) is list else text for key, text in fields.items()}
    pairs = tuple((source, target) for source, target in languages)
    return Task(identifier, given, name, kind, texts, pairs, priority, due, closed, digest, raw)


def raw_bytes(task: Task) -> bytes:
    """Give the object of a task as one line of JSON: what a dead letter keeps of it."""
    return as_json(task.raw)


def id_key(identifier: str) -> bytes:
    """Give the 16 bytes under which an id is remembered."""
    return hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def digest_key(digest: str) -> bytes:
    """Give the 16 bytes under which a content is remembered (of 64 hex digits, or of any text)."""
    try:
        return bytes.fromhex(digest)[:16]
    except ValueError:
        return id_key(digest)


def refusal_key(refusal: Refusal) -> bytes:
    """Give what makes two refused elements one dead letter: the bytes; where none were kept, id and reason."""
    seed = refusal.raw or b"\0" + as_json([refusal.id, refusal.reason])
    return hashlib.blake2b(seed, digest_size=16).digest()


def drafts_from(stored: bytes | None) -> Sequence[Mapping[str, Any]]:
    """Read the drafts of a dead letter."""
    return tuple(from_json(stored)) if stored else ()
