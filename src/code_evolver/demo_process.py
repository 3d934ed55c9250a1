"""The demo hub as a process of its own beside the launcher, which imports none of it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from code_evolver.core.errors import HubUnreachable


@contextmanager
def demo_hub() -> Iterator[tuple[str, int]]:
    """Start it; give its address and the number of tasks it will send. It ends with its stdin, so it never outlives us."""
    source = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); import runpy; runpy.run_module('code_evolver.demo', run_name='__main__')"]  # fmt: skip
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    child: subprocess.Popen[str] = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", **apart
    )
    assert child.stdin is not None  # noqa: S101 - Popen was asked for pipes
    assert child.stdout is not None  # noqa: S101
    try:
        words = child.stdout.readline().split()
        if len(words) != 3 or words[0] != "READY":
            raise HubUnreachable(
                "The demo hub did not start.", "See the lines above; `code-evolver demo-hub` starts it by itself."
            )
        yield words[1], int(words[2])
    finally:
        child.stdin.close()
        try:
            child.wait(3.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
