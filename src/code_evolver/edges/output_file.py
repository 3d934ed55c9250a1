"""The file of `--output`: the tasks as received, as a JSON array that is valid at every moment, or as JSON lines.

The tasks are spooled to a side file in the workspace; the array is copied from it and put in place by a rename. Memory
does not grow with the number of tasks.
"""

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from code_evolver.core import strict_json
from code_evolver.core.errors import CodeEvolverError, DiskFull, InputError, StoreError
from code_evolver.core.strict_json import show

SMALL: Final = 1_000_000
"""Bytes up to which the array is replaced each second; above, at 10 % growth and at the end."""
LARGEST_ARRAY: Final = 256_000_000
"""Bytes of a foreign array that is continued: it is read whole once."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_HINT: Final = "Name another file, or move this one away."


class OutputFile:
    """One open output file. Methods raise StoreError or DiskFull; `open` raises InputError before anything is touched."""

    def __init__(self, path: Path, spool: Path, clock: Callable[[], float]) -> None:
        """Use `open` instead."""
        self.path = path
        self._spool_path = spool
        self._clock = clock
        self._spool: IO[bytes] | None = None
        self._size = 0
        self._written_size = -1
        self._written_at = float("-inf")

    @classmethod
    def open(cls, path: Path, state: Path, *, clock: Callable[[], float] = time.monotonic) -> "OutputFile":
        """Open for adding. `state`: the workspace's folder .code_evolver. Relative paths are those of the current folder.

        A file that this workspace wrote, or any array of objects, is continued; an empty file counts as none.
        Raises InputError for a folder, a missing folder, a file that is no task array, or one that cannot be written.
        """
        whole = path.resolve()  # a link stays one: what it points to is replaced
        _check_place(whole)
        output = cls(whole, _spool_path(state, whole), clock)
        with _mapped(whole):
            output._begin()
        return output

    @property
    def lines(self) -> bool:
        """Whether it is a .jsonl file, which is appended to."""
        return self.path.suffix.lower() == ".jsonl"

    def _begin(self) -> None:
        if self.lines:
            _check_lines(self.path)
            self._spool = self.path.open("ab", buffering=0)
            if self._spool.tell() and not _ends_line(self.path):
                self._spool.write(b"\n")
            return
        self._spool_path.parent.mkdir(parents=True, exist_ok=True)
        if not self._continues():
            _fill_spool(self._spool_path, _read_array(self.path))
        self._spool = self._spool_path.open("ab", buffering=0)
        self._size = self._spool.tell()
        self.flush(force=True)

    def _continues(self) -> bool:
        """Say whether the file is the one that this spool made, so that it need not be read; mends a torn last line."""
        if not (self._spool_path.is_file() and self.path.is_file()):
            return False
        with self._spool_path.open("rb+") as spool:
            spool.truncate(_whole_lines(spool))
        return _same_start(self._spool_path, self.path)

    def add(self, raw_tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks, and replace the file when it is time to."""
        self.spool(raw_tasks)
        self.flush()

    def spool(self, raw_tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks without replacing the file; where it raises, none of them was added."""
        if self._spool is None or not raw_tasks:
            return
        data = "".join(strict_json.dumps_foreign(dict(task)) + "\n" for task in raw_tasks).encode(
            "utf-8", "backslashreplace"
        )
        with _mapped(self.path):
            _append(self._spool, data)
        self._size += len(data)

    def flush(self, *, force: bool = False) -> bool:
        """Put the array in place if it is due: also to be called each second. Says whether it did."""
        if self.lines or self._spool is None or (not force and not self._due()):
            return False
        with _mapped(self.path):
            self._spool.flush()
            _replace(self._spool_path, self.path)
        self._written_size, self._written_at = self._size, self._clock()
        return True

    def _due(self) -> bool:
        grown = self._size - max(self._written_size, 0)
        if grown <= 0:
            return False
        if self._size > SMALL:
            return grown * 10 >= self._written_size
        return self._clock() - self._written_at >= 1.0

    def close(self) -> None:
        """Put the last tasks in place and close. Closing twice is harmless."""
        if self._spool is None:
            return
        try:
            self.flush(force=self._written_size != self._size)
            with _mapped(self.path):
                self._spool.flush()
                os.fsync(self._spool.fileno())
        finally:
            with contextlib.suppress(OSError):
                self._spool.close()
            self._spool = None


def _append(file: IO[bytes], data: bytes) -> None:
    """Add all of it or nothing: what a full disk took of it is cut off again, for it comes once more."""
    before = file.seek(0, os.SEEK_END)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(before)
        raise


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fault: type[CodeEvolverError] = DiskFull if error.errno in _NO_ROOM else StoreError
        raise fault(
            f"{path} cannot be written: {error.strerror or error}.", "Free some room or name another file."
        ) from error


def _check_place(path: Path) -> None:
    shown = show(path, 300)
    if path.is_dir():
        raise InputError(f"The output file {shown} is a folder.", "Name a file in it.")
    if not path.parent.is_dir():
        raise InputError(
            f"The folder of the output file {shown} is missing.", f"Make the folder {show(path.parent, 300)}."
        )
    if path.exists() and not path.is_file():
        raise InputError(f"The output file {shown} is no ordinary file.", _HINT)
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise InputError(f"The output file {shown} may not be written.", "Mend the rights, or name another file.")


def _spool_path(state: Path, path: Path) -> Path:
    import hashlib  # only here: most runs have no output file

    return state / "output" / (hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + ".jsonl")


def _refused(path: Path, why: str) -> InputError:
    return InputError(f"The output file {show(path, 300)} exists and is no task array: {why}.", _HINT)


def _read_array(path: Path) -> Sequence[Mapping[str, Any]]:
    """Read the array that is to be continued."""
    if not path.exists() or path.stat().st_size == 0:
        return []
    if path.stat().st_size > LARGEST_ARRAY:
        raise _refused(path, f"over {LARGEST_ARRAY // 1_000_000} MB")
    try:
        found = strict_json.loads(path.read_bytes())
    except InputError as error:
        raise _refused(path, error.message.rstrip(".")) from None
    if not isinstance(found, list):
        raise _refused(path, f"it holds {strict_json.kind(found)}")
    odd = next((one for one in found if not isinstance(one, dict)), None)
    if odd is not None:
        raise _refused(path, f"it holds {strict_json.kind(odd)} among its elements")
    return found


def _check_lines(path: Path) -> None:
    """Look at the first and the last line of a .jsonl file: both must be objects."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        first = file.readline(20_000_000)
    try:
        found = strict_json.loads(first)
    except InputError as error:
        raise _refused(path, error.message.rstrip(".")) from None
    if not isinstance(found, dict):
        raise _refused(path, f"its first line is {strict_json.kind(found)}")


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _fill_spool(spool: Path, tasks: Iterable[Mapping[str, Any]]) -> None:
    beside = spool.with_suffix(".new")
    with beside.open("wb") as file:
        for task in tasks:
            file.write((strict_json.dumps(task) + "\n").encode("utf-8", "backslashreplace"))
    os.replace(beside, spool)  # noqa: PTH105 - says what happens on Windows too


def _whole_lines(file: IO[bytes]) -> int:
    """Give the length up to the end of the last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _array_lines(spool: Path) -> Iterator[bytes]:
    """Give the array's text, a task at a time."""
    yield b"["
    between = b"\n"
    with spool.open("rb") as file:
        for line in file:
            yield between + line.rstrip(b"\n")
            between = b",\n"
    yield b"\n]\n"


def _same_start(spool: Path, path: Path) -> bool:
    """Say whether the array at `path` holds the first tasks of the spool: it may lag behind it after a kill."""
    with spool.open("rb") as ours, path.open("rb") as theirs:
        if theirs.readline(3) != b"[\n":
            return False
        for line in theirs:
            if line == b"]\n":
                return theirs.read(1) == b""
            if ours.readline().rstrip(b"\n") != line.removesuffix(b"\n").removesuffix(b","):
                return False
    return False


def _replace(spool: Path, path: Path) -> None:
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            file.writelines(_array_lines(spool))
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)  # noqa: PTH105 - says what happens on Windows too
    finally:
        beside.unlink(missing_ok=True)


def read_tasks(path: Path) -> list[Any]:
    """Read a finished output file back, for tests and tools."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else list(json.loads(text))
