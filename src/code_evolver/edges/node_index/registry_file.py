"""registry.json on the disk: one node a line, added to by copy and rename, made anew where it is not what was written last."""

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from code_evolver.core.errors import DiskFull, StoreError
from code_evolver.core.registry import appended, bounds, entry, read_registry, render
from code_evolver.edges.node_index.trouble import ROOM_ERRORS

LARGE_BYTES = 4 << 20
"""A file of this size is not read into memory: its ends and its number of lines are looked at."""
_LEFT_SECONDS = 3600.0
"""A new file of this age was left behind by a writer that was killed."""
Nodes = Iterable[tuple[str, dict[str, Any]]]
"""(name, summary) of each node."""


class RegistryFile:
    """The file and what is known of its last state. One writer at a time: its owner sees to that."""

    def __init__(self, path: Path, seal: str) -> None:
        """`seal` is what `seal` gave after the last write, in this process or one before: then the file need not be read."""
        self.path = path
        self._seal = seal
        self._sweep()

    @property
    def seal(self) -> str:
        """Size, time and inode of the file as it was written last; "" where nothing is known of it."""
        return self._seal

    @property
    def ours(self) -> bool:
        """Say whether nobody else has touched the file since."""
        return bool(self._seal) and self._seal == _look(self.path)

    def add(self, nodes: Sequence[tuple[str, dict[str, Any]]], *, first: bool) -> None:
        """Add nodes to a copy of the file, which then replaces it."""
        size = int(self._seal.split()[0])
        cut, text = appended(size, first, [entry(name, shown) for name, shown in nodes])
        self._replace(cut, [text])

    def write(self, nodes: Nodes) -> None:
        """Make the file anew, node by node."""
        self._replace(0, render(nodes))

    def problem(self, names: Callable[[], Iterable[str]], count: int) -> tuple[str, bool]:
        """Say what is wrong with the file ("" when it lists these `count` nodes), and whether it is damaged."""
        try:
            listed = self._lists(names, count)
        except FileNotFoundError:
            return ("registry.json is missing." if count else "", False)
        except StoreError as error:
            return (error.message, True)
        except OSError as error:
            return (f"registry.json cannot be read: {error.strerror}.", False)
        return ("" if listed else "registry.json does not list all nodes.", False)

    def _lists(self, names: Callable[[], Iterable[str]], count: int) -> bool:
        if self.path.stat().st_size <= LARGE_BYTES:
            found = read_registry(self.path.read_bytes())
            return len(found) == count and all(name in found for name in names())
        head, tail = bounds()
        with self.path.open("rb") as stream:
            begins = stream.read(len(head)) == head
            stream.seek(-len(tail), 2)
            if not begins or stream.read() != tail:
                raise StoreError("registry.json is damaged.", "Run `code-evolver registry rebuild`.")
            stream.seek(0)
            return sum(1 for _ in stream) == count + head.count(b"\n") + tail.count(b"\n")

    def _replace(self, keep: int, text: Iterable[str]) -> None:
        """Write the first `keep` bytes of the present file, then `text`, to a new file, and put that in its place."""
        fresh = self.path.with_name(f".registry.json.{os.getpid()}-{secrets.token_hex(4)}.new")
        try:
            if keep:
                shutil.copyfile(self.path, fresh)
            with fresh.open("r+b" if keep else "wb") as stream:
                stream.seek(keep)
                stream.truncate()
                for piece in text:
                    stream.write(piece.encode("utf-8"))
            seal = _look(fresh)  # before the rename: after it, the file there may be another writer's already
            _replace(fresh, self.path)
        except OSError as error:
            kind = DiskFull if error.errno in ROOM_ERRORS else StoreError
            raise kind(
                f"registry.json cannot be written: {error.strerror}.", "Check the workspace's permissions and room."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
        self._seal = seal

    def _sweep(self) -> None:
        with contextlib.suppress(OSError):
            for left in self.path.parent.glob(".registry.json.*new"):
                if time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                    left.unlink()


def _look(path: Path) -> str:
    with contextlib.suppress(OSError):
        found = path.stat()
        return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
    return ""


def _replace(source: Path, target: Path) -> None:
    for _ in range(20):  # Windows refuses while a virus scanner or an editor has the target open
        with contextlib.suppress(PermissionError):
            source.replace(target)
            return
        threading.Event().wait(0.05)
    source.replace(target)
