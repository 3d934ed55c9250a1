"""What `--help` prints, ready made: imports nothing, so that asking costs no more than starting Python.

`help.txt` holds the sub-commands' texts as argparse makes them, 80 columns wide (tests/test_help_text.py makes it).
"""

import os
import sys
from collections.abc import Mapping, Sequence

HELP = frozenset({"-h", "--help"})
COLUMNS = 80
USAGES: Mapping[str, str] = {
    "signalr_hub_connector": """usage: signalr_hub_connector.py < settings.json

Connects to an ASP.NET Core SignalR hub, queues its tasks durably and makes a proven workflow of each.
stdin: one JSON object, e.g. {"hub_url": "http://localhost:5000/taskhub", "hub_name": "TaskHub", "duration_seconds": 60}
stderr: events, one JSON object a line · stdout: one JSON result""",
    "connect_signalr": """usage: echo "connect to http://localhost:5000/taskhub and generate workflows for 5 minutes" | connect_signalr.py [--dry-run] [--workspace DIR]

stdin: plain English, or {"request": "…"} · --dry-run: print the settings without connecting""",
    "verify_workflow": """usage: verify_workflow.py < request.json

stdin: {"code": "…", "task": {…}, "task_type": "summarize"}; task and task_type may be left out
stdout: {"success": true, "accepted": bool, "findings": […], "isolation": {…}, "runs": […]}""",
    "document_workflow": """usage: document_workflow.py < request.json

stdin: {"node": "summarize_blog_post"} or {"node": "nodes/summarize_blog_post"}; "output": a file (default: README.md of the node)
stdout: {"success": true, "node", "path"}""",
}
"""Of the executable tools."""


def helped(tool: str, arguments: Sequence[str] | None = None) -> bool:
    """Print the usage of an executable tool where the command line asks for it; say whether it did."""
    if HELP.isdisjoint(sys.argv[1:] if arguments is None else arguments):
        return False
    sys.stdout.write(USAGES[tool] + "\n")
    return True


def helped_with(command: str, arguments: Sequence[str]) -> bool:
    """Print the help of a sub-command where it is all that is asked for, and fits; say whether it did."""
    if len(arguments) != 1 or arguments[0] not in HELP or _columns() < COLUMNS:
        return False
    text = texts().get(command, "")
    sys.stdout.write(text)
    return bool(text)


def texts() -> dict[str, str]:
    """Read help.txt: sub-command → text. {} where it is missing: argparse makes the help then."""
    path = os.path.join(os.path.dirname(__file__), "help.txt")  # noqa: PTH118, PTH120 - pathlib costs half a start
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
            parts = file.read().split("\f")
    except OSError:
        return {}
    return dict(part.split("\n", 1) for part in parts if part)


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(1).columns or COLUMNS
    except OSError:
        return COLUMNS
