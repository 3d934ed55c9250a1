"""`code-evolver replay FILE`: recorded hub messages through the same road, without a hub; the same recording gives the same nodes."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, tell
from code_evolver.core.errors import InputError
from code_evolver.core.events import timestamp
from code_evolver.core.recording import Recorded, drift, read_line
from code_evolver.core.registry import read_registry
from code_evolver.core.strict_json import escape
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.edges.workspace import Workspace, hold
from code_evolver.executables import signalr_hub_connector
from code_evolver.intake import Intake
from code_evolver.ports import Received

_BATCH = 200


def main(argv: Sequence[str]) -> int:
    """Run the sub-command. Exit code 1 where --compare finds that a node drifted."""
    made = parser("replay", "Run recorded hub messages through the same road, without a hub.")
    made.add_argument("file", help="what `code-evolver record` wrote")
    made.add_argument(
        "--llm", choices=("auto", "off", "required"), default="off", help="default: off, so that it is repeatable"
    )
    made.add_argument("--hub-name", default="TaskHub")
    made.add_argument(
        "--compare", metavar="DIR", default=None, help="a workspace: say which of its nodes came out otherwise"
    )
    parsed = made.parse_args(list(argv))

    def work() -> Printed:
        folder = parsed.workspace or tempfile.mkdtemp(prefix="code-evolver-replay-")
        workspace = Workspace.at(Path(folder))
        count = asyncio.run(_take_in(workspace, Path(parsed.file), parsed.hub_name))
        finished = signalr_hub_connector.run({"workspace": str(workspace.root), "llm": parsed.llm}, hub=False)
        found = {
            "messages": count,
            "workspace": str(workspace.root),
            "result": finished.document,
            "exit_code": finished.exit_code,
        }
        text = f"{count} messages replayed in {escape(str(workspace.root))}.\n"
        if parsed.compare:
            other = drift(_nodes(Path(parsed.compare)), _nodes(workspace.root))
            found |= {
                "drift": other,
                "exit_code": 1 if other["drifted"] or other["gone"] or other["new"] else finished.exit_code,
            }
            text += "".join(f"{what:<8} {len(names)}  {', '.join(names[:10])}\n" for what, names in other.items())
        return found, text

    return answer(work, as_json=parsed.json)


def _nodes(root: Path) -> dict[str, dict[str, Any]]:
    try:
        return read_registry((root / "registry.json").read_bytes())
    except OSError as error:
        raise InputError(
            f"{root}/registry.json cannot be read: {error.strerror}.", "Name a workspace's folder."
        ) from error


async def _take_in(workspace: Workspace, file: Path, hub_name: str) -> int:
    """Put the recorded messages into the queue as if a hub had sent them; give how many."""
    count = 0
    workspace.prepare()
    with hold(workspace, {"started": timestamp(time.time()), "command": "replay"}):
        queue = SqliteQueue.open(workspace.queue, reserve=workspace.reserve)
        tell(queue.notices)
        intake = Intake(queue, _Told(), hub_name, pending=lambda: 0, wake=lambda: None)
        try:
            messages = _read(file)
            while batch := list(islice(messages, _BATCH)):
                await intake.receive([_received(one) for one in batch])
                count += len(batch)
        finally:
            await queue.close()
    return count


def _received(one: Recorded) -> Received:
    return Received(
        connection=0, target=one.target, arguments=one.arguments, invocation_id=None, raw=one.raw, problem=one.problem
    )


def _read(file: Path) -> Iterator[Recorded]:
    try:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                yield read_line(line, number)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}.", "Name a file that `code-evolver record` wrote.") from error


class _Told:
    """Says which elements were no tasks (ports.Log)."""

    def emit(self, name: str, /, **fields: Any) -> None:
        if name == "task_rejected":
            sys.stderr.write(f"rejected: {escape(str(fields['reason']))}\n")

    def emit_all(self, name: str, keys: tuple[str, ...], rows: Sequence[Sequence[str | int]]) -> None:
        """Say nothing of what went well."""
