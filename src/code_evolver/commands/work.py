"""`code-evolver work`: work the queue off without the hub."""

import json
import sys
from collections.abc import Sequence

from code_evolver.cli import parser
from code_evolver.commands.output import write
from code_evolver.core.errors import CodeEvolverError, failure
from code_evolver.core.render import summary
from code_evolver.edges import stdio
from code_evolver.executables import signalr_hub_connector
from code_evolver.stopping import leave_at_once


def main(argv: Sequence[str]) -> int:
    """Run the sub-command; events go to stderr as JSON lines. Ends the process: no thread is waited for."""
    made = parser("work", "Work the queue off without the hub, and end.")
    made.add_argument("--llm", choices=("auto", "off", "required"), default=None)
    parsed = made.parse_args(list(argv))
    given = {key: value for key, value in (("workspace", parsed.workspace), ("llm", parsed.llm)) if value}
    try:
        finished = signalr_hub_connector.run(given, hub=False)
    except CodeEvolverError as error:
        finished = stdio.Finished(failure(error), error.exit_code)
    as_document = parsed.json or not sys.stdout.isatty()
    write(json.dumps(finished.document, ensure_ascii=False) + "\n" if as_document
          else summary(finished.document, finished.exit_code, parsed.workspace or "."))  # fmt: skip
    leave_at_once(finished.exit_code)
