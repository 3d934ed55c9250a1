"""Listens to a SignalR hub and works off the tasks it sends. JSON settings on stdin."""

import os
import sys

try:
    from code_evolver.help_text import helped
except ModuleNotFoundError:  # started from a checkout that is not installed
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src"))  # noqa: PTH100, PTH118, PTH120 - pathlib costs as much as all of --help
    from code_evolver.help_text import helped

if __name__ == "__main__" and not helped("signalr_hub_connector"):
    from code_evolver.executables.__main__ import main  # after --help, which must be quick

    main()
