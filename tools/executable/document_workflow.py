"""Writes the README of a node from its code. JSON on stdin."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("code_evolver") is None:  # started from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from code_evolver.executables.document_workflow import main

if __name__ == "__main__":
    main()
