"""Does as signalr_hub_connector, told in plain English on stdin. --dry-run only shows the settings."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("code_evolver") is None:  # started from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from code_evolver.executables.connect_signalr import main

if __name__ == "__main__":
    main()
