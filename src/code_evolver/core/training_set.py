"""Proven programs as a fine-tuning set: task → prompt → accepted code, with the drafts that were mended on the way.

Pure. The task is synthetic (a node's sample), so no customer's text gets in; drafts that quote their task are never kept
(core.record).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.findings import Finding
from code_evolver.core.message import read_message
from code_evolver.core.prompt import ToolCard, Voice, code_ask
from code_evolver.core.redact import Redactor
from code_evolver.core.reply import Plan
from code_evolver.core.task import Task

OWN_LICENCE = "MIT"
MODEL_LICENCE = "terms of the model's provider"
_REDACTOR = Redactor()


def exportable(record: Mapping[str, Any]) -> bool:
    """Say whether a node may stand in a training set: an original, not called bad, and free of its task's text."""
    return (
        record["generator"].get("kind") != "copy"
        and record.get("rating") != "bad"
        and not record.get("quotes_task", False)
    )


def sample_task(record: Mapping[str, Any]) -> Task:
    """Make the synthetic task of a node: its sample under its title."""
    raw = {**record.get("sample", {}), "taskType": record["task_type"], "taskName": record.get("title") or "Sample"}
    return read_message([raw]).tasks[0]


def example(
    record: Mapping[str, Any], code: str, voice: Voice, tools: Sequence[ToolCard], licence: str = ""
) -> dict[str, Any]:
    """Give one row: {"task", "system", "prompt", "drafts": [{"code", "findings", "repair_prompt"}], "code", "provenance", "licence"}."""
    task = sample_task(record)
    plan = Plan(str(record.get("title", "")), str(record.get("description", "")), tuple(record["tools"]))
    ask = code_ask(voice, task, plan, tools)
    drafts = []
    for draft in record.get("drafts", ()):
        found = [Finding(one["rule"], one["line"], one["message"], one.get("mend", "")) for one in draft["findings"]]
        repair = code_ask(voice, task, plan, tools, findings=found, draft=draft["code"]).user
        drafts.append({"code": draft["code"], "findings": draft["findings"], "repair_prompt": repair})
    generator = record["generator"]
    row = {
        "task": {"type": task.type, "name": task.name, "input": record.get("sample", {})},
        "system": ask.system, "prompt": ask.user, "drafts": drafts, "code": code,
        "provenance": {
            "node": record["name"], "sha256": record["sha256"], "created": record["created"], "version": record["version"],
            "generator": {key: generator[key] for key in ("kind", "backend", "model", "attempts") if key in generator},
            "proof": record["proof"].get("versions", {}), "isolation": record["isolation"].get("level", ""),
            "rating": record.get("rating", ""),
        },
        "licence": licence or (OWN_LICENCE if generator.get("kind") == "composer" else MODEL_LICENCE),
    }  # fmt: skip
    cleaned: dict[str, Any] = _cleaned(row)
    return cleaned


def _cleaned(value: Any) -> Any:
    """Take out what looks like a secret, text by text."""
    if isinstance(value, str):
        return _REDACTOR.clean(value)
    if isinstance(value, dict):
        return {key: _cleaned(inner) for key, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, list) else value


def as_line(row: Mapping[str, Any], form: str) -> str:
    """Write a row as one line: "jsonl" as it is, "chat" as the messages of a conversation with its repairs."""
    if form == "jsonl":
        return json.dumps(row, ensure_ascii=False) + "\n"
    messages = [{"role": "system", "content": row["system"]}, {"role": "user", "content": row["prompt"]}]
    for draft in row["drafts"]:
        messages += [_said(draft["code"]), {"role": "user", "content": draft["repair_prompt"]}]
    messages.append(_said(row["code"]))
    return (
        json.dumps(
            {"messages": messages, "provenance": row["provenance"], "licence": row["licence"]}, ensure_ascii=False
        )
        + "\n"
    )


def _said(code: str) -> dict[str, str]:
    return {"role": "assistant", "content": f"```python\n{code.rstrip()}\n```"}
