"""Listen to a SignalR hub and turn its tasks into proven workflows. See --help; --demo needs no hub and no model."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from code_evolver.commands.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
