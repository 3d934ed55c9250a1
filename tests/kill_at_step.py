"""Runs `code-evolver work`'s way through the queue in this process and kills it with SIGKILL at one named step.

argv: STEP WORKSPACE [HUB_URL]. The steps wrap what the program calls anyway; nothing in the program knows of them.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.executables import signalr_hub_connector
from code_evolver.reporter import Reporter
from code_evolver.shelf import NodeShelf
from code_evolver.worker import Worker


def die(*_: Any) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Die right before a call."""
    real = getattr(owner, name)

    def wrapped(*args: Any, **more: Any) -> Any:
        if when(*args):
            die()
        return real(*args, **more)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """Die right after a call."""
    real = getattr(owner, name)

    def wrapped(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        if when(*args):
            die()
        return found

    setattr(owner, name, wrapped)


def after_async(owner: Any, name: str) -> None:
    """Die right after a coroutine's end."""
    real = getattr(owner, name)

    async def wrapped(*args: Any, **more: Any) -> Any:
        found = await real(*args, **more)
        die()
        return found

    setattr(owner, name, wrapped)


def _staged(path: Any, *_: Any) -> bool:
    return "staged" in Path(path).parts


def _fd_staged(fd: int) -> bool:
    return "/staged/" in str(Path(f"/proc/self/fd/{fd}").readlink())


def _registry(path: Any, *_: Any) -> bool:
    return Path(path).name.startswith(".registry.json.")


STEPS: dict[str, Callable[[], None]] = {
    "begun": lambda: after_async(SqliteQueue, "begin"),
    "proven": lambda: after(NodeShelf, "prove"),
    "staging": lambda: before(os, "fsync", _fd_staged),
    "staged": lambda: before(Path, "rename", _staged),
    "renamed": lambda: after(Path, "rename", _staged),
    "saved": lambda: after(NodeStore, "save"),
    "before indexed": lambda: before(NodeIndex, "register"),
    "in the index": lambda: before(NodeIndex, "catch_up"),
    "before registry": lambda: before(Path, "replace", _registry),
    "registry": lambda: after(Path, "replace", _registry),
    "indexed": lambda: after(NodeIndex, "register"),
    "before finish": lambda: before(SqliteQueue, "finish"),
    "finished": lambda: after_async(SqliteQueue, "finish"),
    "told": lambda: after(Worker, "_tell"),
    "before report": lambda: before(Reporter, "_call"),
    "reported": lambda: after_async(Reporter, "_call"),
    "report settled": lambda: after_async(SqliteQueue, "reported"),
    "recovering: cleared": lambda: after(NodeStore, "clear_staged"),
    "recovering: registering": lambda: before(NodeIndex, "register"),
    "recovering: registered": lambda: after(NodeShelf, "reconcile"),
    "recovering: mended": lambda: after(NodeIndex, "mend_registry"),
    "recovering: queue": lambda: after_async(SqliteQueue, "recover"),
    "none": lambda: None,
}


def main() -> None:
    """Run until the step."""
    step, workspace, *hub = sys.argv[1:]
    STEPS[step]()
    given: dict[str, Any] = {"workspace": workspace, "llm": "off"}
    if hub:
        given.update(hub_url=hub[0], report_method="TaskFinished")
    signalr_hub_connector.run(given, hub=bool(hub))
    os._exit(0)


if __name__ == "__main__":
    main()
