"""`code-evolver record`: write what a hub sends to a file, for `replay`. Nothing is queued, nothing is accepted."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from code_evolver.assembly import hub_settings
from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer
from code_evolver.configuration import load
from code_evolver.core.errors import InputError
from code_evolver.core.recording import Recorded, write_line
from code_evolver.core.settings import from_flags, require_hub
from code_evolver.core.strict_json import escape
from code_evolver.edges.hub.drive import HubListener
from code_evolver.ports import Received
from code_evolver.stopping import StopRequest, stop_on_signals

NOT_TAKEN: Mapping[str, Any] = {"received": False, "accepted": [], "duplicates": [], "rejected": 0, "errors": []}
"""What a hub that waits for a result is told: its message was written down and not taken in."""


def main(argv: Sequence[str]) -> int:
    """Run the sub-command until --duration or Ctrl+C. The file holds what the hub sent, so only its owner may read it."""
    made = parser("record", "Write what a hub sends to a file, for replay. Nothing is queued or accepted.")
    made.add_argument("--hub-url", required=True)
    made.add_argument("--hub-name", default=None)
    made.add_argument("--output", metavar="FILE", required=True)
    made.add_argument("--duration", default=None, help="end after this long (90s, 5m)")
    made.add_argument("--access-token-file", default=None)
    parsed = made.parse_args(list(argv))
    given = {"hub_url": parsed.hub_url, "hub_name": parsed.hub_name, "duration_seconds": parsed.duration,
             "access_token_file": parsed.access_token_file, "workspace": parsed.workspace}  # fmt: skip

    def work() -> Printed:
        resolved = load(from_flags(given))
        require_hub(resolved.settings)
        try:
            handle = os.open(Path(parsed.output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise InputError(f"{parsed.output} cannot be written: {error.strerror}.", "Name another file.") from error
        with open(handle, "a", encoding="utf-8", newline="\n") as stream:  # noqa: PTH123 - a handle, not a path
            count = asyncio.run(_record(resolved.settings, stream))
        return {"messages": count, "output": parsed.output}, f"{count} messages in {parsed.output}.\n"

    return answer(work, as_json=parsed.json)


async def _record(settings: Any, stream: TextIO) -> int:
    count = 0

    async def receive(batch: Sequence[Received]) -> Sequence[Mapping[str, Any] | None]:
        nonlocal count
        for one in batch:
            raw = one.raw if one.problem else b""
            stream.write(write_line(Recorded(time.time(), one.target, one.arguments, one.problem, raw)))
        stream.flush()
        count += len(batch)
        return [NOT_TAKEN if one.invocation_id else None for one in batch]

    listener = HubListener(hub_settings(settings), receive=receive, emit=_tell)
    stop = StopRequest()
    with stop_on_signals(stop):
        jobs = [asyncio.ensure_future(listener.run()), asyncio.ensure_future(stop.drain.wait())]
        done, _ = await asyncio.wait(jobs, timeout=settings.duration_seconds, return_when=asyncio.FIRST_COMPLETED)
        await listener.stop()
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
    if jobs[0] in done:
        jobs[0].result()
    return count


def _tell(name: str, /, **fields: Any) -> None:
    """Tell a person what happens to the connection."""
    if name in ("connected", "reconnecting", "disconnected", "connection_failed_permanently"):
        sys.stderr.write(
            f"{name} {escape(str(fields.get('hub_url') or fields.get('reason') or fields.get('error') or ''))[:200]}\n"
        )
