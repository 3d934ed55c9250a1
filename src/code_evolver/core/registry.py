"""registry.json and node.json as values: what a node's record says, and how the registry shows it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from code_evolver.core.errors import StoreError
from code_evolver.core.strict_json import BadJson, escape, loads

SCHEMA_VERSION = 1
_HEAD = '{\n  "schema_version": 1,\n  "nodes": {'
_TAIL = "\n  }\n}\n"
_REQUIRED = {
    "name": str, "task_type": str, "tools": list, "program_key": str, "node_key": str, "source_task": str, "generator": dict,
    "proof": dict, "isolation": dict, "sha256": str, "created": str, "version": int,
}  # fmt: skip


_TEXTS = ("title", "description", "rating", "rating_note", "parent")
"""May be missing; text where they are there."""
_COUNTS = ("languages", "max_chars", "cases")
_MOST = 2**31


def source_hash(code: bytes) -> str:
    """Give the SHA-256 (hex) of a program with its line ends normalised, so that a checkout on Windows keeps it."""
    return hashlib.sha256(code.replace(b"\r\n", b"\n")).hexdigest()


def read_record(text: str | bytes, name: str) -> dict[str, Any]:
    """Read a node.json. Raises StoreError that says what is wrong with it."""
    hint = f"Run `code-evolver nodes verify {name}`, or delete the folder nodes/{name}."
    try:
        found = loads(text)
    except BadJson as error:
        raise StoreError(f"nodes/{name}/node.json is damaged: {error.message}", hint) from error
    if not isinstance(found, dict):
        raise StoreError(f"nodes/{name}/node.json is no object.", hint)
    wrong = [key for key, kind in _REQUIRED.items() if not isinstance(found.get(key), kind)] or list(_odd(found))
    if wrong:
        raise StoreError(f"nodes/{name}/node.json lacks {', '.join(wrong)}, or has another type there.", hint)
    if found["name"] != name:
        raise StoreError(f"nodes/{name}/node.json is the record of another node, {found['name'][:64]!r}.", hint)
    return found


def _odd(record: Mapping[str, Any]) -> Iterator[str]:
    """Name what is of another form below the first level; every reader of a record trusts these."""
    yield from (key for key in _TEXTS if not isinstance(record.get(key, ""), str))
    if not _texts(record["tools"]):
        yield "tools"
    if not _count(record["version"]):
        yield "version"
    for part, key in (("generator", "kind"), ("generator", "origin"), ("isolation", "level")):
        if not isinstance(record[part].get(key, ""), str):
            yield f"{part}.{key}"
    covers = record["proof"].get("covers", {})
    if not isinstance(covers, dict) or not (
        all(_count(covers.get(key, 0)) for key in _COUNTS) and _texts(covers.get("fields", []))
    ):
        yield "proof.covers"


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def write_record(record: Mapping[str, Any]) -> bytes:
    """Write a node.json. What a terminal would obey stands escaped in it: people look at these files."""
    return (escape(json.dumps(record, ensure_ascii=False, indent=2, allow_nan=False)) + "\n").encode("utf-8")


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give what registry.json says of a node."""
    return {
        "title": record.get("title", ""),
        "description": record.get("description", ""),
        "task_type": record["task_type"],
        "tags": ["signalr", "generated", record["task_type"]],
        "tools": list(record["tools"]),
        "path": f"nodes/{record['name']}/main.py",
        "generator": record["generator"].get("kind", ""),
        "isolation": record["isolation"].get("level", ""),
        "sha256": record["sha256"],
        "created": record["created"],
        "version": record["version"],
    }


def entry(name: str, shown: Mapping[str, Any]) -> str:
    """Give one node's line of registry.json, without comma or line end."""
    return f"    {json.dumps(name)}: {escape(json.dumps(shown, ensure_ascii=False, allow_nan=False))}"


def render(nodes: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterable[str]:
    """Give the text of registry.json piece by piece; every node is one line."""
    yield _HEAD
    comma = "\n"
    for name, shown in nodes:
        yield comma + entry(name, shown)
        comma = ",\n"
    yield _TAIL


def bounds() -> tuple[bytes, bytes]:
    """Give what a rendered registry begins and ends with."""
    return _HEAD.encode(), _TAIL.encode()


def appended(size: int, first: bool, entries: Sequence[str]) -> tuple[int, str]:
    """Give where to cut a rendered registry of `size` bytes, and what to write there, to add entries."""
    lead = "\n" if first else ",\n"
    return size - len(_TAIL), lead + ",\n".join(entries) + _TAIL


def read_registry(text: str | bytes) -> dict[str, dict[str, Any]]:
    """Read registry.json. Raises StoreError that says what is wrong."""
    hint = "Run `code-evolver registry rebuild`: it is made anew from nodes/."
    try:
        found = loads(text)
    except BadJson as error:
        raise StoreError(f"registry.json is damaged: {error.message}", hint) from error
    nodes = found.get("nodes") if isinstance(found, dict) else None
    if not isinstance(nodes, dict) or not all(isinstance(shown, dict) for shown in nodes.values()):
        raise StoreError('registry.json is not {"schema_version", "nodes": {…}}.', hint)
    if found.get("schema_version") != SCHEMA_VERSION:
        raise StoreError(f"registry.json has schema_version {found.get('schema_version')!r}, not 1.", hint)
    return nodes
