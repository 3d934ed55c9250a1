"""What a run came to, counted from its events: the numbers of the live view, the summary and the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from code_evolver.core.events import EVENTS
from code_evolver.core.usage_report import saved

MOST_TASKS = 1000
"""Past this number the result leaves out `tasks`."""


@dataclass(slots=True)
class Tally:
    """Feed it events in order; read the numbers at any time."""

    hub_url: str = ""
    hub_name: str = ""
    connection: str = "starting"
    was_connected: bool = False
    messages: int = 0
    received: int = 0
    resumed: int = 0
    generated: int = 0
    copied: int = 0
    reused: int = 0
    failed: int = 0
    duplicates: int = 0
    rejected: int = 0
    recorded: int = 0
    llm_calls: int = 0
    llm_seconds: float = 0.0
    llm_load_seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    repairs: int = 0
    current: str = ""
    """Id of the task in work, "" between tasks."""
    current_name: str = ""
    current_since: str = ""
    step: str = ""
    last_error: str = ""
    errors: list[str] = field(default_factory=list)
    tasks: list[dict[str, str]] = field(default_factory=list)

    def add(self, event: Mapping[str, Any]) -> None:
        """Count one event, read from its line."""
        self.count(str(event.get("event", "")), event)

    def count(self, name: str, fields: Mapping[str, Any]) -> None:
        """Count one event, given by name and fields."""
        counter = _COUNTERS.get(name)
        if counter is not None:
            counter(self, fields)
        elif name in _PLAIN:
            self.count_all(name, (), ((),))
        if name in _STEPS:
            self.step = _STEPS[name]

    def count_all(self, name: str, keys: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        """Count the same event many times, a row of values each."""
        plain = _PLAIN.get(name)
        if plain is not None:
            setattr(self, plain, getattr(self, plain) + len(rows))
        else:
            for row in rows:
                self.count(name, dict(zip(keys, row, strict=True)))

    @property
    def pending(self) -> int:
        """Tasks of this run that have no end yet."""
        return self.received + self.resumed - self.generated - self.reused - self.failed

    def counts(self) -> dict[str, int]:
        """Give the counts of the contract's result."""
        return {
            "total_messages": self.messages,
            "tasks_received": self.received,
            "tasks_resumed": self.resumed,
            "workflows_generated": self.generated,
            "workflows_reused": self.reused,
            "tasks_failed": self.failed,
            "tasks_pending": self.pending,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
        }

    def result(self) -> dict[str, Any]:
        """Give the result of a run, without `success`."""
        found: dict[str, Any] = {
            "hub_url": self.hub_url,
            "hub_name": self.hub_name,
            **self.counts(),
            "errors": self.errors,
        }
        if self.llm_calls:
            found["llm"] = {
                "calls": self.llm_calls, "seconds": round(self.llm_seconds, 3), "load_seconds": round(self.llm_load_seconds, 3),
                "tokens_in": self.tokens_in, "tokens_out": self.tokens_out,
                "tokens_per_second": round(self.tokens_out / self.llm_seconds, 1) if self.llm_seconds else None,
            }  # fmt: skip
        if self.generated + self.reused:
            found["saved"] = self.saved()
        if len(self.tasks) <= MOST_TASKS:
            found["tasks"] = list(self.tasks)
        return found

    def saved(self) -> dict[str, Any]:
        """Say what reuse and copies saved against generating each node (core.usage_report.saved)."""
        return saved(
            fresh=self.generated - self.copied, without=self.reused + self.copied, calls=self.llm_calls,
            tokens=self.tokens_in + self.tokens_out, seconds=self.llm_seconds,
        )  # fmt: skip

    def _connecting(self, event: Mapping[str, Any]) -> None:
        self.hub_url = event["hub_url"]
        self.connection = "connecting"

    def _connected(self, event: Mapping[str, Any]) -> None:
        self.connection = "connected"
        self.was_connected = True
        self.hub_url, self.hub_name = event["hub_url"], event["hub_name"]

    def _disconnected(self, _event: Mapping[str, Any]) -> None:
        self.connection = "disconnected"

    def _reconnecting(self, event: Mapping[str, Any]) -> None:
        self.connection = "reconnecting"
        self._note(event["error"])

    def _connection_failed_permanently(self, event: Mapping[str, Any]) -> None:
        self.connection = "failed"
        self._note(event["error"])

    def _message_received(self, event: Mapping[str, Any]) -> None:
        self.messages += event.get("count", 1)

    def _task_rejected(self, event: Mapping[str, Any]) -> None:
        self.rejected += event.get("count", 1)
        self._note(event["reason"])

    def _queue_resumed(self, event: Mapping[str, Any]) -> None:
        self.resumed += event["count"]

    def _processing_task(self, event: Mapping[str, Any]) -> None:
        self.current = event["task_id"]
        self.current_name = event.get("name", "")
        self.current_since = event.get("ts", "")

    def _llm_responded(self, event: Mapping[str, Any]) -> None:
        self.llm_calls += 1
        self.llm_seconds += event.get("seconds") or 0.0
        self.llm_load_seconds += event.get("load_seconds") or 0.0
        self.tokens_in += event.get("tokens_in") or 0
        self.tokens_out += event.get("tokens_out") or 0

    def _llm_failed(self, event: Mapping[str, Any]) -> None:
        if event.get("tokens_out") is not None:  # an answer that was of no use costs as well
            self._llm_responded(event)
        self._note(event["error"])

    def _workflow_rejected(self, _event: Mapping[str, Any]) -> None:
        self.repairs += 1

    def _workflow_copied(self, _event: Mapping[str, Any]) -> None:
        self.copied += 1

    def _task_completed(self, event: Mapping[str, Any]) -> None:
        if event["outcome"] == "reused":
            self.reused += 1
        else:
            self.generated += 1
        self._end(event, event["outcome"], event["node_id"])

    def _task_dead_lettered(self, event: Mapping[str, Any]) -> None:
        self.failed += 1
        self._note(event["reason"])
        self._end(event, "failed", "")

    def _report_failed(self, event: Mapping[str, Any]) -> None:
        self._note(event["reason"])

    def _failed(self, event: Mapping[str, Any]) -> None:
        error = event["error"]
        self._note(error["message"] if isinstance(error, Mapping) else error)

    def _end(self, event: Mapping[str, Any], outcome: str, node: str) -> None:
        self.current, self.step = "", ""
        if len(self.tasks) <= MOST_TASKS:
            self.tasks.append({"id": event["task_id"], "outcome": outcome, "node": node})

    def _note(self, error: Any) -> None:
        text = str(error.get("message", error)) if isinstance(error, Mapping) else str(error)
        self.last_error = text
        if text not in self.errors:
            self.errors.append(text)
            del self.errors[:-20]


_PLAIN = {
    "task_queued": "received",
    "task_revised": "received",
    "task_duplicate": "duplicates",
    "task_recorded": "recorded",
}
"""Events that are only counted, and in which number."""
_STEPS = {
    "processing_task": "looking for a known program",
    "llm_requested": "asking the model",
    "llm_responded": "checking the answer",
    "workflow_rejected": "having it mended",
    "workflow_generated": "proving it",
    "workflow_verified": "saving it",
    "workflow_saved": "ending the task",
}
_COUNTERS: Mapping[str, Callable[[Tally, Mapping[str, Any]], None]] = {
    name: getattr(Tally, f"_{name}") for name in EVENTS if hasattr(Tally, f"_{name}")
}
