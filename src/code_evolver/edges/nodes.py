"""nodes/<name>/: the truth about programs. Saved whole or not at all, read with suspicion."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from code_evolver.core.errors import DiskFull, InputError, StoreError
from code_evolver.core.naming import safe_name
from code_evolver.core.registry import read_record, source_hash
from code_evolver.core.strict_json import show

_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT


class NodeStore:
    """The folder nodes/ of one workspace. `at` is called with the name of each step of a save, for whoever tests kills."""

    def __init__(self, nodes: Path, staged: Path) -> None:
        """Take the folders; they are made when first needed."""
        self.nodes = nodes
        self._staged = staged

    def exists(self, name: str) -> bool:
        """Say whether a folder, file or link of that name (in any case) is there."""
        return os.path.lexists(self.nodes / name)

    def names(self) -> Iterator[str]:
        """Give the names of all folders with a safe name, in no order."""
        if not self.nodes.is_dir():
            return
        with os.scandir(self.nodes) as entries:
            for found in entries:
                if safe_name(found.name) and found.is_dir(follow_symlinks=False):
                    yield found.name

    def path(self, name: str) -> Path:
        """Give a node's folder. Raises StoreError for a name that could lead out of nodes/."""
        if not safe_name(name):
            raise StoreError(f"{show(name)} is no name of a node.", "`code-evolver nodes list` shows the names.")
        folder = self.nodes / name
        if folder.is_symlink():
            raise StoreError(f"nodes/{name} is a symbolic link.", "Put the node's folder itself there.")
        return folder

    def asked_for(self, name: str) -> str:
        """Give the name that a person gave. Raises InputError where no node has it."""
        if not safe_name(name) or not self.exists(name):
            raise InputError(f"There is no node {show(name)}.", "`code-evolver nodes list` shows the names.")
        return name

    def code(self, name: str) -> bytes:
        """Read main.py."""
        return self._read(name, "main.py", 256 * 1024)

    def record(self, name: str) -> dict[str, Any]:
        """Read and check node.json."""
        return read_record(self._read(name, "node.json", 1024 * 1024), name)

    def unchanged(self, name: str) -> bool:
        """Say whether main.py is what its record says."""
        return bool(source_hash(self.code(name)) == self.record(name)["sha256"])

    def save(self, name: str, files: Mapping[str, bytes]) -> Path:
        """Stage a new node, sync it, rename it into place. Raises StoreError when the name is taken, DiskFull.

        A kill at any moment leaves either no node (staged files are cleared at the next start) or the whole one.
        """
        target = self.path(name)
        staged = self._staged / name
        try:
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
            for file, data in files.items():
                _write_synced(staged / file, data)
            _sync_folder(staged)
            self.nodes.mkdir(parents=True, exist_ok=True)
            staged.rename(target)
            _sync_folder(self.nodes)
        except OSError as error:
            raise _store_error(error, f"nodes/{name}") from error
        return target

    def replace(self, name: str, file: str, data: bytes) -> None:
        """Replace one file of a node by rename."""
        folder = self.path(name)
        fresh = folder / f".{file}.new"
        try:
            _write_synced(fresh, data)
            fresh.replace(folder / file)
            _sync_folder(folder)
        except OSError as error:
            raise _store_error(error, f"nodes/{name}/{file}") from error

    def clear_staged(self) -> int:
        """Remove what a killed save left behind; give how many."""
        with contextlib.suppress(FileNotFoundError):
            left = list(self._staged.iterdir())
            for folder in left:
                shutil.rmtree(folder, ignore_errors=True)
            return len(left)
        return 0

    def _read(self, name: str, file: str, limit: int) -> bytes:
        path = self.path(name) / file
        try:
            with path.open("rb") as stream:
                data = stream.read(limit + 1)
        except OSError as error:
            raise StoreError(f"nodes/{name}/{file} cannot be read: {error.strerror}.",
                             "`code-evolver nodes list` shows the names.") from error  # fmt: skip
        if len(data) > limit:
            raise StoreError(
                f"nodes/{name}/{file} is larger than {limit} bytes.", "A proven node never is: restore it."
            )
        return data


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows has no way to sync a folder; a rename there is journalled by NTFS
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _store_error(error: OSError, what: str) -> StoreError:
    if error.errno in _NO_SPACE:
        return DiskFull(f"There is no room to save {what}.", "Free some space; the task is tried again.")
    return StoreError(
        f"{what} cannot be saved: {error.strerror}.", "Check the folder's permissions, and whether the name is taken."
    )
