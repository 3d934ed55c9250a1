"""`code-evolver export`: proven programs as a fine-tuning set, one JSON line each, streamed."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from code_evolver.assembly import manifests_of, node_store
from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, save_lines, workspace_of, write
from code_evolver.core.errors import StoreError
from code_evolver.core.prompt import ToolCard, Voice
from code_evolver.core.registry import source_hash
from code_evolver.core.strict_json import escape
from code_evolver.core.training_set import as_line, example, exportable
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.edges.workspace import Workspace
from code_evolver.prompting import ROUTER, tool_cards, voice
from code_evolver.shelf import reconcile


def main(argv: Sequence[str]) -> int:
    """Run the sub-command: the set goes to FILE, or to stdout."""
    made = parser(
        "export", "Write proven programs as a fine-tuning set: task, prompt, accepted code, drafts that were mended."
    )
    made.add_argument(
        "--format", choices=("chat", "jsonl"), default="chat", help="chat: messages; jsonl: fields by name"
    )
    made.add_argument("--output", metavar="FILE", default=None, help="where to write (default: stdout)")
    made.add_argument(
        "--licence", default="", help="the licence to state, in place of the one by who wrote the program"
    )
    parsed = made.parse_args(list(argv))

    def work() -> Printed:
        lines = rows(workspace_of(parsed.workspace), parsed.format, parsed.licence)
        if parsed.output is None:
            for line in lines:
                write(line)
            return {}, ""
        count = save_lines(Path(parsed.output), lines)
        return {"examples": count, "output": parsed.output}, f"{count} examples in {parsed.output}.\n"

    return answer(work, as_json=parsed.json and parsed.output is not None)


def rows(workspace: Workspace, form: str, licence: str = "") -> Iterator[str]:
    """Give the set line by line: each program once; nodes that are damaged, changed or not to be shown are left out."""
    manifests = manifests_of(workspace)
    router, tools = voice(manifests, ROUTER), tool_cards(manifests)
    store, index = node_store(workspace), NodeIndex(workspace.index, workspace.registry)
    try:
        reconcile(store, index, _complain)
        for name in index.originals():
            row = _row(store, name, router, tools, licence)
            if row is not None:
                yield as_line(row, form)
    finally:
        index.close()


def _row(store: NodeStore, name: str, router: Voice, tools: Sequence[ToolCard], licence: str) -> dict[str, Any] | None:
    try:
        record, code = store.record(name), store.code(name)
    except StoreError as error:
        _complain(error.message)
        return None
    if not exportable(record) or source_hash(code) != record["sha256"]:
        return None
    return example(record, code.decode("utf-8"), router, tools, licence)


def _complain(text: str) -> None:
    sys.stderr.write(f"{escape(text)}\n")
