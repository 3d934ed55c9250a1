"""`code-evolver stats`: what models have cost and what reuse saved, by day and type: a table, JSON, a plot."""

from collections.abc import Sequence
from pathlib import Path

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, save_text, table, workspace_of
from code_evolver.core import usage_report
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.queue_sqlite import read_days
from code_evolver.edges.workspace import Workspace


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    made = parser("stats", "What models have cost and what reuse saved, by day and type.")
    made.add_argument("--svg", metavar="FILE", default=None, help="also draw it to this file")
    parsed = made.parse_args(list(argv))
    return answer(lambda: stats(workspace_of(parsed.workspace), parsed.svg), as_json=parsed.json)


def stats(workspace: Workspace, svg: str | None = None) -> Printed:
    """Read the accounts of the queue file, while the connector runs or after."""
    days = read_days(workspace.queue)
    rows, total = usage_report.rows(days), usage_report.totals(days)
    text = table(usage_report.HEADS, usage_report.cells([*rows, {"day": "all", "type": "", **total}]) if rows else [],
                 empty="No task has ended yet.")  # fmt: skip
    copies = min(total["generated"], _copies(workspace))
    kept = usage_report.saved(
        fresh=max(0, total["generated"] - copies), without=total["reused"] + copies, calls=total["calls"],
        tokens=total["tokens_in"] + total["tokens_out"], seconds=total["seconds"],
    )  # fmt: skip
    if said := usage_report.saved_line(kept):
        text += f"\n{said}.\n"
    if svg:
        save_text(Path(svg), usage_report.plot(rows))
        text += f"Drawn to {svg}.\n"
    return {"days": rows, "total": {**total, "copies": copies}, "saved": kept}, text


def _copies(workspace: Workspace) -> int:
    if not workspace.index.exists():
        return 0
    index = NodeIndex(workspace.index, workspace.registry)
    try:
        return index.copies()
    finally:
        index.close()
