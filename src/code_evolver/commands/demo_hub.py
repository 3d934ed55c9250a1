"""`code-evolver demo-hub`: the embedded SignalR hub by itself, to try clients and settings against."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import answer
from code_evolver.core.errors import InputError
from code_evolver.core.strict_json import loads, show
from code_evolver.demo.hub import DemoHub
from code_evolver.demo.samples import MESSAGES


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl+C."""
    made = parser(
        "demo-hub", "Run the embedded SignalR hub. It hands its tasks to whoever connects, until each is received."
    )
    made.add_argument("--port", type=int, default=5000, help="0: any free port (default: 5000)")
    made.add_argument(
        "--tasks",
        metavar="FILE",
        help="JSON file: a list of tasks; `none` for an empty hub (default: the twelve of --demo)",
    )
    made.add_argument("--token", default="", help="what /secure/taskhub wants")
    parsed = made.parse_args(list(argv))
    if parsed.tasks and (code := answer(lambda: ({"tasks": len(_tasks(parsed.tasks))}, ""), as_json=False)):
        return code
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parsed))
    return 0


def _tasks(path: str) -> list[Any]:
    if path == "none":
        return []
    try:
        found = loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(
            f"{show(path)} cannot be read: {error.strerror}.", "Name a JSON file with a list of tasks."
        ) from error
    if not isinstance(found, list):
        raise InputError(f"{show(path)} holds no list.", "Write [ {…task…}, … ].")
    return found


async def _serve(parsed: Any) -> None:
    messages = _tasks(parsed.tasks) if parsed.tasks else [message[-1] for message in MESSAGES]
    async with DemoHub(port=parsed.port, token=parsed.token) as hub:
        line = {"event": "ready", "url": hub.url} if parsed.json else f"READY {hub.url}"
        sys.stdout.write((json.dumps(line) if parsed.json else str(line)) + "\n")
        sys.stdout.flush()
        hub.outbox(messages)
        await asyncio.Event().wait()
