"""`code-evolver demo-hub`: the embedded SignalR hub by itself, to try clients and settings against."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer
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
    made.add_argument(
        "--keepalive", type=float, default=15.0, metavar="SECONDS", help="between its pings (default: 15)"
    )
    made.add_argument(
        "--client-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="a client that was silent for so long is closed (default: 30)",
    )
    parsed = made.parse_args(list(argv))
    with contextlib.suppress(KeyboardInterrupt):
        return answer(lambda: _served(parsed), as_json=parsed.json)
    return 0


def _served(parsed: Any) -> Printed:
    """Serve; raises InputError for tasks that cannot be read and a port that cannot be had."""
    try:
        asyncio.run(_serve(parsed, _tasks(parsed.tasks) if parsed.tasks else [message[-1] for message in MESSAGES]))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The port {parsed.port} cannot be had: {reason}.", "Name another with --port, 0 for any free one."
        ) from error
    return {}, ""


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


async def _serve(parsed: Any, messages: list[Any]) -> None:
    async with DemoHub(
        port=parsed.port, token=parsed.token, keep_alive=parsed.keepalive, client_timeout=parsed.client_timeout
    ) as hub:
        line = {"event": "ready", "url": hub.url} if parsed.json else f"READY {hub.url}"
        sys.stdout.write((json.dumps(line) if parsed.json else str(line)) + "\n")
        sys.stdout.flush()
        hub.outbox(messages)
        await asyncio.Event().wait()
