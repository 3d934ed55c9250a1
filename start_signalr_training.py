"""Listen to a SignalR hub and turn its tasks into proven workflows. See --help; --demo needs no hub and no model."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "src"))  # noqa: PTH118, PTH120 - pathlib costs half a start

from code_evolver.help_text import helped_with

if __name__ == "__main__" and not helped_with("run", sys.argv[1:]):
    from code_evolver import early

    early.remember()  # first: a stop that comes while the rest is imported is noted

    from code_evolver.commands.run import main  # after --help, which must be quick

    sys.exit(main(sys.argv[1:]))
