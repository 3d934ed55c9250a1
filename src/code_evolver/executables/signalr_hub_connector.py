"""The low-level connector tool: JSON settings on stdin, events on stderr, one JSON result on stdout."""

import asyncio
import gc
import os
import sys
import uuid
from typing import Any

from code_evolver import early
from code_evolver.configuration import load, workspace_flag
from code_evolver.connector import connect
from code_evolver.core.errors import EXIT_DONE, EXIT_INTERRUPTED
from code_evolver.core.settings import from_json, require_hub
from code_evolver.core.strict_json import loads
from code_evolver.core.tally import Tally
from code_evolver.edges import stdio
from code_evolver.edges.log import EventLog
from code_evolver.help_text import USAGES, helped
from code_evolver.secrets_of import Secrets, secrets_of
from code_evolver.stopping import (
    StopRequest,
    launched,
    leave_at_once,
    read_settings_line,
    stop_on_signals,
    watch_launcher,
)

USAGE = USAGES["signalr_hub_connector"]


def run(given: dict[str, Any], *, hub: bool = True) -> stdio.Finished:
    """Do a run with the settings given; the document and its exit code. Raises CodeEvolverError before the run begins."""
    resolved = load(from_json(given))
    if hub:
        require_hub(resolved.settings)
    secrets = Secrets(secrets_of(resolved))
    _tune_interpreter()
    log = EventLog(2, uuid.uuid4().hex[:12], clean=secrets.clean)
    loop = asyncio.new_event_loop()
    patience = 1.0  # seconds for a slow reader of events; after a second request to stop there is none
    try:
        document, code = loop.run_until_complete(_whole(resolved, log, secrets, hub=hub))
        patience = 0.1 if code == EXIT_INTERRUPTED else patience
    finally:
        log.close(patience)
    # The loop is not closed: closing waits for threads, and after a second Ctrl+C one may still wait for a trial.
    return stdio.Finished(secrets.clean_document(document), code)


def _tune_interpreter() -> None:
    """Make a flood of tasks cheaper, which makes many objects and no rings of garbage, and keeps three threads busy.

    Rings are looked for seldom, and never among what was imported. A thread that comes back from the database, as the
    queue's does 200 times for 4,000 tasks, has its turn after 0.1 ms instead of 5.
    """
    sys.setswitchinterval(0.0001)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _whole(resolved: Any, log: EventLog, secrets: Secrets, *, hub: bool) -> tuple[dict[str, Any], int]:
    stop = StopRequest()
    with stop_on_signals(stop):
        if launched():
            watch_launcher(stop)
        return await connect(resolved, log, stop=stop, hub=hub, learn=secrets.learn)


def nothing_received() -> stdio.Finished:
    """Give the result of a run that was asked to stop before its settings were known."""
    return stdio.Finished({"success": True, **Tally().result()}, EXIT_DONE)


def _read(usage: str) -> dict[str, Any] | None:
    """Read the settings; None where a request to stop comes first."""
    if launched():
        found = loads(read_settings_line())
        return found if isinstance(found, dict) else {}
    try:
        with early.interrupting():
            return stdio.read_object(usage)
    except KeyboardInterrupt:
        return None


def _run_given(given: dict[str, Any] | None) -> stdio.Finished:
    return nothing_received() if given is None else run({**given, **workspace_flag(sys.argv[1:])})


def main() -> None:
    """Serve the tool once, and leave without waiting for threads: everything accepted is on disk."""
    if helped("signalr_hub_connector"):
        return
    code = stdio.serve(_run_given, usage=USAGE, read=_read)
    leave_at_once(code)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    main()
