"""node.json as it is made: everything that is known of a node when it is saved."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from code_evolver.core.events import timestamp
from code_evolver.core.findings import Finding
from code_evolver.core.journey import Generated
from code_evolver.core.registry import SCHEMA_VERSION, source_hash
from code_evolver.core.task import Task
from code_evolver.core.task_types import TaskType

_TEXT_LIMIT = 200
_ID_LIMIT = 100
MOST_DRAFTS = 6
"""So many drafts before the accepted one are kept."""
_QUOTED = 30
"""So many characters in a row of a task's text in a model's words are a quotation."""


def make_record(  # noqa: PLR0913 - a record says all that is known of a node
    name: str,
    task: Task,
    row: TaskType | None,
    made: Generated,
    *,
    keys: tuple[str, str],
    tools: Sequence[str],
    runtime_sha256: str,
    now: float,
    version: int = 1,
    parent: str = "",
) -> dict[str, Any]:
    """Give a node's record. `keys` are (program key, node key). It never holds a customer's text: the sample is synthetic."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "title": _own_words(made.title, task) or _title(name),
        "description": _own_words(made.description, task) or describe(task.type, row, bool(task.languages)),
        "task_type": task.type,
        "tools": list(tools),
        "program_key": keys[0],
        "node_key": keys[1],
        "source_task": source_id(task.id),
        "source_digest": source_digest(task),
        "fields": sorted(task.fields),
        "sample": sample_input(task, row),
        "generator": dict(made.generator),
        "proof": dict(made.proof.record),
        "isolation": dict(made.proof.level),
        "sha256": source_hash(made.code),
        "runtime_sha256": runtime_sha256,
        "created": timestamp(now),
        "version": version,
        "parent": parent,
        **_history(task, made),
    }


def _history(task: Task, made: Generated) -> dict[str, Any]:
    """Give what a training set needs beside the program: drafts that were mended, and whether the program quotes its task."""
    if made.generator.get("kind") != "model":
        return {}
    drafts = [
        {"generator": draft.generator, "code": draft.code, "findings": [told(found, task) for found in draft.findings]}
        for draft in made.drafts[-MOST_DRAFTS:]
        if draft.code and not quotes(draft.code, task.fields)
    ]
    quoting = quotes(made.code.decode("utf-8", "replace"), task.fields)
    return {**({"drafts": drafts} if drafts else {}), **({"quotes_task": True} if quoting else {})}


def told(found: Finding, task: Task) -> dict[str, object]:
    """Give a finding as it may be kept: its rule and how to mend it. Its own message quotes the program and the task."""
    return {"rule": found.rule, "line": found.line, "message": lesson(found, task)}


def lesson(found: Finding, task: Task) -> str:
    """Give the fixed sentence of a finding, "" where it has none."""
    return _own_words(found.mend, task)


def source_id(task_id: str) -> str:
    """Give a task's id as node.json keeps it: itself where it is short and printable, else a cleaned part and a digest."""
    if len(task_id) <= _ID_LIMIT and task_id.isprintable():
        return task_id
    digest = sha256(task_id.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{one_line(task_id)[:_ID_LIMIT]}~{digest}"


def source_digest(task: Task) -> str:
    """Give what tells a task from a later one with the same id, without telling its content."""
    return task.digest[:16]


def quotes(text: str, fields: Mapping[str, str]) -> bool:
    """Say whether `text` repeats a longer piece of what a customer wrote, whatever the spaces between."""
    mine = _folded(text)
    pieces = {mine[at : at + _QUOTED] for at in range(len(mine) - _QUOTED + 1)}
    theirs = [_folded(field[:20_000]) for field in fields.values()] if pieces else []
    return any(one[at : at + _QUOTED] in pieces for one in theirs for at in range(len(one) - _QUOTED + 1))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _own_words(text: str, task: Task) -> str:
    line = one_line(text)
    return "" if quotes(line, task.fields) else line


def sample_input(task: Task, row: TaskType | None) -> dict[str, Any]:
    """Give a synthetic input with the fields and the number of languages that the task has."""
    example: Mapping[str, Any] = row.examples[0] if row else {"content": "A short synthetic text."}
    text = next((str(value) for key, value in example.items() if isinstance(value, str)), "A short synthetic text.")
    sample: dict[str, Any] = {"id": "sample-1", "taskName": "Sample"}
    for field in sorted(task.fields) or [row.text_from[0] if row else "content"]:
        sample[field] = text if field in ("content", "prompt", "text", "body", "input") else f"A synthetic {field}."
    if task.languages or (row and row.languages == "required"):
        known = [{"from": "en", "to": to} for to in ("fr", "de", "es", "it", "nl")]
        sample["translationLanguages"] = known[: max(1, min(len(task.languages), 5))]
    return sample


def describe(task_type: str, row: TaskType | None, translations: bool) -> str:
    """Say in one sentence what a node of this program does."""
    if row is None:
        return f"Handles tasks of the type {task_type}."
    verb = {
        "summarize": "Summarizes a text",
        "generate": "Writes a text from a prompt",
        "translate": "Translates a text",
    }
    said = verb.get(row.name, f"Handles tasks of the type {row.name}")
    if row.languages == "required":
        return f"{said} into each language asked for."
    return f"{said} and translates the answer into each language asked for." if translations else f"{said}."


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def one_line(text: str) -> str:
    """Give a text as one printable line of at most 200 characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_TEXT_LIMIT]
