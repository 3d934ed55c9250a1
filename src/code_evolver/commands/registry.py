"""`code-evolver registry rebuild`: make registry.json and the index anew from nodes/."""

import sys
import time
from collections.abc import Sequence

from code_evolver.assembly import node_store
from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, workspace_of
from code_evolver.core.events import timestamp
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.workspace import Workspace, hold
from code_evolver.shelf import reconcile


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    made = parser("registry", "Make registry.json and the index anew from nodes/, the truth.")
    made.add_argument("action", choices=("rebuild",))
    parsed = made.parse_args(list(argv))
    return answer(lambda: rebuild(workspace_of(parsed.workspace)), as_json=parsed.json)


def rebuild(workspace: Workspace) -> Printed:
    """Read every node.json; a damaged one is named and left out. Raises WorkspaceHeld beside a running connector."""
    with hold(workspace, {"started": timestamp(time.time()), "command": "registry rebuild"}):
        return _rebuild(workspace)


def _rebuild(workspace: Workspace) -> Printed:
    damaged: list[str] = []
    index = NodeIndex(workspace.index, workspace.registry)
    index.clear()
    progress = _bar if sys.stderr.isatty() else None
    given = reconcile(node_store(workspace), index, damaged.append, progress)
    if progress:
        sys.stderr.write("\n")
    index.mend_registry()
    index.close()
    text = f"{given} nodes.\n" + "".join(f"Left out: {message}\n" for message in damaged)
    return {"nodes": given, "damaged": damaged}, text


def _bar(done: int) -> None:
    sys.stderr.write(f"\r{done} nodes read")
    sys.stderr.flush()
