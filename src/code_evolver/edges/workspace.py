"""A workspace: its paths, its lock with the owner's name on it, and requests of commands to a running connector."""

import errno
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from code_evolver.core.errors import DiskFull, InputError, StoreError, WorkspaceHeld, failure
from code_evolver.core.strict_json import BadJson, dumps, loads, show

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_ID = re.compile(r"[0-9a-f]{16}")
_PATIENCE = 0.5
"""Seconds that `hold` tries: a command that only asks who holds the lock has it for an instant."""
_POLL_SECONDS = 0.05
_REQUEST_BYTES = 1 << 20
_REQUESTS_AT_ONCE = 100
_NO_ROOM = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


@dataclass(frozen=True, slots=True)
class Workspace:
    """The paths under one root. Make it with `at`, which follows a symlinked root once."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> "Workspace":
        """Give the workspace in `folder`; two names of one folder give the same root."""
        try:
            root = folder.expanduser().resolve()
            if root.exists() and not root.is_dir():
                raise StoreError(f"The workspace {show(folder)} is no folder.", "Name a folder.")
            return cls(root)
        except (OSError, RuntimeError) as error:
            raise StoreError(
                f"The workspace {show(folder)} cannot be found: {error}.", "Name a plain folder."
            ) from error

    @property
    def nodes(self) -> Path:
        """The generated programs."""
        return self.root / "nodes"

    @property
    def registry(self) -> Path:
        """The list of nodes for people and programs."""
        return self.root / "registry.json"

    @property
    def state(self) -> Path:
        """What only this program reads."""
        return self.root / ".code_evolver"

    @property
    def queue(self) -> Path:
        """The queue file."""
        return self.state / "queue.db"

    @property
    def index(self) -> Path:
        """The node index (rebuildable)."""
        return self.state / "index.db"

    @property
    def reserve(self) -> Path:
        """The file that keeps room for ends on a full disk."""
        return self.state / "reserve"

    @property
    def requests(self) -> Path:
        """Requests of commands to a running connector."""
        return self.state / "requests"

    @property
    def lock(self) -> Path:
        """The lock of the one connector."""
        return self.state / "lock"

    @property
    def owner(self) -> Path:
        """Who has the lock: {pid, started, host, command}."""
        return self.state / "owner.json"

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.root / "config.yaml"

    @property
    def tools(self) -> Path:
        """The workspace's own tools."""
        return self.root / "tools"

    def node_path(self, name: str) -> Path:
        """Give the folder of a node. Raises InputError for a name that is none, or one that leads elsewhere."""
        if not _NAME.fullmatch(name):
            raise InputError(f"{show(name)} is no node's name.", "See `code-evolver nodes list`.")
        path = self.nodes / name
        if self.nodes.is_symlink() or path.is_symlink():
            raise InputError(f"The node's folder {path} is a symbolic link.", "Put the node itself there.")
        return path

    def prepare(self) -> None:
        """Make the folders. Raises StoreError where the place is no folder, not ours to write, or a link; DiskFull."""
        for folder in (self.nodes, self.state, self.requests):
            if folder.is_symlink():
                raise StoreError(
                    f"{folder} is a symbolic link.", "Put a plain folder there, or name another workspace."
                )
            try:
                folder.mkdir(mode=0o755 if folder == self.nodes else 0o700, parents=True, exist_ok=True)
                with _probe(folder):
                    pass
            except OSError as error:
                raise _unwritable(folder, error) from error


@contextmanager
def _probe(folder: Path) -> Iterator[None]:
    """Write a file and take it away: permission bits alone say little (read-only mounts, other users)."""
    path = folder / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        path.write_text("probe", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> StoreError:
    if error.errno in _NO_ROOM:
        return DiskFull(f"There is no room left to write {path}.", "Make room on the disk.")
    return StoreError(f"{path} cannot be written: {error.strerror or error}.",
                      "Name a workspace that you may write to (--workspace DIR).")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hold:
    """The lock is ours. `left_behind`: what a former owner that died without letting go had written, else None."""

    workspace: Workspace
    left_behind: Mapping[str, Any] | None


@contextmanager
def hold(workspace: Workspace, owner: Mapping[str, Any]) -> Iterator[Hold]:
    """Hold the workspace: an OS lock that ends with this process and that no child inherits.

    `owner` is written beside it ({pid, started, host, command}; pid and host are filled in).
    Raises WorkspaceHeld naming who has it, StoreError where the workspace cannot be written.
    """
    workspace.prepare()
    if workspace.lock.is_symlink():
        raise StoreError(f"{workspace.lock} is a symbolic link.", "Remove it.")
    lock = FileLock(workspace.lock, thread_local=False)
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
    except Timeout as error:
        raise _held(workspace) from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"{workspace.lock} cannot be locked: {error}.", "Use a workspace on a local disk.") from error
    try:
        left_behind = _read_owner(workspace)
        _write_atomically(workspace.owner, {"pid": os.getpid(), "host": socket.gethostname(), **owner})
        yield Hold(workspace, left_behind)
    finally:
        with suppress(OSError):
            workspace.owner.unlink(missing_ok=True)
        lock.release()


def holder(workspace: Workspace) -> Mapping[str, Any] | None:
    """Say who holds the workspace; None: nobody (whatever owner.json says). {} where the owner has not said yet."""
    if not workspace.lock.is_file():
        return None
    lock = FileLock(workspace.lock, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return _read_owner(workspace) or {}
    except (OSError, NotImplementedError):
        return None  # not ours to lock: somebody else's workspace, read only
    lock.release()
    return None


def _held(workspace: Workspace) -> WorkspaceHeld:
    owner = _read_owner(workspace) or {}
    who = f"process {show(owner['pid'], 20)}" if "pid" in owner else "another process"
    since = f" since {show(owner['started'], 40)}" if "started" in owner else ""
    host = f" on {show(owner['host'], 60)}" if owner.get("host") not in {None, socket.gethostname()} else ""
    return WorkspaceHeld(f"The workspace {workspace.root} is held by {who}{host}{since}.",
                         "Stop that connector, or name another workspace (--workspace DIR).")  # fmt: skip


def _read_owner(workspace: Workspace) -> Mapping[str, Any] | None:
    try:
        found = loads(workspace.owner.read_bytes())
    except (OSError, BadJson):
        return None
    return found if isinstance(found, dict) else None


def _write_atomically(path: Path, value: Mapping[str, Any]) -> None:
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with staged.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(dumps(value))
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    except OSError as error:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


@dataclass(frozen=True, slots=True)
class Request:
    """What a command asks of the running connector, e.g. {"do": "retry", "keys": [3]}."""

    id: str
    body: Mapping[str, Any]


def take_requests(workspace: Workspace) -> Sequence[Request]:
    """Give waiting requests, oldest first; each stays until it is answered, so one may be given again after a crash.

    A file that is no request is renamed to `<name>.refused`, and answered: a command may wait for it.
    """
    try:
        files = sorted(workspace.requests.glob("*.json"), key=lambda path: (path.lstat().st_mtime_ns, path.name))
    except OSError:
        return ()
    found = []
    for path in [path for path in files if not path.name.endswith(".answer.json")][:_REQUESTS_AT_ONCE]:
        request = _read_request(path)
        if request is not None:
            found.append(request)
        else:
            _refuse(workspace, path)
    return found


def _refuse(workspace: Workspace, path: Path) -> None:
    why = InputError(f"The request is no JSON object of at most {_REQUEST_BYTES} bytes.", "Name fewer keys, or `all`.")
    with suppress(OSError, StoreError):
        path.rename(path.with_name(path.name + ".refused"))
        if _ID.fullmatch(path.stem):
            _write_atomically(_request_files(workspace, path.stem)[1], failure(why))


def _read_request(path: Path) -> Request | None:
    try:
        if path.is_symlink() or not _ID.fullmatch(path.stem) or path.stat().st_size > _REQUEST_BYTES:
            return None
        body = loads(path.read_bytes())
    except (OSError, BadJson):
        return None
    return Request(path.stem, body) if isinstance(body, dict) else None


def answer_request(workspace: Workspace, request_id: str, result: Mapping[str, Any]) -> None:
    """Answer a request that take_requests gave. Raises StoreError or DiskFull."""
    asked, answered = _request_files(workspace, request_id)
    if asked.exists():  # else its command gave up waiting: nobody would take the answer away
        _write_atomically(answered, result)
    with suppress(OSError):
        asked.unlink(missing_ok=True)


def ask(workspace: Workspace, request: Mapping[str, Any], timeout: float) -> Mapping[str, Any] | None:
    """Ask the running connector and wait up to `timeout` seconds; None: no answer, and the request is taken back.

    Blocking: for commands. Raises StoreError or DiskFull where the request cannot be written.
    """
    request_id = secrets.token_hex(8)
    asked, answered = _request_files(workspace, request_id)
    _write_atomically(asked, request)
    until = time.monotonic() + timeout
    try:
        while not answered.exists():
            if time.monotonic() >= until:
                return None
            time.sleep(_POLL_SECONDS)
        result = loads(answered.read_bytes())
        return result if isinstance(result, dict) else {}
    finally:
        for path in (asked, answered):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _request_files(workspace: Workspace, request_id: str) -> tuple[Path, Path]:
    if not _ID.fullmatch(request_id):
        raise InputError(f"{show(request_id)} is no request's id.", "Use the id that take_requests gave.")
    return workspace.requests / f"{request_id}.json", workspace.requests / f"{request_id}.answer.json"
