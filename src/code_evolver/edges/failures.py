"""Failures of nodes in use: one line each, appended by whoever runs a node, without a lock; two files bound the size."""

import contextlib
import json
import os
from collections import Counter
from pathlib import Path

MOST_BYTES = 1 << 20
"""Of this size the file becomes `.old`, and the one before it is forgotten: recent failures are what counts."""


class FailureLog:
    """`.code_evolver/failures.jsonl`. Counting never fails a run: what cannot be written or read is left out."""

    def __init__(self, path: Path) -> None:
        """Take the file; it is made when first needed."""
        self._path = path
        self._old = path.with_name(path.name + ".old")

    def note(self, node: str, code: str, at: float) -> None:
        """Add one failure: the node's name, the error's code, seconds since 1970."""
        line = json.dumps({"node": node[:64], "code": code[:64], "at": round(at, 3)}) + "\n"
        with contextlib.suppress(OSError):
            if self._path.exists() and self._path.stat().st_size > MOST_BYTES:
                self._path.replace(self._old)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, line.encode("utf-8"))  # one write: lines of several processes do not mix
            finally:
                os.close(handle)

    def counts(self) -> Counter[str]:
        """Give how often each node failed."""
        found: Counter[str] = Counter()
        for path in (self._old, self._path):
            with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as stream:
                for line in stream:
                    with contextlib.suppress(ValueError, TypeError, KeyError):
                        found[str(json.loads(line)["node"])] += 1
        return found
