"""Events as lines for a person, and the summary at the end. Foreign text is escaped, lines fit the width where one is given."""

from collections.abc import Callable, Mapping
from typing import Any

from code_evolver.core.strict_json import escape
from code_evolver.core.tally import Tally
from code_evolver.core.usage_report import saved_line

_SHORT = 60


def _short(value: Any, limit: int = _SHORT) -> str:
    text = escape(str(value)).replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _message(error: Any) -> str:
    return _short(error.get("message", error) if isinstance(error, Mapping) else error, 300)


def _findings(event: Mapping[str, Any]) -> str:
    rules = [str(finding.get("rule", "")) for finding in event["findings"][:3]]
    more = len(event["findings"]) - len(rules)
    return ", ".join(rules) + (f" and {more} more" if more > 0 else "")


_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "starting": lambda event: f"Code Evolver {event['version']}, isolation: {event['isolation']}",
    "connecting": lambda event: f"Connecting to {_short(event['hub_url'], 200)}",
    "connected": lambda event: f"Connected to {_short(event['hub_url'], 200)} ({event['transport']}, {event['client']}), listening for {_short(event['hub_name'])}",
    "disconnected": lambda event: f"Disconnected: {_message(event['reason'])}",
    "reconnecting": lambda event: f"Reconnecting in {event['seconds']:.1f} s (attempt {event['attempt']}): {_message(event['error'])}",
    "connection_failed": lambda event: f"Connection failed: {_message(event['error'])}",
    "connection_failed_permanently": lambda event: f"Giving up: {_message(event['error'])}",
    "message_unhandled": lambda event: f"The hub calls {_short(event['target'])}, to which nobody listens. {_short(event['hint'], 200)}",
    "task_revised": lambda event: f"Revised  {_short(event['task_id'])}",
    "task_rejected": lambda event: f"Rejected {_short(event.get('task_id') or 'an element')}: {_message(event['reason'])}",
    "intake_paused": lambda event: f"Reception paused: {_message(event['reason'])}",
    "intake_resumed": lambda _: "Reception goes on",
    "queue_resumed": lambda event: f"{event['count']} tasks of an earlier run go on",
    "processing_task": lambda event: f"Working on {_short(event['task_id'])} ({_short(event['task_type'], 20)}) {_short(event.get('name', ''))}".rstrip(),
    "llm_requested": lambda event: f"  asking a model ({event['tier']}): {_short(event['purpose'])}",
    "llm_failed": lambda event: f"  model: {_message(event['error'])}",
    "llm_unavailable": lambda event: f"No model: {_message(event['hint'])}",
    "workflow_rejected": lambda event: f"  draft of {_short(event.get('generator', ''))} rejected: {_findings(event)}",
    "workflow_saved": lambda event: f"  saved {_short(event['path'], 120)}",
    "task_retrying": lambda event: f"  again in {event['seconds']} s: {_message(event['reason'])}",
    "task_completed": lambda event: f"  {event['outcome']}: {_short(event['node_id'], 70)} ({_short(event['task_id'])})",
    "task_dead_lettered": lambda event: f"  failed: {_short(event['task_id'])}: {_message(event['reason'])}",
    "report_failed": lambda event: f"  the hub did not take the report of {_short(event['task_id'])}: {_message(event['reason'])}",
    "notice": lambda event: f"Note: {_short(event['message'], 400)}",
    "events_dropped": lambda event: f"Note: {event['count']} events were dropped, because their reader was too slow",
    "shutdown_requested": lambda event: (
        "Stopping; the task in work may end. Ctrl+C once more stops at once."
        if event["reason"] in ("SIGINT", "SIGTERM", "launcher")
        else f"Stopping ({_short(event['reason'])})"
    ),
    "failed": lambda event: f"Error: {_message(event['error'])}",
}  # fmt: skip


def line(event: Mapping[str, Any]) -> str:
    """Give the line that tells a person of an event; "" for events that only machines want. Never raises."""
    make = _LINES.get(str(event.get("event", "")))
    try:
        return make(event) if make else ""
    except (KeyError, TypeError, ValueError, AttributeError):
        return _short(f"{event.get('event')}: (unreadable event)")


class Lines:
    """Plain lines for a pipe: `Queue Size: N` whenever N changes."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        """`write` takes one line with its end."""
        self._write = write
        self._size: int | None = None

    def event(self, event: Mapping[str, Any], tally: Tally) -> None:
        """Write what there is to say of an event."""
        text = line(event)
        if text:
            self._write(text + "\n")
        size = _queue_size(event, tally)
        if size != self._size:
            self._size = size
            self._write(f"Queue Size: {size}\n")

    def tick(self, tally: Tally) -> None:
        """Plain lines do not tell that time passes."""

    def close(self) -> None:
        """Nothing to tidy."""


def _queue_size(event: Mapping[str, Any], tally: Tally) -> int:
    return max(0, tally.pending) if event.get("event") != "starting" else 0


def summary(result: Mapping[str, Any], code: int, workspace: str) -> str:
    """Give the summary that a person reads at the end of a run. Numbers come from the result."""
    lines = ["", "Code Evolver: done" if result.get("success") else "Code Evolver: stopped with an error"]
    error = result.get("error")
    if isinstance(error, Mapping):
        lines += [
            f"  error    {_message(error)} [{error.get('code')}]",
            f"  hint     {_short(error.get('hint', ''), 300)}",
        ]
    rows = (
        ("messages", "total_messages"), ("tasks received", "tasks_received"), ("resumed", "tasks_resumed"),
        ("generated", "workflows_generated"), ("reused", "workflows_reused"), ("failed", "tasks_failed"),
        ("pending", "tasks_pending"), ("duplicates", "duplicates"), ("rejected", "rejected"),
    )  # fmt: skip
    lines += [f"  {label:<15} {result.get(key, 0)}" for label, key in rows]
    kept = saved_line(result.get("saved") or {})
    lines += [f"  {'saved':<15} {kept}"] if kept else []
    nodes = sorted({task["node"] for task in result.get("tasks", ()) if task.get("node")})
    lines += [f"  workspace       {_short(workspace, 200)}"]
    if nodes:
        lines += ["", "Nodes:", *(f"  nodes/{name}/main.py" for name in nodes[:20])]
        lines += [f"  … and {len(nodes) - 20} more (code-evolver nodes list)"] if len(nodes) > 20 else []
    if code == 7:
        lines += ["", "Some tasks are in the dead letters: code-evolver dead list"]
    return "\n".join(lines) + "\n"
