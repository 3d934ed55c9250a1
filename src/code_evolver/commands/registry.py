"""`code-evolver registry rebuild`: make registry.json and the index anew from nodes/."""

from collections.abc import Sequence

from code_evolver.assembly import node_store
from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, workspace_of
from code_evolver.core.errors import StoreError
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.workspace import Workspace


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    made = parser("registry", "Make registry.json and the index anew from nodes/, the truth.")
    made.add_argument("action", choices=("rebuild",))
    parsed = made.parse_args(list(argv))
    return answer(lambda: rebuild(workspace_of(parsed.workspace)), as_json=parsed.json)


def rebuild(workspace: Workspace) -> Printed:
    """Read every node.json; a damaged one is named and left out."""
    store = node_store(workspace)
    index = NodeIndex(workspace.index, workspace.registry)
    records, damaged = [], []
    for name in sorted(store.names()):
        try:
            records.append(store.record(name))
        except StoreError as error:
            damaged.append(error.message)
    index.forget(set(index.names()) - {record["name"] for record in records})
    index.register(sorted(records, key=lambda record: str(record["created"])))
    index.mend_registry()
    index.close()
    text = f"{len(records)} nodes.\n" + "".join(f"Left out: {message}\n" for message in damaged)
    return {"nodes": len(records), "damaged": damaged}, text
