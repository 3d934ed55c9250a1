"""`code-evolver status`: what is pending, what became of the rest, who works; while the connector runs and after it died."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, workspace_of
from code_evolver.core.strict_json import escape
from code_evolver.edges.queue_sqlite import read_status
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
        found = {**counts, **read, **found}
    else:
        zero = dict.fromkeys(
            ("generated", "reused", "failed", "pending", "rejected", "duplicates", "received", "dead"), 0
        )
        found = {**zero, "oldest_pending_seconds": None, **found}
    return found, "".join(
        f"{key.replace('_', ' '):<24} {_shown(value)}\n" for key, value in found.items() if value not in ({}, [])
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    return "-" if value is None else escape(str(value))
