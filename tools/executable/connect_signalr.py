"""Does as signalr_hub_connector, told in plain English on stdin. --dry-run only shows the settings."""

import os
import sys

try:
    from code_evolver.help_text import helped
except ModuleNotFoundError:  # started from a checkout that is not installed
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src"))  # noqa: PTH100, PTH118, PTH120 - pathlib costs as much as all of --help
    from code_evolver.help_text import helped

if __name__ == "__main__" and not helped("connect_signalr"):
    from code_evolver import early

    early.remember()  # first: a stop that comes while the rest is imported is noted

    from code_evolver.executables.connect_signalr import main  # after --help, which must be quick

    main()
