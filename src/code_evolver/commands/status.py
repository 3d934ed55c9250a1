"""`code-evolver status`: what is pending, what became of the rest, who works; while the connector runs and after it died."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, workspace_of
from code_evolver.core.events import timestamp
from code_evolver.core.strict_json import escape
from code_evolver.edges.queue_sqlite import read_days, read_status
from code_evolver.edges.queue_sqlite.reading import Day
from code_evolver.edges.workspace import Workspace, holder


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    parsed = parser(
        "status", "What is pending and what became of the rest, over the workspace's whole life."
    ).parse_args(list(argv))
    return answer(lambda: status(workspace_of(parsed.workspace)), as_json=parsed.json)


def status(workspace: Workspace) -> Printed:
    """Read the queue file; a workspace without one has done nothing yet."""
    running = holder(workspace)
    found: dict[str, Any] = {
        "running": running is not None,
        "owner": dict(running or {}),
        "workspace": str(workspace.root),
    }
    if workspace.queue.exists():
        read = asdict(read_status(workspace.queue))
        counts = read.pop("counts")
        found = {**counts, **read, "llm": llm_cost(read_days(workspace.queue)), **found}
    else:
        zero = dict.fromkeys(
            ("generated", "reused", "failed", "pending", "rejected", "duplicates", "received", "dead"), 0
        )
        found = {**zero, "oldest_pending_seconds": None, "llm": llm_cost(()), **found}
    shown = {**found, "last_error_at": _time(found.get("last_error_at"))}
    return found, "".join(
        f"{key.replace('_', ' '):<24} {_shown(value)}\n" for key, value in shown.items() if value not in ({}, [])
    )


def llm_cost(days: Sequence[Day]) -> dict[str, float | None]:
    """Give what models have cost over the workspace's whole life, tasks that came to nothing included."""
    seconds, written = sum(day.llm_seconds for day in days), sum(day.tokens_out for day in days)
    return {
        "calls": int(sum(day.llm_calls for day in days)),
        "tokens_in": int(sum(day.tokens_in for day in days)),
        "tokens_out": int(written),
        "seconds": round(seconds, 3),
        "load_seconds": round(sum(day.llm_load_seconds for day in days), 3),
        "tokens_per_second": round(written / seconds, 1) if seconds else None,
        "repairs": int(sum(day.repairs for day in days)),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else timestamp(at)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_shown(one)}" for name, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return "-" if value is None else escape(str(value))
