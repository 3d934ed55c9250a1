"""The low-level connector tool: JSON settings on stdin, events on stderr, one JSON result on stdout."""

import asyncio
import os
import sys
import uuid
from typing import Any

from code_evolver.configuration import load
from code_evolver.connector import connect
from code_evolver.core.redact import Redactor
from code_evolver.core.settings import from_json, require_hub
from code_evolver.core.strict_json import loads
from code_evolver.edges import stdio
from code_evolver.edges.log import EventLog
from code_evolver.secrets_of import secrets_of
from code_evolver.stopping import (
    StopRequest,
    launched,
    leave_at_once,
    read_settings_line,
    stop_on_signals,
    watch_launcher,
)

USAGE = """usage: signalr_hub_connector.py < settings.json

Connects to an ASP.NET Core SignalR hub, queues its tasks durably and makes a proven workflow of each.
stdin: one JSON object, e.g. {"hub_url": "http://localhost:5000/taskhub", "hub_name": "TaskHub", "duration_seconds": 60}
stderr: events, one JSON object a line · stdout: one JSON result"""


def run(given: dict[str, Any], *, hub: bool = True) -> stdio.Finished:
    """Do a run with the settings given; the document and its exit code. Raises CodeEvolverError before the run begins."""
    resolved = load(from_json(given))
    if hub:
        require_hub(resolved.settings)
    log = EventLog(2, uuid.uuid4().hex[:12], clean=Redactor(secrets_of(resolved)).clean)
    loop = asyncio.new_event_loop()
    try:
        document, code = loop.run_until_complete(_whole(resolved, log, hub=hub))
    finally:
        log.close()
    # The loop is not closed: closing waits for threads, and after a second Ctrl+C one may still wait for a trial.
    return stdio.Finished(document, code)


async def _whole(resolved: Any, log: EventLog, *, hub: bool) -> tuple[dict[str, Any], int]:
    stop = StopRequest()
    with stop_on_signals(stop):
        if launched():
            watch_launcher(stop)
        return await connect(resolved, log.emit, stop=stop, hub=hub)


def _read(usage: str) -> dict[str, Any]:
    if not launched():
        return stdio.read_object(usage)
    found = loads(read_settings_line())
    return found if isinstance(found, dict) else {}


def main() -> None:
    """Serve the tool once, and leave without waiting for threads: everything accepted is on disk."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(USAGE + "\n")
        return
    code = stdio.serve(run, usage=USAGE, read=_read)
    leave_at_once(code)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    main()
