"""Errors of SQLite and the disk, mapped to ours.

Unexpected is said only of a value that cannot be stored; what hits the file itself is a StoreError.
"""

import errno
import os
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

from code_evolver.core.errors import CodeEvolverError, DiskFull, StoreError, Unexpected

ROOM_ERRORS = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
FOREIGN_ERRORS = (
    sqlite3.Error, OSError, ValueError, TypeError, OverflowError, LookupError, AttributeError, RecursionError,
)  # fmt: skip
"""What a statement, a file or a value that cannot be stored may raise."""
FULL_HINT = "Make room on the disk; what the queue holds is safe, and it goes on by itself."
_PRIMARY = 0xFF
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
MARK = "-damaged"
"""A side file: the queue file cannot be gone on with, as was found while it was used."""
_FATAL = _DAMAGE | {
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
}  # fmt: skip
_ABOUT_VALUES = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT_NOTNULL})
"""Said of what was to be stored, not of the file: others can be stored."""


def has_room(folder: Path, size: int) -> bool:
    """Say whether `size` bytes can be written in `folder` now: SQLite names a spent quota only "disk I/O error"."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * size)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno not in ROOM_ERRORS
    return True


def mapped(error: Exception, path: Path) -> CodeEvolverError:
    """Give our error for a foreign one, with the file's name in it."""
    if isinstance(error, sqlite3.Error) and not _is_about_value(error):
        return _of_sqlite(error, path)
    if isinstance(error, OSError):
        if error.errno in ROOM_ERRORS:
            return DiskFull(f"There is no room left for the queue file {path}.", FULL_HINT)
        return StoreError(f"The queue file {path} cannot be used: {error.strerror or error}.", "Check disk and rights.")
    return Unexpected(f"A value could not be stored in {path}: {error}.", "Please report this.")


def _is_about_value(error: sqlite3.Error) -> bool:
    by_python = isinstance(error, sqlite3.InterfaceError | sqlite3.ProgrammingError)
    return by_python or getattr(error, "sqlite_errorcode", 0) in _ABOUT_VALUES


def _of_sqlite(error: sqlite3.Error, path: Path) -> CodeEvolverError:
    code = getattr(error, "sqlite_errorcode", 0)
    kind = code & _PRIMARY
    io_error = kind == sqlite3.SQLITE_IOERR
    if kind == sqlite3.SQLITE_FULL or (io_error and not has_room(path.parent, 1 << 16)):
        return DiskFull(f"There is no room left for the queue file {path}.", FULL_HINT)
    if io_error:
        name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
        return StoreError(f"The disk failed under the queue file {path} ({name}).",
                          "Check the disk (dmesg, SMART), then start again: the queue goes on from what was synced.")  # fmt: skip
    if kind in _DAMAGE:
        return StoreError(f"The queue file {path} is damaged: {error}.",
                          "Start again: the file is then set aside and what can be read is taken over.")  # fmt: skip
    if kind in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return StoreError(
            f"The queue file {path} cannot be written: {error}.", "Give the user write access to its folder."
        )
    if kind in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreError(
            f"Another program keeps the queue file {path} locked.", "Close the program that writes to it."
        )
    return StoreError(f"The queue file {path} answered: {error}.",
                      "Start again; where that does not help, move the file away, and please report this.")  # fmt: skip


def is_damage(error: Exception) -> bool:
    """Say whether the file itself is damaged: no second attempt helps, only another file."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGE


def mark_damage(error: Exception, path: Path) -> None:
    """Leave word for the next start where `error` says that the file is damaged: its own look may not come that far."""
    if is_damage(error):
        with suppress(OSError):
            Path(f"{path}{MARK}").write_text(f"{error}\n", encoding="utf-8")


def is_fatal(error: Exception, ours: CodeEvolverError) -> bool:
    """Say whether nothing more may be written: after a failed sync nobody knows what the disk holds."""
    if isinstance(ours, DiskFull):
        return False
    return isinstance(error, OSError) or (getattr(error, "sqlite_errorcode", 0) & _PRIMARY) in _FATAL
